"""Memory for replies on their way: one budget over all connections.

A reply counts from the reading of its records until the peer's system has taken its last byte.
What must be sent is sent; who wants much asks first and may have to wait
(gateway.fairness.reply_share says how much is much). While anybody waits, those who take
nothing of what they are owed are let go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

_Line = deque[tuple[int, asyncio.Future[bool]]]
WAIT_S_MAX = 10.0  # for room; longer than it takes to let those go who do not read
PRESS_INTERVAL_S = 1.0


class Owed(Protocol):
    """What one client is owed: its share."""

    def press(self) -> None:
        """Others need the memory: let the client go if it does not take what it is owed."""


class ReplyBudget:
    """Bytes of replies that are being read, are done or are being sent."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.shares: dict[Owed, None] = {}  # of all open connections
        self._lines: tuple[_Line, _Line] = (deque(), deque())  # the first goes before the other
        self._press_timer: asyncio.TimerHandle | None = None

    @property
    def free_bytes(self) -> int:
        return self.limit_bytes - self.used_bytes if self.used_bytes < self.limit_bytes else 0

    def fits(self, count_bytes: int) -> bool:
        """Whether as much again stays free beside it, for others. Alone anything may go."""
        return not self.used_bytes or 2 * count_bytes <= self.free_bytes

    def take(self, count_bytes: int) -> None:
        """Never refuses: what is there is there."""
        self.used_bytes += count_bytes

    def give_back(self, count_bytes: int) -> None:
        self.used_bytes -= count_bytes
        assert self.used_bytes >= 0
        self._serve_line()

    async def wait_for(self, count_bytes: int, *, line: int) -> bool:
        """Take so much once it fits, in line 0 or 1, first come first served; False when that took
        too long.
        """
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        self._lines[line].append((count_bytes, place))
        timer = loop.call_later(WAIT_S_MAX, _give_up, place)
        self._serve_line()
        if not place.done():
            self._press_later()
        try:
            return await place
        except asyncio.CancelledError:
            if not place.cancelled() and place.result():
                self.give_back(count_bytes)  # it was ours already
            raise
        finally:
            timer.cancel()
            self._serve_line()  # it may have been in the way of others

    def _serve_line(self) -> None:
        for line in self._lines:
            while line:
                count_bytes, place = line[0]
                if not place.done():
                    if not self.fits(count_bytes):
                        return
                    self.used_bytes += count_bytes
                    place.set_result(True)
                line.popleft()

    def _press_later(self) -> None:
        if self._press_timer is None:
            loop = asyncio.get_running_loop()
            self._press_timer = loop.call_later(PRESS_INTERVAL_S, self._press)

    def _press(self) -> None:
        self._press_timer = None
        if any(self._lines):
            for share in tuple(self.shares):
                share.press()
            self._press_later()


def _give_up(place: asyncio.Future[bool]) -> None:
    if not place.done():
        place.set_result(False)
