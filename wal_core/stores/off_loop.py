"""Keeping the event loop free of long computation, and those who need it free of each other.

A *lane* is a few threads for one kind of need. Nobody uses the loop's own executor: there, whoever
makes much work for one need would hold up all the others, and a segment's end waits behind reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from wal_core.stores.sharing import SHARING

LARGE_ROWS_COUNT = 2_000
"""Going through so many rows takes some milliseconds. On the loop, sixty thousand tiny entries
would hold up everybody for a sixth of a second, a thousand streams in each of 256 blocks for
0.6 s."""

T = TypeVar("T")


class Lane:
    """Threads for one kind of need. They come with the first work; and after `close`, which is for
    whoever ends the process, with the next."""

    def __init__(self, name: str, threads_max_count: int) -> None:
        self._name = name
        self._threads_max_count = threads_max_count
        self._pool: ThreadPoolExecutor | None = None

    def start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do `work` in a thread, after what was started before if all are busy. Cancelling the
        future does not stop work that has begun."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads_max_count, self._name)
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        # What computes beside the loop and what the loop does take short turns.
        SHARING.begin()
        future.add_done_callback(_ended)
        return future

    def close(self) -> None:
        """What has not begun is never done."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _ended(_: asyncio.Future[T]) -> None:
    SHARING.end()


WRITER = Lane("wal-writer", 1)
"""Footers: until one is stored nothing newer is."""
READER = Lane("wal-parser", 2)
"""Blocks and tables that somebody waits for; bounded by the bytes that may be read at once."""
UPKEEP = Lane("wal-upkeep", 1)
"""Compaction, one step at a time."""


def close_lanes() -> None:
    """At the end of a process."""
    for lane in (WRITER, READER, UPKEEP):
        lane.close()


async def off_loop_if_large(lane: Lane, rows_count: int, work: Callable[[], T]) -> T:
    """Do `work`, which goes through so many rows: at once if they are few, else in a thread, which
    lets the loop in between every few milliseconds. Raises what it raises."""
    if rows_count < LARGE_ROWS_COUNT:
        return work()
    return await lane.start(work)
