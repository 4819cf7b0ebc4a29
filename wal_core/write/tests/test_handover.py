"""An opener gets a word in while the writer is busy; and nothing but time depends on it."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from wal_core import Fenced, LogConfig, MemoryStore, open_store
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness
from wal_core.write.handover import call_key

CONFIG = dataclasses.replace(LogConfig.preset("object"), writes_per_s_max=0)
KEY = call_key(0)


async def opened(objects: FaultyObjectStore) -> Harness:
    return await Harness.open(await open_store("", "object", objects=objects), CONFIG)


class Load:
    """A record every so often, until the log says no; counts what was acknowledged."""

    def __init__(self, h: Harness, pause_s: float) -> None:
        self.acked_count = 0
        self.error: Exception | None = None
        self._h = h
        self._pause_s = pause_s
        self._waits: set[asyncio.Task[None]] = set()
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while self.error is None:
            self._waits.add(asyncio.ensure_future(self._one(self._h.add(0, b"x"))))
            await asyncio.sleep(self._pause_s)

    async def _one(self, confirmed: asyncio.Future[None]) -> None:
        try:
            await confirmed
            self.acked_count += 1
        except Fenced as error:
            self.error = error

    async def end(self) -> None:
        """Wait until the writer has stepped down."""
        await asyncio.gather(self.task, return_exceptions=True)
        await asyncio.gather(*self._waits)


@pytest.mark.parametrize("latency_s", [0.02, 0.2])
@pytest.mark.parametrize("blocks_in_flight_count", [1, 4, 12])
def test_a_busy_writer_is_fenced_in_a_few_round_trips(latency_s, blocks_in_flight_count):
    """It fills slots faster than anybody could list, read and then fill the next one."""

    async def main() -> None:
        bucket = MemoryStore()
        busy = await opened(FaultyObjectStore(bucket, latency_s=latency_s, seed=1, jitter_s=0.001))
        load = Load(busy, latency_s / blocks_in_flight_count)
        await asyncio.sleep(2)
        assert load.acked_count
        async with asyncio.timeout(10 + 40 * latency_s):
            heir = await opened(FaultyObjectStore(bucket, latency_s=latency_s, seed=2))
        await load.end()
        found = len(await heir.read_all(0))
        assert found >= load.acked_count
        await heir.add(0, b"heir")
        assert KEY not in bucket.objects

    run(main)


@pytest.mark.parametrize("fault", [None, *Fault])
def test_a_call_that_nobody_follows_up_costs_a_moment(fault):
    """Its caller died: the writer holds on once, takes it away, and goes on."""

    async def main() -> None:
        bucket = MemoryStore()
        store = FaultyObjectStore(bucket, latency_s=0.01)
        for operation in ("size", "delete") if fault is not None else ():
            if operation == "delete" or fault is not Fault.LATE:
                store.plan.append(Planned(operation, KEY, fault, late_s=0.2))
        h = await opened(store)
        await bucket.create(KEY, [b"{}"])
        for number in range(300):
            await h.add(0, b"%d" % number)
            await asyncio.sleep(0.1)
        assert KEY not in bucket.objects
        assert not store.plan
        assert len(await h.read_all(0)) == 300

    run(main)


def test_while_a_writer_holds_on_it_starts_nothing_and_loses_nothing():
    async def main() -> None:
        bucket = MemoryStore()
        store = FaultyObjectStore(bucket, latency_s=0.01)
        h = await opened(store)
        await bucket.create(KEY, [b"{}"])
        await asyncio.sleep(2)
        await h.add(0, b"this one makes it look")
        await asyncio.sleep(0.1)
        before = len(bucket.objects)
        confirmed = h.add(0, b"held")
        await asyncio.sleep(2)
        assert len(bucket.objects) == before
        assert not confirmed.done()
        await confirmed
        await h.log.close()
        assert len(await (await opened(FaultyObjectStore(bucket))).read_all(0)) == 2

    run(main)


def test_who_holds_on_goes_on_once_the_caller_has_hung_up():
    """Its log is taken: the sooner it writes, the sooner its clients hear of that."""

    async def main() -> None:
        bucket = MemoryStore()
        h = await opened(FaultyObjectStore(bucket, latency_s=0.01))
        loop = asyncio.get_running_loop()
        await bucket.create(KEY, [b"{}"])
        await asyncio.sleep(2)
        await h.add(0, b"this one makes it look")
        await asyncio.sleep(0.1)
        confirmed = h.add(0, b"held")
        await asyncio.sleep(0.5)
        await bucket.delete(KEY)
        hung_up_s = loop.time()
        await confirmed
        assert loop.time() - hung_up_s < 0.5
        assert KEY not in bucket.objects

    run(main)


def test_a_fenced_writer_steps_down_soon_after_its_log_was_taken():
    async def main() -> None:
        bucket = MemoryStore()
        busy = await opened(FaultyObjectStore(bucket, latency_s=0.02, seed=1, jitter_s=0.001))
        load = Load(busy, 0.005)
        await asyncio.sleep(2)
        await opened(FaultyObjectStore(bucket, latency_s=0.02, seed=2))
        taken_s = asyncio.get_running_loop().time()
        await load.end()
        assert asyncio.get_running_loop().time() - taken_s < 1

    run(main)


def test_an_idle_writer_asks_for_nothing_and_a_busy_one_once_a_second():
    async def main() -> None:
        store = FaultyObjectStore(MemoryStore(), latency_s=0.01)
        h = await opened(store)
        await h.add(0, b"x")
        await asyncio.sleep(5)
        await h.add(0, b"x")
        before = len(store.calls)
        await asyncio.sleep(3600)
        assert [call.key for call in store.calls[before:] if call.key == KEY] == []
        begun_s = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < begun_s + 60:
            await h.add(0, b"x")
        looks = [call for call in store.calls[before:] if call.key == KEY]
        assert 50 <= len(looks) <= 60

    run(main)
