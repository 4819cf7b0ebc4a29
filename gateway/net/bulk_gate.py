"""Where large requests wait for each other, so that nobody waits for them.

A request of many kilobytes that is no data, or one whose answer is large, takes a tenth of a second
of work and tens of megabytes. Few are under way at a time; the others wait, each address in turn,
still undecoded. What one address has waiting here is bounded: it must not use up the memory for
requests, of which all who send share one budget. What takes long in one piece runs in a thread of
its own, which lets the loop in between every few milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from wal_core import Lane

T = TypeVar("T")

SLOTS_COUNT = 2


class TooMuchWaiting(Exception):
    """One address has as much waiting as it may."""


class BulkGate:
    """`slot` is held while a large request is decoded, served and encoded."""

    def __init__(self, waiting_bytes_max: int, slots_count: int = SLOTS_COUNT) -> None:
        self._waiting_bytes_max = waiting_bytes_max  # of one address
        self._free_count = slots_count
        # By address; the one whose turn is next comes first.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._waiting_bytes: dict[str, int] = {}
        self._thread = Lane("bulk", 1)

    @asynccontextmanager
    async def slot(self, owner: str, size_bytes: int) -> AsyncIterator[None]:
        """Wait for a slot, which is held inside of it. Raises TooMuchWaiting."""
        if self._free_count:
            self._free_count -= 1
        else:
            await self._wait(owner, size_bytes)
        try:
            yield
        finally:
            self._leave()

    async def compute(self, work: Callable[[], T]) -> T:
        """Do `work` beside the loop. Raises what it raises."""
        return await self._thread.start(work)

    async def _wait(self, owner: str, size_bytes: int) -> None:
        waiting_bytes = self._waiting_bytes.get(owner, 0) + size_bytes
        if waiting_bytes > self._waiting_bytes_max:
            raise TooMuchWaiting(
                f"{owner} has {waiting_bytes} bytes of large requests waiting, "
                f"the most is {self._waiting_bytes_max}; send them one after the other"
            )
        self._waiting_bytes[owner] = waiting_bytes
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # it had just been given the slot
            raise
        finally:
            left_bytes = self._waiting_bytes[owner] - size_bytes
            if left_bytes:
                self._waiting_bytes[owner] = left_bytes
            else:
                del self._waiting_bytes[owner]

    def _leave(self) -> None:
        while self._waiting:
            owner = next(iter(self._waiting))
            turns = self._waiting.pop(owner)
            turn = turns.popleft()
            if turns:
                self._waiting[owner] = turns  # behind all others
            if not turn.done():
                turn.set_result(None)
                return
        self._free_count += 1

    def close(self) -> None:
        """What has not begun is never done."""
        self._thread.close()
