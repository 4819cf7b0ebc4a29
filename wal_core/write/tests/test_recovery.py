"""Recovery against a model: random appends, rolls, faults and crashes, in both modes.

The model is the list of everything appended, in order. After every crash what is recovered must
be a prefix of it that contains everything confirmed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wal_core import Corrupt, Entry, LogConfig, MemoryStore, SegmentStore, open_store
from wal_core.format.block import BlockIds, encode_entries
from wal_core.stores.segments.base import Slot
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.testing.faulty_files import ExecutorFileWriter, FaultyFileOps
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness

append = st.tuples(
    st.just("append"),
    st.integers(0, 3),  # stream
    st.one_of(st.integers(1, 40), st.integers(4000, 5000)),  # bytes
    st.integers(1, 5),  # records
    st.integers(-1, 30),  # timestamp
)
step = st.one_of(
    append,
    append,
    append,
    st.tuples(st.just("settle")),
    st.tuples(st.just("pause"), st.integers(0, 30)),  # ms
    st.tuples(st.just("crash")),
    st.tuples(st.just("close")),
)


class World:
    """The disk or bucket that outlives every process, and the process of the moment."""

    def __init__(self, root: Path | None, seed: int, fault_rate: float) -> None:
        self.root = root
        self.seed = seed
        self.fault_rate = fault_rate
        self.bucket = MemoryStore()
        self.ops = FaultyFileOps(seed, 0)
        self.opens = 0

    async def store(self) -> SegmentStore:
        self.opens += 1
        if self.root is None:
            objects = FaultyObjectStore(
                self.bucket,
                jitter_s=0.02,
                fault_rate=self.fault_rate,
                seed=self.seed + self.opens,
            )
            return await open_store("", "object", objects=objects)
        await (await open_store(str(self.root), "file")).close()
        self.ops.fault_rate = self.fault_rate
        return FileSegmentStore(self.root, ops=self.ops, writer=ExecutorFileWriter(self.ops))

    def crash(self) -> None:
        if self.root is not None:
            self.ops.crash()


def small(mode: str) -> LogConfig:
    return dataclasses.replace(
        LogConfig.preset(mode),
        block_bytes_max=600,
        gather_bytes=200,
        segment_bytes_max=6000,
        segment_blocks_max=6,
        tail_bytes_max=1500,
        block_cache_bytes_max=3000,
        table_cache_bytes_max=2000,
        retry_first_ms=1,
        retry_max_ms=20,
        store_timeout_ms=2000,
    )


async def check(h: Harness) -> None:
    """What can be read is what the state saw, by offset and by timestamp."""
    rows = h.state.entries
    assert await h.stored() == sorted(rows)
    for stream in range(4):
        own = [row for row in rows if row[0] == stream]
        assert h.log.confirmed_offset(stream) == sum(row[2] for row in own)
        for row in own:
            inside = row[1] + row[2] - 1
            assert (await h.log.read(stream, inside, 1))[0].base_offset == row[1]
        for timestamp in range(-1, 32, 4):
            expected = next((row[1] for row in own if row[3] >= timestamp), None)
            found = await h.log.find_timestamp(stream, timestamp)
            assert (found.base_offset if found else None) == expected


async def play(world: World, mode: str, steps: list[tuple]) -> None:
    h = await Harness.open(await world.store(), small(mode))
    futures: list[asyncio.Future[None]] = []
    terms = [h.log.term]
    for name, *args in [*steps, ("crash",), ("close",)]:
        if name == "append":
            stream, size, count, timestamp = args
            payload = (b"%d:" % len(h.state.entries) * size)[:size]
            futures.append(h.add(stream, payload, count, timestamp))
        elif name == "settle":
            await asyncio.gather(*futures)
        elif name == "pause":
            await asyncio.sleep(args[0] / 1000)
        else:
            appended = list(h.state.entries)
            if name == "close":
                await h.log.close()
                assert all(future.done() and not future.exception() for future in futures)
            acked = sum(future.done() and not future.exception() for future in futures)
            assert h.log.failed.done() is False
            if name == "crash":
                before = len(appended) - len(futures) + acked
                await h.crash()
                world.crash()
            else:
                before = len(appended)
            await h.store.close()
            h = await Harness.open(await world.store(), small(mode))
            assert h.state.entries == appended[: len(h.state.entries)]
            assert len(h.state.entries) >= before
            terms.append(h.log.term)
            futures = []
            world.fault_rate, rate = 0.0, world.fault_rate
            verifier = h.store
            if mode == "object":
                verifier.objects.fault_rate = 0.0
            await check(h)
            world.fault_rate = rate
            if mode == "object":
                verifier.objects.fault_rate = rate
    assert terms == sorted(set(terms))
    await h.log.close()


@settings(max_examples=120)
@given(st.lists(step, max_size=60), st.integers(0, 10**6), st.sampled_from([0.0, 0.2]))
def test_object_mode_recovers_a_prefix_with_everything_acked(steps, seed, fault_rate):
    run(lambda: play(World(None, seed, fault_rate), "object", steps), seed=seed)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(step, max_size=60), st.integers(0, 10**6), st.sampled_from([0.0, 0.2]))
def test_file_mode_recovers_a_prefix_with_everything_acked(steps, seed, fault_rate):
    root = Path(tempfile.mkdtemp())
    try:
        run(lambda: play(World(root, seed, fault_rate), "file", steps), seed=seed)
    finally:
        shutil.rmtree(root)


def test_a_long_unfinished_segment_is_opened_within_one_attempt():
    """Looking for its footer must not read it block by block: at 50 ms a read, 200 blocks take
    ten times as long as an attempt at the store may, and every further attempt would, too.
    """

    async def main() -> None:
        bucket = MemoryStore()
        config = dataclasses.replace(
            LogConfig.preset("object"), store_timeout_ms=1_000, gather_ms=0
        )
        h = await Harness.open(await open_store("", "object", objects=bucket), config)
        for n in range(200):
            await h.add(0, b"%d" % n)
        await h.crash()
        slow = FaultyObjectStore(bucket, latency_s=0.05)
        h = await Harness.open(await open_store("", "object", objects=slow), config)
        assert h.log.confirmed_offset(0) == 200
        assert slow.count("list", "/00000000000000000001/") == 2  # for a footer, for the replay
        await h.log.close()

    run(main)


@pytest.mark.parametrize("mode", ["file", "object"])
async def test_a_segment_missing_in_front_costs_its_records_alone(mode, tmp_path):
    config = dataclasses.replace(LogConfig.preset(mode), segment_blocks_max=1)
    h = await Harness.open(await open_store(str(tmp_path), mode), config)
    for number in range(4):
        await h.add(5, b"%d" % number)
    # 0 is the first opening's fence.
    first = h.log._contents.chain.links[0].first if mode == "file" else 1
    await h.log.close()
    await h.store.close()
    for path in (tmp_path / "logs" / "0").glob(f"{first:020d}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    store = await open_store(str(tmp_path), mode)
    h = await Harness.open(store, config)
    with pytest.raises(Corrupt, match="lost"):
        await h.log.read(5, 0, 100)
    assert [entry.payload for entry in await h.log.read(5, 1, 100)] == [b"1", b"2", b"3"]
    assert h.log.end_offset(5) == 4
    await h.log.close()
    await store.close()


def test_blocks_of_two_terms_in_one_segment_are_refused():
    """Every open completes the segment it finds: two writers never share one."""

    async def main() -> None:
        store = await open_store("memory:", "object")
        for number, term in enumerate((3, 4)):
            ids = BlockIds(0, 0, number, term, number, bytes(16))
            block = encode_entries(ids, [Entry(5, number, 1, 1, -1, b"x")])
            await store.append(Slot(0, 0, number, 0), block.pieces, final=False)
        with pytest.raises(Corrupt, match="two terms"):
            await Harness.open(store)

    run(main)
