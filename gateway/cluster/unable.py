"""Logs that a node has tried to open in vain, so that others have them.

After some tries in a row it says so with its registration, and the plan gives such a log to a node
that has not said so; where all have, nothing is passed on. After a while it is as good as any other
again: what kept it may be over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.observe.logger import log_event

logger = logging.getLogger(__name__)

TRIES_COUNT = 3
"""More: a log that a node can open after all stays longer without an owner, and need not move."""
UNABLE_S = 300.0
"""Longer: a log that a node cannot open is tried there, in vain, less often."""


class Unable:
    """`failed` and `opened` after each try; `forget` once it `is_over`."""

    def __init__(self, tell: Callable[[tuple[int, ...]], Awaitable[None]]) -> None:
        """`tell` lets all know which logs those are; it raises CoordinationError."""
        self._tell = tell
        self._tries: dict[int, int] = {}
        self._since_s: dict[int, float] = {}

    async def failed(self, log: int) -> None:
        """One more try was in vain."""
        self._tries[log] = self._tries.get(log, 0) + 1
        if self._tries[log] < TRIES_COUNT:
            return
        if log not in self._since_s:
            tries = self._tries[log]
            log_event(logger, logging.WARNING, "log passed on", log=log, tries_count=tries)
            await self._tell((*self._since_s, log))
        self._since_s[log] = asyncio.get_running_loop().time()

    async def opened(self, log: int) -> None:
        self._tries.pop(log, None)
        if log in self._since_s:
            await self.forget(log)

    def is_over(self, log: int, now_s: float) -> bool:
        """Whether it may be tried here again."""
        since_s = self._since_s.get(log)
        return since_s is not None and now_s >= since_s + UNABLE_S

    async def forget(self, log: int) -> None:
        await self._tell(tuple(other for other in self._since_s if other != log))
        self._tries.pop(log, None)
        self._since_s.pop(log, None)
