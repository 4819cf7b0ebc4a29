"""How long one attempt at a store may take: a base, and time for the bytes that are on their way.

A fixed deadline is a bet on size: over a line of 6 MB/s nothing above 60 MB ever arrives within
10 s, however often it is tried. So whoever learns how many bytes an attempt moves says so with
`expect`, and its deadline moves on by what they, and all that shares the line with them, take at
the slowest rate that is put up with.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar

BYTES_PER_S_MIN = 512 * 1024
"""A store that is slower is taken for one that does not answer. Larger: what hangs is tried again
sooner; smaller: slower lines are enough."""


def deadline_s(timeout_ms: float, bytes_count: int) -> float:
    """Seconds for an attempt while so many bytes are on their way."""
    return timeout_ms / 1000 + bytes_count / BYTES_PER_S_MIN


class Attempts:
    """The attempts of one user of a store: they share its line."""

    def __init__(self, timeout_ms: float) -> None:
        self.timeout_ms = timeout_ms
        self.flying_bytes = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Raises TimeoutError when what is awaited inside takes too long."""
        async with asyncio.timeout(deadline_s(self.timeout_ms, self.flying_bytes)) as timeout:
            attempt = _Attempt(self, timeout, _current.get())
            token = _current.set(attempt)
            try:
                yield
            finally:
                attempt.end()
                with suppress(ValueError):  # closed by somebody else, in a context of theirs
                    _current.reset(token)


class _Attempt:
    def __init__(self, owner: Attempts, timeout: asyncio.Timeout, outer: _Attempt | None) -> None:
        self._owner = owner
        self._timeout: asyncio.Timeout | None = timeout
        self._bytes_count = 0
        self.outer = outer

    def grow(self, bytes_count: int) -> None:
        timeout = self._timeout
        if timeout is None or timeout.expired():
            return  # told too late: it is over
        self._owner.flying_bytes += bytes_count
        self._bytes_count += bytes_count
        due_s = timeout.when()
        assert due_s is not None
        timeout.reschedule(due_s + deadline_s(0, bytes_count))

    def end(self) -> None:
        self._owner.flying_bytes -= self._bytes_count
        self._timeout = None


_current: ContextVar[_Attempt | None] = ContextVar("attempt", default=None)


def expect(bytes_count: int) -> None:
    """So many bytes are about to be sent or fetched: the attempt that this is part of may take
    longer. Outside of one it means nothing."""
    attempt = _current.get()
    while attempt is not None:
        attempt.grow(bytes_count)
        attempt = attempt.outer
