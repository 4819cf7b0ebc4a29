"""Single flight, bounds, deadlines."""

from __future__ import annotations

import asyncio

import pytest

from wal_core import Corrupt, Unavailable
from wal_core.budgets import CatchUp, SharedMemory
from wal_core.read.cache import LoadingCache
from wal_core.testing.sim_loop import run


class Loads:
    def __init__(self, seconds: float = 1.0) -> None:
        self.keys: list[int] = []
        self.seconds = seconds
        self.error: Exception | None = None

    async def __call__(self, key: int) -> bytes:
        self.keys.append(key)
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return bytes(key)


def cache(loads: Loads, bytes_max: int = 100) -> LoadingCache[int, bytes]:
    return LoadingCache(SharedMemory(bytes_max), loads, len, 5000)


def test_a_thousand_readers_cost_one_load():
    async def main() -> None:
        loads = Loads()
        values = cache(loads)
        values.prefetch(7)
        assert await asyncio.gather(*(values.get(7) for _ in range(1000))) == [bytes(7)] * 1000
        await values.get(7)
        assert loads.keys == [7]

    run(main)


def test_a_reader_that_goes_away_does_not_fail_the_others():
    async def main() -> None:
        loads = Loads()
        values = cache(loads)
        first = asyncio.ensure_future(values.get(7))
        await asyncio.sleep(0.1)
        second = asyncio.ensure_future(values.get(7))
        await asyncio.sleep(0.1)
        first.cancel()
        assert await second == bytes(7)
        assert loads.keys == [7]

    run(main)


def test_failures_reach_every_reader_and_are_not_kept():
    async def main() -> None:
        loads = Loads()
        loads.error = Corrupt("bad")
        values = cache(loads)
        results = await asyncio.gather(*(values.get(1) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [Corrupt] * 3
        loads.error = None
        assert await values.get(1) == bytes(1)

    run(main)


def test_a_late_load_is_unavailable():
    async def main() -> None:
        with pytest.raises(Unavailable):
            await cache(Loads(seconds=6)).get(1)

    run(main)


def test_the_least_recently_used_leave_first():
    async def main() -> None:
        loads = Loads()
        values = cache(loads)
        for key in (40, 30, 20):
            await values.get(key)
        await values.get(40)
        await values.get(25)  # 115 > 100: the 30 goes
        assert values.peek(30) is None
        assert {key for key in (40, 20, 25) if values.peek(key)} == {40, 20, 25}
        assert values.bytes_count == 85
        await values.get(101)  # larger than the cache: served, not kept
        assert values.peek(101) is None
        assert values.bytes_count == 85
        values.put(20, bytes(10))
        assert values.bytes_count == 75
        await values.close()
        assert values.bytes_count == 0

    run(main)


def test_close_ends_loads():
    async def main() -> None:
        values = cache(Loads())
        reader = asyncio.ensure_future(values.get(1))
        await asyncio.sleep(0.1)
        await values.close()
        with pytest.raises(asyncio.CancelledError):
            await reader

    run(main)


def test_loads_under_way_are_bounded_and_served_in_order():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        flying = flying_max = 0
        finished: list[int] = []

        async def load(key: int) -> bytes:
            nonlocal flying, flying_max
            flying += key
            flying_max = max(flying_max, flying)
            await asyncio.sleep(0.1)
            flying -= key
            finished.append(key)
            return b"x"

        cache = LoadingCache(
            SharedMemory(0),
            load,
            len,
            1_000,
            room=CatchUp(100).room(),
            expected_bytes=lambda key: key,
        )
        keys = [60, 40, 50, 30, 500, 20]
        gets = [asyncio.ensure_future(cache.get(key)) for key in keys]
        await asyncio.sleep(0.01)
        cache.prefetch(7)  # no room: nobody waits for it
        gets[3].cancel()  # who asked goes; the load is the cache's
        await asyncio.gather(*gets, return_exceptions=True)
        assert finished == keys
        assert flying_max == 500  # alone
        assert loop.time() == pytest.approx(0.4)
        cache.prefetch(7)
        await asyncio.sleep(1)
        assert finished[-1] == 7

    run(main)


def test_who_waits_for_room_is_told_in_time_and_the_load_keeps_its_place():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loads = Loads(seconds=4)
        values = LoadingCache(
            SharedMemory(100),
            loads,
            len,
            5_000,
            room=CatchUp(1).room(),
            expected_bytes=lambda key: 1,
        )
        gets = [asyncio.ensure_future(values.get(key)) for key in (1, 2, 3)]
        results = await asyncio.gather(*gets, return_exceptions=True)
        assert [type(result) for result in results] == [bytes, bytes, Unavailable]
        assert loop.time() == pytest.approx(10)
        assert await values.get(3) == bytes(3)
        assert loads.keys == [1, 2, 3]

    run(main)


def test_who_gives_up_waiting_for_room_takes_none():
    async def main() -> None:
        room = CatchUp(10).room()
        await room.take(10)
        waiting = [asyncio.ensure_future(room.take(10)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        room.give_back(10)  # the second's
        waiting[1].cancel()  # in the same turn: it has it already, and gives it on
        await asyncio.gather(*waiting, return_exceptions=True)
        assert [one.cancelled() for one in waiting] == [True, True, False]
        assert not room.has(1)
        room.give_back(10)
        assert room.has(10)

    run(main)
