"""Reading: budgets, borders, sharing, and what a slow or damaged store does to readers."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from wal_core import (
    Corrupt,
    Invalid,
    LogConfig,
    MemoryStore,
    Payloads,
    Truncated,
    Unavailable,
    open_store,
)
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness

MOST_OF_A_TURN_COUNT = 512  # entries that a read takes up at most before others get the loop
CONFIG = dataclasses.replace(
    LogConfig.preset("object"),
    segment_blocks_max=4,
    tail_bytes_max=0,
    gather_ms=0,
    seal_segments_min_count=1_000,
)


async def written(
    count: int, config: LogConfig = CONFIG, size: int = 100
) -> tuple[Harness, FaultyObjectStore]:
    """A log of one stream with one entry of two records per block, read from the store."""
    faulty = FaultyObjectStore(MemoryStore())
    h = await Harness.open(await open_store("", "object", objects=faulty), config)
    for n in range(count):
        await h.add(0, b"%02d" % n * (size // 2), count=2, ts=n)
    await h.log.close()
    h = await Harness.open(h.store, config)
    faulty.calls.clear()
    return h, faulty


@pytest.mark.parametrize("tail_bytes_max", [0, 1500, 1 << 20])
def test_budgets_hold_across_blocks_and_segments(tail_bytes_max):
    async def main() -> None:
        config = dataclasses.replace(CONFIG, tail_bytes_max=tail_bytes_max)
        faulty = FaultyObjectStore(MemoryStore())
        h = await Harness.open(await open_store("", "object", objects=faulty), config)
        for n in range(20):
            await h.add(0, b"%02d" % n * 50, count=2)
        for offset in range(40):
            for budget, entries in ((0, 1), (99, 1), (100, 1), (199, 1), (350, 3), (10**6, 20)):
                found = await h.log.read(0, offset, budget)
                first = offset // 2
                expected = range(first, min(20, first + entries))
                assert [entry.base_offset // 2 for entry in found] == list(expected)
                tail = h.log.read_tail(0, offset, budget)
                assert tail is None or tail.end_offset == found[-1].end_offset
                if tail is not None:
                    assert b"".join(tail.pieces) == b"".join(entry.payload for entry in found)
        await h.log.close()

    run(main)


def test_edges():
    async def main() -> None:
        h, _ = await written(3)
        assert await h.log.read(0, 6, 100) == []
        assert await h.log.read(0, 7, 100) == []
        assert h.log.read_tail(0, 6, 100) == Payloads([], 6, 0)
        assert h.log.read_tail(0, 0, 100) is None
        assert await h.log.read(99, 0, 100) == []
        assert await h.log.find_timestamp(99, 0) is None
        for offset, budget in ((-1, 100), (0, -1)):
            with pytest.raises(Invalid):
                await h.log.read(0, offset, budget)
            with pytest.raises(Invalid):
                h.log.read_tail(0, offset, budget)
        h.log._contents.streams[0].truncate(2)
        with pytest.raises(Truncated):
            await h.log.read(0, 1, 100)

    run(main)


def test_a_thousand_readers_of_one_block_cost_one_get():
    async def main() -> None:
        h, faulty = await written(1)
        faulty.latency_s = 0.1
        results = await asyncio.gather(*(h.log.read(0, 0, 100) for _ in range(1000)))
        assert {entries[0].base_offset for entries in results} == {0}
        assert faulty.count("get_range", "1/0000000000") == 1

    run(main)


def test_the_next_blocks_are_read_ahead():
    async def main() -> None:
        h, faulty = await written(8, dataclasses.replace(CONFIG, segment_blocks_max=100))
        loop = asyncio.get_running_loop()
        await h.log._reader.tables.get(h.log._contents.chain.links[0])  # not what is measured here
        faulty.calls.clear()
        faulty.latency_s = 0.1
        start = loop.time()
        for n in range(8):
            await h.log.read(0, 2 * n, 100)
        assert loop.time() - start < 0.15
        assert faulty.count("get_range") == 8

    run(main)


def test_a_long_read_from_the_store_lets_writes_pass_before_each_piece_and_its_end():
    async def main() -> None:
        config = dataclasses.replace(CONFIG, segment_blocks_max=1_000)
        h, _ = await written(600, config)
        await h.log.close()
        passes_count = 0

        async def let_writes_pass() -> None:
            nonlocal passes_count
            passes_count += 1

        h.store.let_writes_pass = let_writes_pass
        h = await Harness.open(h.store, config)
        found = await h.log.read(0, 0, 1 << 20, 1)
        assert len(found) < 600  # enough: the client comes back for the rest
        assert passes_count == 1 + len(found) // (MOST_OF_A_TURN_COUNT // 4)
        await h.log.close()

    run(main)


def test_old_footers_are_found_by_bisection():
    async def main() -> None:
        config = dataclasses.replace(
            CONFIG, segment_blocks_max=1, table_cache_bytes_max=0, block_cache_bytes_max=0
        )
        h, faulty = await written(60, config)
        assert len(h.log._contents.chain.links) > 60
        for n in (0, 17, 59):
            faulty.calls.clear()
            assert (await h.log.read(0, 2 * n, 1))[0].base_offset == 2 * n
            assert faulty.count("list") <= 8  # one per footer looked at
            faulty.calls.clear()
            found = await h.log.find_timestamp(0, n)
            assert found is not None
            assert found.base_offset == 2 * n
            assert faulty.count("list") <= 8

    run(main)


def test_a_slow_store_is_unavailable_and_the_next_read_works():
    async def main() -> None:
        config = dataclasses.replace(CONFIG, store_timeout_ms=1000)
        h, faulty = await written(1, config)
        faulty.plan = [Planned("get_range", "logs/", Fault.HANG)]
        with pytest.raises(Unavailable):
            await h.log.read(0, 0, 100)
        assert len(await h.log.read(0, 0, 100)) == 1

    run(main)


def test_a_damaged_block_is_corrupt_and_harms_no_other():
    async def main() -> None:
        h, faulty = await written(3)
        key = next(k for k in faulty.inner.objects if k.endswith("1/0000000001"))
        body = bytearray(faulty.inner.objects[key])
        body[-1] ^= 1
        faulty.inner.objects[key] = bytes(body)
        assert len(await h.log.read(0, 0, 100)) == 1
        for _ in range(2):
            with pytest.raises(Corrupt, match="segment 1, block 1"):
                await h.log.read(0, 2, 100)
        assert len(await h.log.read(0, 4, 100)) == 1

    run(main)


def test_a_read_returns_what_lies_before_a_damaged_block():
    async def main() -> None:
        h, faulty = await written(3)
        key = next(k for k in faulty.inner.objects if k.endswith("1/0000000001"))
        faulty.inner.objects[key] = faulty.inner.objects[key][:-1]
        assert [entry.base_offset for entry in await h.log.read(0, 0, 10_000)] == [0]
        with pytest.raises(Corrupt, match="segment 1, block 1"):
            await h.log.read(0, 2, 10_000)
        assert [entry.base_offset for entry in await h.log.read(0, 4, 10_000)] == [4]

    run(main)


def test_a_read_returns_what_lies_before_a_block_that_is_late():
    async def main() -> None:
        config = dataclasses.replace(CONFIG, store_timeout_ms=1000)
        h, faulty = await written(3, config)
        faulty.plan = [Planned("get_range", "1/0000000001", Fault.HANG)]
        assert [entry.base_offset for entry in await h.log.read(0, 0, 10_000)] == [0]
        assert [entry.base_offset for entry in await h.log.read(0, 2, 10_000)] == [2, 4]

    run(main)


def test_a_read_that_runs_while_segments_roll():
    async def main() -> None:
        faulty = FaultyObjectStore(MemoryStore(), latency_s=0.01)
        h = await Harness.open(await open_store("", "object", objects=faulty), CONFIG)

        async def write() -> None:
            for n in range(60):
                await h.add(n % 2, b"%02d" % n * 50)

        async def follow(stream: int) -> list[int]:
            seen: list[int] = []
            while len(seen) < 30:
                for entry in await h.log.read(stream, len(seen), 250):
                    assert entry.base_offset == len(seen)
                    seen.append(int(bytes(entry.payload[:2])))
                await asyncio.sleep(0.007)
            return seen

        _, zero, one = await asyncio.gather(write(), follow(0), follow(1))
        assert zero == list(range(0, 60, 2))
        assert one == list(range(1, 60, 2))

    run(main)


def test_a_read_of_what_is_in_memory_lets_others_have_the_loop():
    async def main() -> None:
        for tail_bytes_max in (0, 1 << 30):
            config = dataclasses.replace(
                CONFIG, tail_bytes_max=tail_bytes_max, segment_blocks_max=100
            )
            faulty = FaultyObjectStore(MemoryStore())
            h = await Harness.open(await open_store("", "object", objects=faulty), config)
            for _ in range(50):
                await asyncio.gather(*(h.add(0, b"x") for _ in range(100)))
            await h.read_all(0)
            faulty.calls.clear()
            turns_count = 0

            async def other() -> None:
                nonlocal turns_count
                while True:
                    turns_count += 1
                    await asyncio.sleep(0)

            beside = asyncio.ensure_future(other())
            assert len(await h.log.read(0, 0, 1 << 20)) == 5_000
            assert turns_count >= 5_000 // MOST_OF_A_TURN_COUNT
            turns_count = 0
            found_count = len(await h.log.read(0, 0, 1 << 20, 1))
            assert 500 <= found_count <= 800
            assert found_count // MOST_OF_A_TURN_COUNT <= turns_count <= 5
            assert not faulty.calls
            beside.cancel()
            await h.log.close()

    run(main)


def test_a_read_that_has_enough_does_not_wait_for_more():
    async def main() -> None:
        h, faulty = await written(8, dataclasses.replace(CONFIG, segment_blocks_max=100))
        await h.log._reader.tables.get(h.log._contents.chain.links[0])  # not what is measured here
        loop = asyncio.get_running_loop()
        faulty.latency_s = lambda _, key: 0.1 if key.endswith("0") else 5
        start = loop.time()
        assert [entry.base_offset for entry in await h.log.read(0, 0, 10_000, 100)] == [0]
        assert loop.time() - start < 0.2
        found = await h.log.read(0, 0, 10_000, 101)  # the others were read ahead
        assert [entry.base_offset for entry in found] == list(range(0, 16, 2))
        assert 4.9 < loop.time() - start < 5.2

    run(main)


def test_blocks_that_lie_alone_are_found_at_a_cost_that_read_ahead_does_not_multiply():
    """Each is an object of its own: there is no stretch to look for, and those ahead are known."""

    async def main() -> None:
        blocks_count = 600
        h, _ = await written(
            blocks_count, dataclasses.replace(CONFIG, segment_blocks_max=blocks_count)
        )
        blocks = h.log._reader.blocks
        find, looks = blocks._largest, []

        def largest(view, runs, at):
            looks.append(at)
            return find(view, runs, at)

        blocks._largest = largest
        found = await h.log.read(0, 0, 10**9)
        assert len(found) == blocks_count
        assert len(looks) <= 6 * blocks_count
        await h.log.close()

    run(main)
