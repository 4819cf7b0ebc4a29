"""Truncation and the questions retention asks: against a scan, over blocks, segments, restarts."""

from __future__ import annotations

import dataclasses
import random  # noqa: TID251 - seeded

import pytest

from wal_core import Invalid, LogConfig, MemoryStore, Truncated, open_store
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness

CONFIG = dataclasses.replace(
    LogConfig.preset("object"),
    segment_blocks_max=4,
    tail_bytes_max=0,
    gather_ms=0,
    seal_segments_min_count=1_000,
)


async def opened(bucket: MemoryStore, config: LogConfig = CONFIG) -> Harness:
    faulty = FaultyObjectStore(bucket)
    return await Harness.open(await open_store("", "object", objects=faulty), config)


def test_what_is_truncated_is_not_read_again_and_a_footer_remembers():
    async def main() -> None:
        bucket = MemoryStore()
        h = await opened(bucket)
        for n in range(10):
            await h.add(0, b"%d" % n, count=2)
        h.log.truncate(0, 7)
        h.log.truncate(0, 3)  # never back
        assert h.log.start_offset(0) == 7
        with pytest.raises(Truncated):
            await h.log.read(0, 6, 100)
        # The batch that holds the start comes whole.
        assert [e.base_offset for e in await h.log.read(0, 7, 0)] == [6]
        for wrong in (-1, 21):
            with pytest.raises(Invalid):
                h.log.truncate(0, wrong)
        h.log.truncate(0, 20)
        assert await h.log.read(0, 20, 100) == []
        await h.log.close()
        h = await opened(bucket)
        assert (h.log.start_offset(0), h.log.end_offset(0)) == (20, 20)
        assert await h.log.size_bytes(0) == 0
        await h.add(0, b"next")
        assert [e.base_offset for e in await h.log.read(0, 20, 100)] == [20]

    run(main)


def test_a_truncation_meanwhile_ends_a_read_at_what_it_has():
    async def main() -> None:
        h = await opened(MemoryStore())
        for n in range(6):
            await h.add(0, b"%d" % n)
        original = h.log._reader._read_stored

        async def truncating(*args: int, wait: bool):
            found = await original(*args, wait=wait)
            if args[1] == 1:
                h.log.truncate(0, 5)
            return found

        h.log._reader._read_stored = truncating  # type: ignore[method-assign]
        assert [e.base_offset for e in await h.log.read(0, 0, 100)] == [0, 1]

    run(main)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("reopen", [False, True])
def test_the_index_answers_retention_as_a_scan_would(seed, reopen):
    async def main() -> None:
        rng = random.Random(seed)
        bucket = MemoryStore()
        h = await opened(bucket)
        times = []
        for n in range(40):
            times.append(max(0, n * 10 + rng.randrange(-25, 5)))
            pending = [h.add(0, b"x" * rng.randrange(1, 50), ts=times[-1])]
            pending.append(h.add(1, b"other"))
            for confirmation in pending:
                await confirmation
        if reopen:
            await h.log.close()
            h = await opened(bucket)
        entries = await h.log.read(0, 0, 1 << 20)
        sizes = [len(entry.payload) for entry in entries]
        for start in (0, 13, 27, 40):
            h.log.truncate(0, start)
            assert await h.log.size_bytes(0) == sum(sizes[start:])
            for size in (0, 1, 100, sum(sizes[start:]), 10**6):
                kept = await h.log.offset_for_size(0, size)
                # The highest offset that leaves enough; one entry per block, so exact.
                fits = [at for at in range(start, 41) if sum(sizes[at:]) >= size]
                last_run = min(39, fits[-1]) if fits else start
                assert kept == (40 if start == 40 else max(start, last_run))
            for timestamp in range(0, 420, 7):
                kept = await h.log.offset_for_time(0, timestamp)
                expected = next((n for n in range(start, 40) if times[n] >= timestamp), 40)
                assert kept == expected
                found = await h.log.find_timestamp(0, timestamp)
                live = next((n for n in range(start, 40) if times[n] >= timestamp), None)
                assert (found.base_offset if found else None) == live
        assert await h.log.offset_for_time(1, 10**9) == 0  # it never saw a time
        assert await h.log.offset_for_time(9, 5) == await h.log.size_bytes(9) == 0

    run(main)


def test_retention_with_nothing_to_remove_asks_the_store_for_nothing():
    async def main() -> None:
        bucket = MemoryStore()
        h = await opened(bucket)
        for n in range(20):
            await h.add(0, b"%d" % n, ts=1_000 + n)
        await h.log.close()
        h = await opened(bucket)
        assert await h.log.offset_for_time(0, 1_000) == 0
        store = h.store.objects
        store.calls.clear()
        for _ in range(10):
            assert await h.log.offset_for_time(0, 1_000) == 0
            assert await h.log.offset_for_size(0, 10**6) == 0
        assert store.calls == []

    run(main)
