"""How many reads are in flight at once, by how long they take.

A store answers many at once as fast as one, up to some number; from there on each read more makes
all others wait, and so do writes, which the clients of other logs wait for. So of whatever reads a
great many, as a take-over does, as many are in flight as take hardly longer than a few.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

READS_MIN_COUNT = 4
READS_MAX_COUNT = 64
SLOWER_MAX = 2.0
"""So many times as long as a few at once may many of them take. Larger: more of them wait in the
store's line, and whoever writes behind them; smaller: a store whose times vary is read slowly."""
SLACK_S = 0.002
"""What nobody notices, nor the loop's own work, is not slower."""
BYTES_PER_S = 20 * 1024 * 1024
"""What a read takes for its bytes, which is no reason to have fewer."""


class ReadWindow:
    """`turn` around each read. One for all logs of a store."""

    def __init__(self) -> None:
        self.reads_max = READS_MIN_COUNT
        self._flying = 0
        self._few_s = math.inf
        """What a read takes while there are few."""
        self._took_s: list[float] = []
        """Of this round: as many reads as may be in flight, begun since that many may."""
        self._round_s = -math.inf
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self, size_bytes: int) -> AsyncIterator[None]:
        """In the order of asking."""
        loop = asyncio.get_running_loop()
        await self._enter(loop)
        began_s = loop.time()
        try:
            yield
        finally:
            if began_s >= self._round_s:
                self._took_s.append(max(0.0, loop.time() - began_s - size_bytes / BYTES_PER_S))
                if len(self._took_s) >= self.reads_max:
                    self._end_round(loop.time())
            self._leave()

    async def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._flying < self.reads_max and not self._waiting:
            self._flying += 1
            return
        place = loop.create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._leave()  # it was given its turn this moment
            raise

    def _leave(self) -> None:
        self._flying -= 1
        while self._waiting and self._flying < self.reads_max:
            place = self._waiting.popleft()
            if not place.done():
                self._flying += 1
                place.set_result(None)

    def _end_round(self, now_s: float) -> None:
        """Half as many where they took longer than a few do, else twice as many."""
        self._round_s = now_s
        took_s = sorted(self._took_s)
        middle_s = (took_s[(len(took_s) - 1) // 2] + took_s[len(took_s) // 2]) / 2
        self._took_s.clear()
        if middle_s <= SLOWER_MAX * self._few_s + SLACK_S:
            self._few_s = min(self._few_s, middle_s)
            self.reads_max = min(2 * self.reads_max, READS_MAX_COUNT)
        elif self.reads_max > READS_MIN_COUNT:
            self.reads_max //= 2
        else:
            self._few_s = middle_s  # the store is slower than it was
