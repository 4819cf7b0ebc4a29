"""The order in which one connection's produces append (I6).

Most are checked and appended in the first step they take, and those are in order by themselves. One
that has to wait before it appends takes a place in this line, and so does whoever comes behind it
until it is through.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class OrderLine:
    """Of one connection. The last in it is remembered; each knows the one before it."""

    def __init__(self) -> None:
        self._last: asyncio.Future[None] | None = None

    @property
    def is_free(self) -> bool:
        return self._last is None or self._last.done()

    def turn(self) -> _Turn:
        """To enter with `async with`: the place is taken by this call; inside, all before it are
        through."""
        before, mine = self._last, asyncio.get_running_loop().create_future()
        self._last = mine
        return _Turn(before, mine)


class _Turn:
    def __init__(self, before: asyncio.Future[None] | None, mine: asyncio.Future[None]) -> None:
        self._before, self._mine = before, mine

    async def __aenter__(self) -> None:
        if self._before is not None:
            try:
                await asyncio.wait((self._before,))
            except BaseException:
                self._end()
                raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        before, mine = self._before, self._mine
        # Whoever gives up early lets nobody past those who still wait.
        if before is None or before.done():
            mine.set_result(None)
        else:
            before.add_done_callback(lambda _: mine.set_result(None))
