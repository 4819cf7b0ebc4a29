"""The order in which one connection's produces append (I6).

Most are checked and appended in the first step they take, and those are in order by themselves. One
that has to wait before it appends takes a place in this line, and so does whoever comes behind it
until it is through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class OrderLine:
    """Of one connection. The last in it is remembered; each knows the one before it."""

    def __init__(self) -> None:
        self._last: asyncio.Future[None] | None = None

    @property
    def is_free(self) -> bool:
        return self._last is None or self._last.done()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The place is taken at once, before the first wait; inside, all before it are through."""
        before, mine = self._last, asyncio.get_running_loop().create_future()
        self._last = mine
        try:
            if before is not None:
                await asyncio.wait((before,))
            yield
        finally:
            # Whoever gives up early lets nobody past those who still wait.
            if before is None or before.done():
                mine.set_result(None)
            else:
                before.add_done_callback(lambda _: mine.set_result(None))
