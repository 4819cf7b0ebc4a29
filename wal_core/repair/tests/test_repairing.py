"""A repair that dies, is repeated, overtaken or refused; what it deletes, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pytest

from wal_core import (
    Fenced,
    Log,
    MemoryStore,
    NoRoom,
    SegmentStore,
    Unavailable,
    check_log,
    open_store,
    repair_log,
)
from wal_core.copy import copy_log
from wal_core.format.chain import Sealed
from wal_core.fsck.findings import Kind
from wal_core.stores.manifests import Garbage, Manifest, Manifests, decode_manifest
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_files import ExecutorFileWriter, FaultyFileOps
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import VirtualClock
from wal_core.tests.harness import CountingRng
from wal_core.tests.left_log import (
    CONFIG,
    ENTRIES_COUNT,
    LeftLog,
    Numbers,
    append,
    crash,
    opened,
    readable,
    served,
)
from wal_core.types import Buffer
from wal_core.upkeep.compaction_plan import UNSEALED_COUNT


def damage(left: LeftLog) -> None:
    """A bit of everything: an index, a sealed object, a block of a completed segment, a footer, the
    newest manifest, an orphan."""
    left.damage(left.sealed[1].index, "flipped")
    folder = left.sealed[-1].index.removesuffix("index")
    left.damage(next(key for key in sorted(left.files) if key.startswith(folder)), "flipped")
    for segment, how in zip(left.completed[:2], ("flipped", "deleted"), strict=True):
        name = f"logs/0/{segment:020d}"
        left.damage(next(key for key in sorted(left.files) if key.startswith(name)), how)
    left.damage(max(key for key in left.files if key.startswith("manifests/")), "cut")
    left.files["logs/0/notes.txt"] = b"what is this?"


class Died(Exception):
    """The process did."""


class Mortal(MemoryStore):
    """Takes so many creates and deletes; it dies before the last one, or after it."""

    def __init__(self, left_count: int, *, after: bool) -> None:
        super().__init__()
        self.left_count = left_count
        self._after = after
        self.is_mortal = False

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        self._step(is_over=False)
        await super().create(key, pieces)
        self._step(is_over=True)

    async def delete(self, *keys: str) -> None:
        self._step(is_over=False)
        await super().delete(*keys)
        self._step(is_over=True)

    def _step(self, *, is_over: bool) -> None:
        if not self.is_mortal or is_over is not self._after:
            return
        self.left_count -= 1
        if self.left_count < 0:
            raise Died


async def whole_again(left: LeftLog, found: set[int]) -> None:
    assert await served(left) == found
    await left.repair()
    report = await left.check()
    assert report.sound, report.findings
    assert await served(left) == found


@pytest.mark.parametrize("after", [False, True])
def test_a_repair_may_die_over_every_single_write(after, tmp_path):
    async def one(left: LeftLog, files: dict[str, bytes], count: int, found: set[int]) -> bool:
        bucket = Mortal(count, after=after)
        for key, content in files.items():
            await bucket.create(key, [content])
        store = await open_store("", "object", objects=bucket)
        report = await check_log(store, CONFIG, CountingRng())
        bucket.is_mortal = True
        clock, rng = VirtualClock(), CountingRng()
        try:
            await repair_log(store, Numbers(), CONFIG, report, clock=clock, rng=rng)
        except Died:
            died = True
        else:
            died = False
        left.files = {key: bytes(body) for key, body in bucket.objects.items()}
        await whole_again(left, found)
        return died

    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        damage(left)
        files, found = dict(left.files), await served(left)
        count = 0
        while await one(left, files, count, found):
            count += 1
        assert count > 10

    run(main, virtual_s_max=1e7)


def test_a_repair_of_files_may_die_at_any_time(tmp_path):
    async def main() -> None:
        left = await LeftLog("file", tmp_path).fill()
        damage(left)
        files, found = dict(left.files), await served(left)
        loop = asyncio.get_running_loop()
        report = await left.check()
        begun_s = loop.time()
        await left.repair(report)
        took_s = loop.time() - begun_s
        for step in range(6):
            left.files = dict(files)
            store = await left.store()
            clock, rng = VirtualClock(), CountingRng()
            repairing = asyncio.ensure_future(
                repair_log(store, Numbers(), CONFIG, report, clock=clock, rng=rng)
            )
            await asyncio.wait((repairing,), timeout=took_s * step / 6)
            repairing.cancel()
            await asyncio.wait((repairing,))
            left.keep(store)
            await store.close()
            await whole_again(left, found)

    run(main, virtual_s_max=1e7)


def test_a_log_in_use_is_left_alone_where_there_is_a_lock(tmp_path):
    async def main() -> None:
        left = await LeftLog("file", tmp_path).fill()
        left.damage(left.sealed[0].index, "flipped")
        report = await left.check()
        store = await left.store()
        log = await opened(store, state := Numbers())
        other = await open_store(str(left.root), "file")
        left.keep(store)
        before = dict(left.files)
        with pytest.raises(Unavailable, match="in use by another process"):
            await repair_log(
                other, Numbers(), CONFIG, report, clock=VirtualClock(), rng=CountingRng()
            )
        left.keep(store)
        assert left.files == before
        await append(log, state, ENTRIES_COUNT)
        await log.close()

    run(main)


def test_whoever_writes_is_fenced_where_there_is_no_lock(tmp_path):
    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        left.damage(left.sealed[0].index, "flipped")
        store = await left.store()
        log = await opened(store, state := Numbers())
        await append(log, state, ENTRIES_COUNT)
        report = await check_log(store, CONFIG, CountingRng())
        again = ObjectSegmentStore(store.objects)
        await repair_log(again, Numbers(), CONFIG, report, clock=VirtualClock(), rng=CountingRng())
        with pytest.raises(Fenced):
            await append(log, state, ENTRIES_COUNT + 1)
        await crash(log)
        left.keep(store)
        assert (await left.check()).sound
        assert await served(left) == set(range(ENTRIES_COUNT + 1))

    run(main)


def test_whoever_takes_the_log_meanwhile_wins(tmp_path):
    """The repair has written all it needs and is about to commit it."""

    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        damage(left)
        found = await served(left)
        store = await left.store()
        report = await check_log(store, CONFIG, CountingRng())
        slow = FaultyObjectStore(store.objects)
        number = max(int(key[-20:]) for key in left.files if key.startswith("manifests/")) + 2
        slow.plan = [Planned("create", f"manifests/0/{number:020d}", Fault.LATE, late_s=1)]
        repairing = asyncio.ensure_future(
            repair_log(
                ObjectSegmentStore(slow),
                Numbers(),
                CONFIG,
                report,
                clock=VirtualClock(),
                rng=CountingRng(),
            )
        )
        while slow.plan:
            await asyncio.sleep(0.001)
        log = await opened(ObjectSegmentStore(store.objects), state := Numbers())
        with pytest.raises(Fenced):
            await repairing
        assert await readable(log) == found
        await asyncio.sleep(2)
        for number in range(ENTRIES_COUNT, ENTRIES_COUNT + 3):
            await append(log, state, number)
        await crash(log)
        left.keep(store)
        await whole_again(left, found | state.found & set(range(ENTRIES_COUNT, ENTRIES_COUNT + 3)))

    run(main)


def newest(left: LeftLog) -> Manifest:
    key = max(key for key in left.files if key.startswith("manifests/"))
    return decode_manifest(left.files[key][72:], int(key[-20:]))


@pytest.mark.parametrize("mode", ["file", "object"])
def test_what_is_in_use_is_taken_off_the_garbage(mode, tmp_path):
    async def main() -> None:
        left = await LeftLog(mode, tmp_path).fill()
        manifest = newest(left)
        folder = left.sealed[-1].index.removesuffix("index")
        keys = [key for key in left.files if key.startswith(folder)]
        segment = left.completed[0]
        store = await left.store()
        manifests = Manifests(store.objects, 0, Persistence(CONFIG, CountingRng()), bytes(16))
        garbage = [
            *manifest.garbage,
            Garbage(due_ms=0, keys=keys),
            Garbage(due_ms=0, segment=segment),
        ]
        await manifests.commit(
            msgspec.structs.replace(manifest, number=manifest.number + 1, garbage=garbage)
        )
        left.keep(store)
        await store.close()
        report = await left.check()
        doomed = {finding.place for finding in report.findings if finding.kind is Kind.DOOMED}
        assert doomed >= set(keys)
        assert any(place.startswith(f"logs/0/{segment:020d}") for place in doomed)
        done = await left.repair(report)
        assert done.sealed == []
        assert done.spared_count == len(doomed)
        assert (await left.check()).sound
        assert newest(left).garbage == manifest.garbage
        assert await served(left) == set(range(ENTRIES_COUNT))

    run(main)


def test_what_was_damaged_stays_as_long_as_fences_do(tmp_path):
    """It is the only copy there may be, and somebody may know how to read more of it."""

    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        folder = left.sealed[-1].index.removesuffix("index")
        bad = next(key for key in sorted(left.files) if key.startswith(folder))
        left.damage(bad, "flipped")
        left.files["logs/0/notes.txt"] = b"what is this?"
        done = await left.repair()
        assert [(link.first, link.last) for link in done.sealed] == [
            (left.sealed[-1].first, left.sealed[-1].last)
        ]
        assert done.garbage_count == 1
        store = await left.store()
        log = await opened(store, Numbers())
        for wait_ms, is_there in ((CONFIG.garbage_grace_ms, True), (CONFIG.fence_grace_ms, False)):
            await asyncio.sleep(wait_ms / 1000 + 1)
            await log.until_quiet()
            for key in (bad, "logs/0/notes.txt"):
                assert (await store.objects.size(key) is not None) is is_there
        await crash(log)

    run(main, virtual_s_max=1e7)


def test_what_is_whole_is_not_touched(tmp_path):
    """A whole index and objects that are referenced stay where they are."""

    async def main() -> None:
        left = await LeftLog("file", tmp_path).fill()
        left.damage(left.sealed[0].index, "flipped")
        before = dict(left.files)
        (sealed,) = (await left.repair()).sealed
        assert isinstance(sealed, Sealed)
        ended = {max(key for key in before if key.endswith(".seg")), "logs/0/lock"}
        assert before.items() - left.files.items() <= {(key, before[key]) for key in ended}
        # Nothing was copied that lies together.
        new = {key for key in left.files.keys() - before.keys() if key.startswith("sealed/")}
        assert new == {sealed.index}

    run(main)


def test_a_sound_log_is_left_as_it_is(tmp_path):
    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        done = await left.repair()
        assert (done.sealed, done.added, done.garbage_count) == ([], [], 0)
        assert (await left.check()).sound

    run(main)


def test_without_room_nothing_is_changed(tmp_path):
    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        damage(left)
        found = await served(left)
        store = await left.store()
        report = await check_log(store, CONFIG, CountingRng())

        taken: list[int] = []

        @contextmanager
        def taking(bytes_count: int, *, can_wait: bool = False) -> Iterator[None]:
            assert not can_wait
            taken.append(bytes_count)
            if len(taken) > 3:
                raise NoRoom(f"no room for {bytes_count}")
            yield

        store.room.taking = taking  # type: ignore[method-assign]
        with pytest.raises(NoRoom):
            await repair_log(
                store, Numbers(), CONFIG, report, clock=VirtualClock(), rng=CountingRng()
            )
        before = {key for key in left.files if key.startswith("sealed/")}
        left.keep(store)
        assert {key for key in left.files if key.startswith("sealed/")} == before
        await whole_again(left, found)

    run(main)


@pytest.mark.parametrize("mode", ["file", "object"])
def test_a_footer_behind_a_repair_may_be_damaged_in_turn(mode, tmp_path):
    """As behind a compaction, two of them hold the state of the log."""

    async def main() -> None:
        left = await LeftLog(mode, tmp_path).fill()
        name = f"logs/0/{left.completed[-1]:020d}"
        left.damage(max(key for key in left.files if key.startswith(name)), "cut")
        found = await served(left)
        await left.repair()
        keys = sorted(key for key in left.files if key.startswith("logs/0/0"))
        behind = {key[:27] for key in keys if int(key[7:27]) > newest(left).covered}
        assert len(behind) >= UNSEALED_COUNT
        left.damage(keys[-1], "flipped")
        assert await served(left) == found

    run(main)


@pytest.mark.parametrize("mode", ["file", "object"])
def test_holes_are_copied_as_such(mode, tmp_path):
    async def main() -> None:
        left = await LeftLog("object", tmp_path).fill()
        damage(left)
        found = await served(left)
        await left.repair()
        source = await left.store()
        target: SegmentStore = ObjectSegmentStore(MemoryStore())
        if mode == "file":
            ops = FaultyFileOps()
            target = FileSegmentStore(tmp_path, ops=ops, writer=ExecutorFileWriter(ops))
        await copy_log(source, target, CONFIG, CountingRng())
        report = await check_log(target, CONFIG, CountingRng())
        assert report.sound, report.findings
        log = await Log.open(target, Numbers(), CONFIG, clock=VirtualClock(), rng=CountingRng())
        assert await readable(log) == found
        await log.close()
        await target.close()

    run(main)
