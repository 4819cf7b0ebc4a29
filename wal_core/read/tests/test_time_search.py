"""Times that do not rise: what is left decides, and nothing that is gone."""

from __future__ import annotations

import dataclasses
import random  # noqa: TID251 - seeded

import pytest

from wal_core import LogConfig, MemoryStore, open_store
from wal_core.config import MIB
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, VirtualClock
from wal_core.tests.harness import Harness

KEPT = dataclasses.replace(
    LogConfig.preset("object"),
    gather_ms=0,
    segment_blocks_max=4,
    tail_bytes_max=0,
    seal_segments_min_count=1_000,
)
SEALED = dataclasses.replace(SMALL, table_cache_bytes_max=MIB)
AHEAD = 10_000
STREAM = 0


async def opened(bucket: MemoryStore, config: LogConfig) -> Harness:
    store = await open_store("", "object", objects=FaultyObjectStore(bucket))
    return await Harness.open(store, config, clock=VirtualClock())


async def filled(h: Harness, times: list[int], per_block: int) -> None:
    for at in range(0, len(times), per_block):
        together = [h.add(STREAM, b"x" * 40, ts=time) for time in times[at : at + per_block]]
        together.append(h.add(1, b"other", ts=5))
        for confirmation in together:
            await confirmation
    await h.log.until_quiet()


async def reopened(h: Harness, bucket: MemoryStore, config: LogConfig) -> Harness:
    """The next opener knows no more of a truncation than what its user says again."""
    start = h.log.start_offset(STREAM)
    await h.log.close()
    h = await opened(bucket, config)
    h.log.truncate(STREAM, start)
    return h


@pytest.mark.parametrize("config", [KEPT, SEALED], ids=["as written", "sealed"])
@pytest.mark.parametrize("reopen", [False, True])
def test_a_record_ahead_of_its_time_keeps_nothing_once_it_is_gone(config, reopen):
    async def main() -> None:
        bucket = MemoryStore()
        h = await opened(bucket, config)
        times = [100, 101, AHEAD, *range(102, 160)]
        await filled(h, times, 1)
        # While it is there it keeps itself and what comes behind it, as a segment of Kafka does.
        assert await h.log.offset_for_time(STREAM, 1_000) <= 2
        h.log.truncate(STREAM, 3)
        if reopen:
            h = await reopened(h, bucket, config)
        assert await h.log.offset_for_time(STREAM, 1_000) == len(times)
        assert await h.log.find_timestamp(STREAM, 1_000) is None
        latest = await h.log.find_latest(STREAM)
        assert (latest.base_offset, latest.max_timestamp_ms) == (len(times) - 1, 159)
        await h.add(STREAM, b"late", ts=2_000)
        assert await h.log.offset_for_time(STREAM, 1_000) == len(times)
        assert (await h.log.find_timestamp(STREAM, 1_000)).base_offset == len(times)

    run(main)


@pytest.mark.parametrize("config", [KEPT, SEALED], ids=["as written", "sealed"])
@pytest.mark.parametrize("reopen", [False, True])
def test_nor_does_it_where_the_rest_of_its_block_is_left(config, reopen):
    async def main() -> None:
        bucket = MemoryStore()
        h = await opened(bucket, config)
        await filled(h, [100, AHEAD, *range(102, 130)], 3)
        h.log.truncate(STREAM, 2)
        if reopen:
            h = await reopened(h, bucket, config)
        assert await h.log.offset_for_time(STREAM, 1_000) == 30
        assert (await h.log.find_latest(STREAM)).base_offset == 29
        assert await h.log.find_timestamp(STREAM, 1_000) is None

    run(main)


@pytest.mark.parametrize("config", [KEPT, SEALED], ids=["as written", "sealed"])
@pytest.mark.parametrize("per_block", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_answers_are_those_of_a_scan_over_what_is_left(config, per_block, seed):
    async def main() -> None:
        rng = random.Random(seed)
        bucket = MemoryStore()
        h = await opened(bucket, config)
        times: list[int] = []
        start = 0
        for _ in range(4):
            clock = rng.choice([0, 0, AHEAD, -50])  # a clock that jumps, and jumps back
            more = [max(0, n * 10 + rng.randrange(-25, 25) + clock) for n in range(12)]
            times += more
            await filled(h, more, per_block)
            if rng.random() < 0.5:
                h = await reopened(h, bucket, config)
            start = rng.randint(start, len(times))
            h.log.truncate(STREAM, start)
            await compare(h, times, start)
        await h.log.close()

    async def compare(h: Harness, times: list[int], start: int) -> None:
        left = list(enumerate(times))[start:]
        latest = await h.log.find_latest(STREAM)
        best = max(left, key=lambda pair: (pair[1], -pair[0]), default=None)
        assert (latest and latest.base_offset) == (best and best[0])
        for time in {0, 1, AHEAD, *(t + d for t in times[-20:] for d in (0, 1))}:
            first = next((n for n, t in left if t >= time), None)
            found = await h.log.find_timestamp(STREAM, time)
            assert (found and found.base_offset) == first
            begins = await runs_left(h, start, len(times))
            # Whole blocks go, so all that is left of the first one that stays does.
            kept = len(times) if first is None else max(at for at in begins if at <= first)
            answer = await h.log.offset_for_time(STREAM, time)
            assert answer == kept or [answer, kept] == begins[:2]
            for behind in (start + 1, len(times) - 2):
                later = next((n for n, t in left if t >= time and n >= behind), None)
                found = await h.log.find_timestamp(STREAM, time, behind)
                assert (found and found.base_offset) == later

    run(main)


async def runs_left(h: Harness, start: int, end: int) -> list[int]:
    """Where runs of the stream begin, in this very moment, and the end; from its start on."""
    await h.log.until_quiet()
    segments = await h.log._reader.segments_from(STREAM, lambda row: row.end_offset > 0)
    views = [await h.log._reader.view(segment) for segment in segments]
    firsts = [run.first_offset for view in views for run in view.runs(STREAM)]
    return [*sorted({max(first, start) for first in firsts}), end]


def test_a_stream_without_times_keeps_all_and_finds_nothing():
    async def main() -> None:
        h = await opened(MemoryStore(), KEPT)
        await filled(h, [-1] * 4, 2)
        assert await h.log.offset_for_time(STREAM, AHEAD) == 0
        assert await h.log.find_latest(STREAM) is None
        # Those of the same segment go with a neighbour that has one.
        await h.add(STREAM, b"timed", ts=5)
        assert await h.log.offset_for_time(STREAM, 5) == 4

    run(main)


@pytest.mark.parametrize("ahead", [False, True])
def test_the_cost_of_a_sweep_is_what_it_lets_go(ahead):
    """Asked of a log of many segments whose tables nobody has in memory."""

    async def main() -> None:
        config = dataclasses.replace(KEPT, table_cache_bytes_max=0)
        bucket = MemoryStore()
        h = await opened(bucket, config)
        await filled(h, [*range(200), AHEAD if ahead else 200, *range(201, 400)], 1)
        assert await h.log.offset_for_time(STREAM, 1) == 1
        await h.log._maintenance.stop()  # which asks as well
        h.log.truncate(STREAM, 1)
        loads = 0
        original = h.log._reader.tables.get

        async def counting(link):
            nonlocal loads
            loads += 1
            return await original(link)

        h.log._reader.tables.get = counting  # type: ignore[method-assign]
        assert await h.log.offset_for_time(STREAM, 1) == 1
        first = loads
        assert first <= 16  # two bisections over a hundred segments
        assert await h.log.offset_for_time(STREAM, 1) == 1
        assert loads == first
        assert await h.log.offset_for_time(STREAM, 20) == 20
        assert loads - first <= 16 + 20 // 2
        loads = 0
        assert (await h.log.find_timestamp(STREAM, 190)).base_offset == 190
        assert loads <= 12  # a bisection, and what stands there

    run(main)
