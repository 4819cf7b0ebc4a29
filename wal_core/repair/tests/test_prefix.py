"""Which part of a log is whole, with one object missing after the other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from wal_core import MemoryStore, open_store
from wal_core.repair.prefix import Prefix, Survey
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng
from wal_core.tests.left_log import CONFIG, LOG_FOLDERS, LeftLog


async def survey(left: LeftLog, *, without: Collection[str] = ()) -> Survey:
    bucket = MemoryStore()
    for key, body in left.files.items():
        if key not in without:
            await bucket.create(key, [body])
    store: SegmentStore = await open_store("", "object", objects=bucket)
    sizes = {key: len(body) for key, body in bucket.objects.items() if key.startswith(LOG_FOLDERS)}
    found = Survey(store, 0, sizes, Persistence(CONFIG, CountingRng()))
    await found.run()
    return found


def end_of(prefix: Prefix) -> tuple[int, int]:
    """The segment that is not whole, and how many blocks of it are there."""
    count = prefix.tail_blocks_count
    return (prefix.last, count) if count else (prefix.last + 1, 0)


def test_the_log_ends_before_what_is_missing(tmp_path: Path) -> None:
    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        whole = (await survey(left)).prefix
        assert whole.sealed == left.sealed
        assert whole.completed == left.completed
        assert end_of(whole) > (left.completed[-1], 0)
        ends = set()
        for key in (key for key in left.files if key.startswith("logs/")):
            segment, slot = int(key.split("/")[2]), int(key.split("/")[3])
            found = await survey(left, without=[key])
            if segment > left.sealed[-1].last:
                assert end_of(found.prefix) == min(end_of(whole), (segment, slot))
                ends.add(end_of(found.prefix))
            assert key not in found.counting_keys()
        assert len(ends) > 5

    run(main)


def test_manifests_are_not_needed(tmp_path: Path) -> None:
    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        manifests = [key for key in left.files if key.startswith("manifests/")]
        found = await survey(left, without=manifests)
        assert found.prefix == (await survey(left)).prefix

    run(main)


def test_what_was_replaced_stands_in_for_what_has_not_come(tmp_path: Path) -> None:
    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        whole = end_of((await survey(left)).prefix)
        last = left.sealed[-1]
        for key in (key for key in left.files if key.startswith(last.index[:-5])):
            prefix = (await survey(left, without=[key])).prefix
            assert last not in prefix.sealed
            replaced = any(k.startswith(f"logs/0/{last.last:020d}/") for k in left.files)
            assert (end_of(prefix) == whole) is replaced

    run(main)


def test_of_no_log_nothing_is_whole(tmp_path: Path) -> None:
    async def main() -> None:
        found = await survey(LeftLog("object", tmp_path))
        assert (found.prefix, found.prefix.last) == (Prefix(), -1)
        assert (found.segment_max, found.number_max, found.term_max) == (-1, -1, 0)

    run(main)
