"""How long one attempt at a store may take: a base, and time for the bytes that are on their way.

A fixed deadline is a bet on size: over a line of 6 MB/s nothing above 60 MB ever arrives within
10 s, however often it is tried. So whoever learns how many bytes an attempt moves says so with
`expect`, and its deadline moves on by what they, and all that shares the line with them, take at
the slowest rate that is put up with.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType

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

    def one(self) -> _Attempt:
        """To enter with `async with`; raises TimeoutError when what is awaited inside takes too
        long."""
        return _Attempt(self)


class _Attempt:
    """`asyncio.timeout` makes a new timer whenever its deadline moves. Most attempts move theirs
    once and are over long before: only a timer that goes off looks whether there is more time."""

    def __init__(self, owner: Attempts) -> None:
        self._owner = owner
        self._timeout: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._bytes_count = 0
        self.outer: _Attempt | None = None

    async def __aenter__(self) -> None:
        owner, timeout = self._owner, asyncio.timeout(None)
        await timeout.__aenter__()
        self._timeout = timeout
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + deadline_s(owner.timeout_ms, owner.flying_bytes)
        self._timer = loop.call_at(self._due_s, self._due)
        self.outer = _current.get()
        self._token = _current.set(self)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        timeout, self._timeout = self._timeout, None
        self._owner.flying_bytes -= self._bytes_count
        assert timeout is not None and self._timer is not None
        self._timer.cancel()
        with suppress(ValueError):  # closed by somebody else, in a context of theirs
            _current.reset(self._token)
        await timeout.__aexit__(kind, error, trace)

    def grow(self, bytes_count: int) -> None:
        if self._timeout is None or self._timeout.expired():
            return  # told too late: it is over
        self._owner.flying_bytes += bytes_count
        self._bytes_count += bytes_count
        self._due_s += deadline_s(0, bytes_count)

    def _due(self) -> None:
        """It was, unless more bytes have been told of since the timer was set."""
        assert self._timeout is not None  # who leaves cancels the timer
        loop = asyncio.get_running_loop()
        if self._due_s > loop.time():
            self._timer = loop.call_at(self._due_s, self._due)
        else:
            self._timeout.reschedule(self._due_s)


_current: ContextVar[_Attempt | None] = ContextVar("attempt", default=None)


def expect(bytes_count: int) -> None:
    """So many bytes are about to be sent or fetched: the attempt that this is part of may take
    longer. Outside of one it means nothing."""
    attempt = _current.get()
    while attempt is not None:
        attempt.grow(bytes_count)
        attempt = attempt.outer
