"""As many reads at once as the store answers as fast as a few."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from wal_core.stores.read_window import READS_MAX_COUNT, READS_MIN_COUNT, ReadWindow
from wal_core.testing.sim_loop import run

Read = Callable[[], Awaitable[None]]


async def read_all(window: ReadWindow, read: Read, count: int, size_bytes: int = 0) -> None:
    async def one() -> None:
        async with window.turn(size_bytes):
            await read()

    await asyncio.gather(*(one() for _ in range(count)))


def wide() -> Read:
    """A store that answers as many as are asked, each after 20 ms."""
    return lambda: asyncio.sleep(0.02)


def narrow() -> Read:
    """One that answers one after the other, 4 ms each."""
    line = asyncio.Lock()

    async def read() -> None:
        async with line:
            await asyncio.sleep(0.004)

    return read


def test_of_a_store_that_does_not_mind_many_are_read_at_once():
    async def scenario() -> float:
        window, loop = ReadWindow(), asyncio.get_running_loop()
        began_s = loop.time()
        await read_all(window, wide(), 1_000)
        assert window.reads_max == READS_MAX_COUNT
        return loop.time() - began_s

    # 4, 8, 16, 32 and then 64 at once.
    assert run(scenario) < 25 * 0.02


def test_a_writer_waits_for_few_reads_of_a_store_with_one_line_and_no_read_takes_longer():
    async def scenario() -> tuple[float, float]:
        window, read, loop = ReadWindow(), narrow(), asyncio.get_running_loop()
        began_s = loop.time()
        reading = asyncio.create_task(read_all(window, read, 500))
        longest_s = 0.0
        while not reading.done():
            await asyncio.sleep(0.05)
            asked_s = loop.time()
            await read()
            longest_s = max(longest_s, loop.time() - asked_s)
        return longest_s, loop.time() - began_s

    longest_s, took_s = run(scenario)
    assert longest_s <= 4 * READS_MIN_COUNT * 0.004 < READS_MAX_COUNT * 0.004
    assert took_s < 500 * 0.004 * 1.25  # the line was never empty


def test_what_takes_long_for_its_bytes_is_not_slow():
    async def scenario() -> int:
        window = ReadWindow()
        await read_all(window, wide(), 100)
        await read_all(window, lambda: asyncio.sleep(0.2), 100, size_bytes=4 << 20)
        return window.reads_max

    assert run(scenario) == READS_MAX_COUNT


def test_a_store_that_has_become_slower_is_read_as_wide_as_before():
    async def scenario() -> int:
        window = ReadWindow()
        await read_all(window, wide(), 300)
        await read_all(window, lambda: asyncio.sleep(0.5), 1_000)
        return window.reads_max

    assert run(scenario) == READS_MAX_COUNT


def test_who_is_cancelled_while_waiting_or_reading_keeps_nobody_out():
    async def scenario() -> None:
        window = ReadWindow()
        tasks = [asyncio.create_task(read_all(window, wide(), 1)) for _ in range(30)]
        await asyncio.sleep(0.001)
        for task in tasks[::2]:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        # Given their turn, and cancelled in the same moment.
        leaving = [asyncio.create_task(read_all(window, wide(), 1)) for _ in range(2 * 64)]
        await asyncio.sleep(0.02)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await read_all(window, wide(), 200)

    run(scenario)
