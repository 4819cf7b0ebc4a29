"""What a log and its store count of themselves."""

from __future__ import annotations

import asyncio

import pytest

from wal_core import DURATION_BOUNDS_S, Histogram
from wal_core.stores.objects.counted import CountedObjects
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.tally import StoreTally
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness


def test_a_value_counts_up_to_its_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.add(value)
    assert (histogram.counts, histogram.count, histogram.total) == ([2, 2, 1], 5, 7.5)
    assert list(DURATION_BOUNDS_S) == sorted(DURATION_BOUNDS_S)


async def _one_block_on_its_way() -> None:
    tally = StoreTally()
    objects = FaultyObjectStore(MemoryStore())
    store = ObjectSegmentStore(CountedObjects(objects, tally), tally=tally)
    harness = await Harness.open(store)
    puts_count = tally.put.count
    objects.latency_s = 0.25
    done = harness.add(1, b"x" * 2_000)
    await asyncio.sleep(0.1)
    seen = harness.log.tally()
    assert seen.in_flight_count == tally.put.in_flight_count == 1
    assert seen.waiting_s == pytest.approx(0.1)
    await done
    seen = harness.log.tally()
    assert (seen.in_flight_count, seen.waiting_s) == (0, 0.0)
    assert seen.flushed.seconds.count == seen.flushed.sizes.count == 1
    assert seen.flushed.seconds.total == pytest.approx(0.25)
    assert 2_000 < seen.flushed.sizes.total < 2_500
    assert tally.put.count == puts_count + 1
    assert harness.log.read_tail(1, 0, 10_000).pieces
    assert harness.log.tally().tail_reads.found_count == 1
    await harness.log.close()


def test_a_log_tells_of_its_blocks_and_of_what_waits() -> None:
    run(_one_block_on_its_way)
