"""What an opening costs: round trips that do not grow with history."""

from __future__ import annotations

import asyncio

from wal_core import Log, LogConfig, MemoryStore, SystemClock, open_store
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng, Harness, Recorder

OBJECT = LogConfig.preset("object")
LATENCY_S = 0.05


async def opening_s(blocks_count: int) -> float:
    """Virtual seconds of an opening after a crash behind so many blocks."""
    bucket = FaultyObjectStore(MemoryStore())
    store = await open_store("", "object", objects=bucket)
    h = await Harness.open(store, OBJECT)
    for _ in range(blocks_count):
        await h.add(0, b"x")
        h.state.entries.clear()  # a checkpoint that does not grow
    await h.log.until_quiet()
    await h.crash()
    bucket.latency_s = LATENCY_S
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    log = await Log.open(store, Recorder(), OBJECT, clock=SystemClock(), rng=CountingRng())
    took_s = loop.time() - begun_s
    bucket.latency_s = 0
    await log.close()
    return took_s


def test_the_time_an_opening_takes_does_not_grow_with_history():
    async def main() -> None:
        took = {count: await opening_s(count) for count in (10, 250, 1_000, 10_000)}
        trips = {count: round(took_s / LATENCY_S) for count, took_s in took.items()}
        # The longest that may have to be replayed is one segment, whose blocks are read ever
        # more at once while the store is no slower for it: four, eight and so on up to 64.
        most = max(trips[10], trips[250])
        assert trips[1_000] <= most + 1
        assert trips[10_000] <= most + 1
        assert most <= 20, trips

    run(main)
