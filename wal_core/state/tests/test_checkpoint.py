"""The checkpoint: exact at any crash, cheap at a segment's end, and gone when it is out of date."""

from __future__ import annotations

import asyncio
import dataclasses
import random  # noqa: TID251 - seeded
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from wal_core import (
    CHECKPOINT_STREAM_ID,
    Changes,
    Corrupt,
    Entry,
    Log,
    LogConfig,
    MemoryStore,
    SegmentStore,
)
from wal_core.format.chain import Sealed
from wal_core.format.checkpoint import encode_piece, iter_piece
from wal_core.fsck import check_log
from wal_core.state.checkpoint import Checkpoint
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.stores.tests.test_deadline import SlowLine
from wal_core.testing.faulty_files import ExecutorFileWriter, FaultyFileOps
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, VirtualClock
from wal_core.tests.harness import CountingRng
from wal_core.types import Buffer

CONFIG = dataclasses.replace(
    SMALL, checkpoint_piece_bytes=200, segment_blocks_max=5, sealed_block_bytes_max=600
)
KEYS_COUNT = 40


class MapState:
    """A map; an entry sets a key or forgets it."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.map: dict[bytes, bytes] = {}

    def take(self, operation: bytes) -> None:
        key, has_value, value = operation.partition(b"=")
        if has_value:
            self.map[key] = value
        else:
            self.map.pop(key, None)
        self.changes.note(key, 8 + len(operation))

    def restore(self, key: bytes, value: Buffer | None) -> None:
        if value is None:
            self.map.pop(key, None)
        else:
            self.map[key] = bytes(value)

    def restored(self) -> None: ...

    def apply(self, entry: Entry) -> None:
        self.take(bytes(entry.payload))

    def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        return ((key, self.map.get(key)) for key in keys)

    def confirmed(self, ends: Mapping[int, int]) -> None:
        assert CHECKPOINT_STREAM_ID not in ends

    def salvage(self) -> MapSalvage:
        return MapSalvage()


class MapSalvage:
    """Nothing but the operations that are left."""

    def __init__(self) -> None:
        self.state = MapState()

    def wants(self, stream_id: int, end: int) -> bool:
        return stream_id == 0

    def apply(self, entry: Entry) -> None:
        self.state.apply(entry)

    def pairs(self, doubtful: Collection[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        return self.state.values(self.state.changes.keys())


class World:
    """A log with a map, and every operation there was."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.operations: list[bytes] = []
        self.acked_count = 0

    async def open(self, store: SegmentStore) -> None:
        """Start, and check that the map is the sum of the entries, neither more nor less."""
        self.store = store
        self.state = MapState()
        self.log = await Log.open(
            store, self.state, CONFIG, clock=VirtualClock(), rng=CountingRng()
        )
        end = self.log.confirmed_offset(0)
        assert self.acked_count <= end <= len(self.operations)
        del self.operations[end:]
        assert self.state.map == self.sum()

    def sum(self) -> dict[bytes, bytes]:
        state = MapState()
        for operation in self.operations:
            state.take(operation)
        return state.map

    def append(self) -> asyncio.Future[None]:
        key = b"%d" % self.rng.randrange(KEYS_COUNT)
        value = b"=" + bytes(self.rng.choice([0, 3, 60]))
        operation = key + value * (self.rng.random() < 0.9)
        self.operations.append(operation)
        future = self.log.append(0, self.log.end_offset(0), 1, -1, operation)
        self.state.take(operation)
        return future

    async def work(self, count: int) -> None:
        for _ in range(count):
            future = self.append()
            if self.rng.random() < 0.5:
                await asyncio.shield(future)
                self.acked_count = len(self.operations)

    async def crash(self) -> None:
        await self.log._maintenance.stop()
        await self.log._writer.stop()
        await self.log._reader.close()
        await self.store.unlock(0)

    async def settle(self) -> None:
        for _ in range(3):
            await self.log.until_quiet()
            await asyncio.sleep(6)
        await self.log.until_quiet()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mode", ["file", "object"])
def test_the_map_is_the_sum_of_the_entries_after_any_crash(mode: str, seed: int, tmp_path: Path):
    async def main() -> None:
        world = World(seed)
        bucket = FaultyObjectStore(MemoryStore(), seed=seed, fault_rate=0.05)

        async def place() -> SegmentStore:
            if mode == "file":
                ops = FaultyFileOps(seed, fault_rate=0.02)
                return FileSegmentStore(tmp_path, ops=ops, writer=ExecutorFileWriter(ops))
            return ObjectSegmentStore(bucket)

        await world.open(await place())
        for _ in range(8):
            await world.work(world.rng.randrange(5, 90))
            if world.rng.random() < 0.3:
                await world.log.close()
            else:
                await world.crash()
            await world.open(await place())
        bucket.fault_rate = 0
        await world.work(60)
        await world.settle()
        # I9: what was of use is there, and nothing else; also of pieces.
        report = await check_log(world.store, CONFIG, CountingRng(), new_state=MapState)
        assert report.sound, report.findings
        assert report.garbage_count == 0
        pieces = report.streams[CHECKPOINT_STREAM_ID]
        assert pieces.first_offset > 0, "no piece was ever replaced"
        assert any(isinstance(link, Sealed) for link in world.log._contents.chain.links)
        await world.log.close()

    run(main, seed=seed)


def test_a_process_may_die_over_every_single_write():
    """Before and after its effect."""

    async def one(number: int, fault: Fault) -> bool:
        world = World(1)
        bucket = FaultyObjectStore(MemoryStore())
        store = ObjectSegmentStore(bucket)
        await world.open(store)
        before_count = bucket.count("create", "logs/")
        working = asyncio.ensure_future(world.work(120))
        while bucket.count("create", "logs/") - before_count < number and not working.done():
            await asyncio.sleep(0)
        bucket.plan.append(Planned("create", "logs/", fault))
        await asyncio.wait((working,), timeout=1)
        over = working.done() and bool(bucket.plan)
        working.cancel()
        await asyncio.wait((working,))
        bucket.plan.clear()
        await world.crash()
        await world.open(store)
        await world.work(10)
        await world.crash()
        await world.open(store)
        await world.log.close()
        return over

    async def main() -> None:
        for fault in (Fault.HANG, Fault.HANG_AFTER):
            number = 0
            while not await one(number, fault):
                number += 1
            assert number > 30

    run(main)


class Pieces:
    """What a log keeps of a checkpoint: its pieces, and the changes in the newest footer."""

    def __init__(self) -> None:
        self.state = MapState()
        self.checkpoint = Checkpoint(self.state, 1_000)
        self.pieces: list[bytes] = []
        self.written_bytes = 0

    def take(self, operation: bytes) -> None:
        self.state.take(operation)
        while (piece := self.checkpoint.next_piece(len(self.pieces))) is not None:
            self.pieces.append(piece)
            self.written_bytes += len(piece)

    def kept(self) -> list[bytes]:
        return self.pieces[self.checkpoint.start :]

    def again(self) -> Pieces:
        """As a start finds it."""
        other = Pieces()
        for offset in range(self.checkpoint.start, len(self.pieces)):
            other.checkpoint.take_piece(offset, self.pieces[offset])
        other.checkpoint.take_changes(self.checkpoint.changes(), len(self.pieces))
        other.checkpoint.taken()
        other.pieces = self.pieces
        return other


def test_changes_are_written_three_times_at_most_and_little_more_than_the_map_is_kept():
    rng = random.Random(3)
    subject = Pieces()
    changed_bytes = 0
    for number in range(30_000):
        # Most keys are never touched again, some all the time; a third of them goes.
        hot = number > 2_000 and rng.random() < 0.97
        key = b"%d" % (rng.randrange(50) if hot else number)
        operation = key + b"=" + bytes(100) if rng.random() < 0.9 else key
        changed_bytes += 8 + len(operation)
        subject.take(operation)
        if number % 3_000 == 0:
            again = subject.again()
            assert again.state.map == subject.state.map
            subject = again
            changed_bytes = 0
        live_bytes = sum(8 + len(k) + len(v) for k, v in subject.state.map.items())
        kept_bytes = sum(map(len, subject.kept())) if number % 500 == 0 else 0
        assert kept_bytes <= 4 * live_bytes + 12_000
        assert len(subject.checkpoint.changes()) <= 1_200
        assert subject.written_bytes <= 3 * changed_bytes + 12_000


def test_what_is_forgotten_stays_so_and_is_forgotten_itself():
    subject = Pieces()
    for _ in range(40):
        for number in range(30):
            subject.take(b"k%d=" % number + bytes(100))
        for number in range(30):
            subject.take(b"k%d" % number)
        assert subject.again().state.map == subject.state.map
    for number in range(3_000):
        subject.take(b"other=%d" % number)
    assert sum(map(len, subject.kept())) < 12_000
    assert subject.again().state.map == {b"other": b"2999"}


def test_a_piece_of_more_than_its_size_is_written_alone():
    subject = Pieces()
    subject.take(b"a=" + bytes(50_000))
    subject.take(b"b=1")
    assert [len(piece) > 50_000 for piece in subject.pieces] == [True]
    assert subject.again().state.map == subject.state.map


@pytest.mark.parametrize("cut", range(1, 24))
def test_a_piece_that_is_cut_is_damage(cut: int):
    piece = encode_piece([(b"key", b"value"), (b"x", None)])
    assert [*iter_piece(piece)] == [(b"key", b"value"), (b"x", None)]
    if cut == 18:
        return  # between two pairs
    with pytest.raises(Corrupt):
        list(iter_piece(piece[:cut]))


async def _segment_end_bytes(keys_count: int) -> int:
    """What the end of a segment writes in which one key of so many has changed."""
    bucket = MemoryStore()
    state = MapState()
    config = LogConfig.preset("object")
    log = await Log.open(
        ObjectSegmentStore(bucket), state, config, clock=VirtualClock(), rng=CountingRng()
    )
    at = 0

    def change(key: int) -> asyncio.Future[None]:
        nonlocal at
        operation = b"%d=" % key + bytes(200)
        future = log.append(0, at, 1, -1, operation)
        state.take(operation)
        at += 1
        return future

    async def end_segment() -> int:
        before = sum(map(len, bucket.objects.values()))
        finished = log._contents.chain.last
        log._writer.complete_segment()
        while log._contents.chain.last == finished:
            await asyncio.sleep(0.01)
        return sum(map(len, bucket.objects.values())) - before

    await asyncio.gather(*[change(key) for key in range(keys_count)])
    await end_segment()
    await change(0)
    written = await end_segment()
    await log.close()
    return written


def test_a_segments_end_costs_what_has_changed_not_all_there_is():
    async def main() -> None:
        few, many = [await _segment_end_bytes(count) for count in (2_000, 20_000)]
        # Less than a piece is said again; twenty thousand keys take four megabytes.
        assert many < 2 * LogConfig().checkpoint_piece_bytes
        assert many < few + LogConfig().checkpoint_piece_bytes

    run(main)


def test_a_large_state_passes_a_slow_line_at_a_segments_end_and_at_a_start():
    """40 MB at 1 MB/s, where an attempt that moves nothing has 2 s."""

    async def main() -> None:
        store = ObjectSegmentStore(SlowLine(1e6))
        config = dataclasses.replace(LogConfig.preset("object"), store_timeout_ms=2_000)
        state = MapState()
        log = await Log.open(store, state, config, clock=VirtualClock(), rng=CountingRng())
        async with asyncio.timeout(1_000):
            for number in range(400):
                operation = b"%d=" % number + bytes(100_000)
                future = log.append(0, number, 1, -1, operation)
                state.take(operation)
                if number % 20 == 19:
                    await future
            log._writer.complete_segment()
            await log.append(0, 400, 1, -1, b"0")
            state.take(b"0")
            await log._maintenance.stop()
            await log._writer.stop()
            again = MapState()
            log = await Log.open(store, again, config, clock=VirtualClock(), rng=CountingRng())
        assert again.map == state.map
        await log._maintenance.stop()
        await log._writer.stop()

    run(main)
