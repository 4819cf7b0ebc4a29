"""Keeping the event loop free of long computation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

LARGE_ROWS_COUNT = 2_000
"""Going through so many rows takes some milliseconds. On the loop, sixty thousand tiny entries
would hold up everybody for a sixth of a second, a thousand streams in each of 256 blocks for
0.6 s."""

T = TypeVar("T")


async def off_loop_if_large(rows_count: int, work: Callable[[], T]) -> T:
    """Do `work`, which goes through so many rows: at once if they are few, else in a thread, which
    lets the loop in between every few milliseconds. Raises what it raises."""
    if rows_count < LARGE_ROWS_COUNT:
        return work()
    return await asyncio.get_running_loop().run_in_executor(None, work)
