"""Closes connections that nobody uses: Kafka's connections.max.idle.ms.

A connection is idle while no request comes and none is under way; a parked fetch or join is. One
timer for all of them: they stand in the order of their last use, and only the first can be due.
"""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import Protocol


class Idler(Protocol):
    """What is watched."""

    @property
    def is_busy(self) -> bool: ...

    def close_idle(self) -> None: ...


class IdleWatch:
    """`watch` from the beginning, `used` at every sign of life, `forget` when it is gone.

    `idle_ms` 0: nobody is closed.
    """

    def __init__(self, idle_ms: int) -> None:
        self._idle_s = idle_ms / 1_000
        self._used_s: dict[Idler, float] = {}  # who was used longest ago comes first
        self._loop: asyncio.AbstractEventLoop | None = None  # of all that is watched
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, idler: Idler) -> None:
        if self._idle_s:
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._used_s[idler] = self._loop.time()
            self._wake_when_due()

    def used(self, idler: Idler) -> None:
        loop = self._loop
        if loop is not None and self._used_s.pop(idler, None) is not None:
            self._used_s[idler] = loop.time()

    def forget(self, idler: Idler) -> None:
        self._used_s.pop(idler, None)
        if not self._used_s and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_when_due(self) -> None:
        if self._timer is None and self._used_s:
            assert self._loop is not None
            first_s = next(iter(self._used_s.values()))
            self._timer = self._loop.call_at(first_s + self._idle_s, self._look)

    def _look(self) -> None:
        self._timer = None
        assert self._loop is not None
        now_s, used_s = self._loop.time(), self._used_s
        # The same sum as for the timer: a difference may be rounded to the other side of it.
        due = list(takewhile(lambda idler: used_s[idler] + self._idle_s <= now_s, used_s))
        for idler in due:
            if idler.is_busy:
                self.used(idler)  # looked at again; its answer, too, is a sign of life
            else:
                del self._used_s[idler]
                idler.close_idle()
        self._wake_when_due()
