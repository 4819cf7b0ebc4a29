"""The virtual-time loop itself."""

from __future__ import annotations

import asyncio
import threading

import pytest

from wal_core.testing.sim_loop import SimDeadlock, SimOverrun, run


def test_time_is_virtual_and_order_reproducible():
    async def main() -> list[tuple[float, int]]:
        loop = asyncio.get_running_loop()
        trace = []

        async def worker(n: int) -> None:
            for _ in range(5):
                await asyncio.sleep(loop.rng.random() * 1000)
                trace.append((loop.time(), n))
                await asyncio.to_thread(lambda: None)

        await asyncio.gather(*(worker(n) for n in range(4)))
        return trace

    first = run(main, seed=1)
    assert first == run(main, seed=1) != run(main, seed=2)
    assert first[-1][0] > 100


def test_timeouts_and_executor_errors_work():
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.get_running_loop().create_future()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return asyncio.get_running_loop().time()

    assert 3600 <= run(main) < 3601


def test_deadlock_and_overrun_are_reported():
    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(SimDeadlock, match="stuck"):
        run(stuck)

    async def polls() -> None:
        while True:
            await asyncio.sleep(1)

    with pytest.raises(SimOverrun):
        run(polls, virtual_s_max=100)


def test_threads_may_not_call_in():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        caught: list[BaseException] = []

        def intrude() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except AssertionError as error:
                caught.append(error)

        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        assert caught

    run(main)
