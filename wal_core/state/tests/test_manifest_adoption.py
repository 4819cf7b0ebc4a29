"""What an older manifest, as the newest that is left, is completed to."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest

from wal_core import LogConfig, MemoryStore, SegmentStore, open_store
from wal_core.errors import Fenced, WalError
from wal_core.format.block import parse_block
from wal_core.state.manifest_adoption import adopt
from wal_core.state.start import Start
from wal_core.stores.manifests import Manifest, Manifests, decode_manifest
from wal_core.stores.persistence import Persistence
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, VirtualClock
from wal_core.tests.harness import CountingRng, Harness, Recorder
from wal_core.types import Buffer

AN_HOUR_MS = 3_600_000


class Remembering(MemoryStore):
    """Keeps every manifest that was ever committed."""

    def __init__(self) -> None:
        super().__init__()
        self.manifests: list[Manifest] = []

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        await super().create(key, pieces)
        if key.startswith("manifests/"):
            block = parse_block(b"".join(pieces))
            self.manifests.append(decode_manifest(block.data, len(self.manifests)))


async def compacted(config: LogConfig, bucket: Remembering) -> SegmentStore:
    """A closed log that has sealed its segments, and sealed ones again, several times."""
    store = await open_store("", "object", objects=bucket)
    h = await Harness.open(store, config, clock=VirtualClock())
    for _ in range(40):
        await h.add(0, bytes(120))
        await h.log.until_quiet()
    for _ in range(5):
        await asyncio.sleep(config.garbage_grace_ms / 1000)
        await h.add(0, bytes(120))
        await h.log.until_quiet()
    await h.log.close()
    assert len(bucket.manifests) > 5
    return store


async def completed(store: SegmentStore, manifest: Manifest) -> Manifest:
    return await adopt(store, 0, manifest, Persistence(SMALL, CountingRng()))


def names(manifest: Manifest) -> list[str]:
    return [row.index for row in manifest.sealed]


def test_what_has_replaced_deleted_things_counts_though_no_manifest_names_it():
    async def main() -> None:
        bucket = Remembering()
        store = await compacted(dataclasses.replace(SMALL, garbage_grace_ms=0), bucket)
        newest = bucket.manifests[-1]
        helped_count = 0
        for older in bucket.manifests:
            found = await completed(store, older)
            gone = [index for index in names(older) if index not in bucket.objects]
            assert not [index for index in names(found) if index not in bucket.objects]
            helped_count += bool(gone)
            if found is not older:
                assert names(found)[0] == names(newest)[0]
                assert found.swept == older.number  # it was made up from what lies behind it
        assert helped_count
        first = bucket.manifests[0]  # from before anything was sealed: its segments are gone
        assert names(await completed(store, first)) == names(newest)

    run(main)


def test_what_would_leave_a_hole_is_not_taken():
    async def main() -> None:
        bucket = Remembering()
        config = dataclasses.replace(SMALL, garbage_grace_ms=0, merge_count=100)
        store = await compacted(config, bucket)
        newest, first = bucket.manifests[-1], bucket.manifests[0]
        assert len(newest.sealed) > 1
        await bucket.delete(newest.sealed[0].index)
        assert await completed(store, first) is first

    run(main)


def test_what_nobody_needs_yet_is_left_to_whoever_commits_it():
    """Sources are there: whether its manifest was ever committed nobody knows."""

    async def main() -> None:
        bucket = Remembering()
        config = dataclasses.replace(SMALL, garbage_grace_ms=AN_HOUR_MS)
        store = await open_store("", "object", objects=bucket)
        h = await Harness.open(store, config, clock=VirtualClock())
        for _ in range(40):
            await h.add(0, bytes(120))
            await h.log.until_quiet()
        assert names(bucket.manifests[-1])
        for older in bucket.manifests:
            assert await completed(store, older) is older
        await h.log.close()

    run(main)


@pytest.mark.parametrize("body", [b"", b"no block at all"])
def test_an_index_that_cannot_be_read_counts_for_nothing(body: bytes):
    async def main() -> None:
        bucket = Remembering()
        store = await compacted(dataclasses.replace(SMALL, garbage_grace_ms=0), bucket)
        helped = [one for one in bucket.manifests if await completed(store, one) is not one]
        assert helped
        for key in [key for key in bucket.objects if key.endswith("/index")]:
            bucket.objects[key] = body
        for older in helped:
            assert await completed(store, older) is older

    run(main)


def _started_from(caplog: pytest.LogCaptureFixture, *, loses_newer: bool) -> list[int]:
    """Start where a manifest was read behind which others went on, or newer ones are gone: the
    number of the manifest that is read, and of the one that everything is read by."""

    async def main() -> list[int]:
        bucket = Remembering()
        store = await compacted(dataclasses.replace(SMALL, garbage_grace_ms=0), bucket)
        helped = [one for one in bucket.manifests if await completed(store, one) is not one]
        manifests = Manifests(bucket, 0, Persistence(SMALL, CountingRng()), b"")
        newest, seen = manifests.newest, helped[:1]

        async def read() -> Manifest:
            return seen[0] if loses_newer else seen.pop() if seen else await newest()

        async def overtaken(newest: Manifest) -> WalError:
            return Fenced("others went on")

        first = helped[0].number
        manifests.newest = read  # type: ignore[method-assign]
        persist = Persistence(SMALL, CountingRng())
        start = Start(store, Recorder(), SMALL, manifests, persist, overtaken=overtaken)
        await start.run(may_end_sealed=True)
        assert names(start.manifest) == names(bucket.manifests[-1])
        return [first, start.manifest.number]

    return run(main)


def test_whoever_was_paused_goes_by_what_is_newest_by_then_and_tells_no_damage(
    caplog: pytest.LogCaptureFixture,
):
    first, number = _started_from(caplog, loses_newer=False)
    assert number > first
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_where_no_newer_manifest_is_left_that_is_told(caplog: pytest.LogCaptureFixture):
    first, number = _started_from(caplog, loses_newer=True)
    assert number == first
    assert "is named by no manifest" in caplog.text
