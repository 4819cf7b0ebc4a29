"""Who may begin in this turn of the loop, when many clients want much of it at once.

The loop takes up everything that is ready in one turn: of six hundred fetches that come together
the first reply would leave, and the next request of anybody else be read, after all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.fairness.slices import SLICE_S


class Pace:
    """`await enter()` before work that may take long: it returns at once while this turn has time
    left and nobody waits, else in a later turn, first come first served.
    """

    def __init__(self) -> None:
        self._line: deque[asyncio.Future[None]] = deque()
        self._began_s = 0.0
        self._entered_count = 0  # in this turn
        self._is_turning = False  # the end of this turn will be seen

    async def enter(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._is_turning:
            self._is_turning = True
            self._began_s = loop.time()
            loop.call_soon(self._turn)
        if not self._line and loop.time() - self._began_s <= SLICE_S:
            self._entered_count += 1
            return
        place: asyncio.Future[None] = loop.create_future()
        self._line.append(place)
        await place

    def _turn(self) -> None:
        """Let in as many as fill a slice, by what those before them took, and look again after
        them: what is scheduled here runs in one piece.
        """
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        each_s = (now_s - self._began_s) / max(1, self._entered_count)
        self._began_s, self._entered_count = now_s, 0
        left_s = SLICE_S
        while self._line and left_s > 0:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                self._entered_count += 1
                left_s -= each_s
        self._is_turning = self._entered_count > 0
        if self._is_turning:
            loop.call_soon(self._turn)
