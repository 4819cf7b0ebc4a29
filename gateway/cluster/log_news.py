"""Telling all nodes that a log has more for those who read it while another node writes it.

A hint and no more: who misses it looks by itself, a little later. There is one write to the
coordination store at a time, and what comes meanwhile is told by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib

from gateway.cluster.coordination.base import CoordinationError, CoordinationStore, Put
from gateway.cluster.coordination.records import NewsRecord, encode, key_of

TOLD_S_MIN = 0.1
"""Between two hints. Longer: fewer writes to the coordination store while topics are created by the
hundred; shorter: all nodes hear of them sooner."""


class LogNews:
    """Of one log: `more` each time, `stop` at the end."""

    def __init__(self, store: CoordinationStore, root: str, log_id: int) -> None:
        self._store = store
        self._root = root
        self._log_id = log_id
        self._end = self._told = 0
        self._task: asyncio.Task[None] | None = None

    def more(self, end: int) -> None:
        """So many entries can be read by now."""
        self._end = end
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._tell(), name="log news")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _tell(self) -> None:
        while self._told != self._end:
            self._told = self._end
            news = NewsRecord(self._log_id, self._end)
            with contextlib.suppress(CoordinationError):
                await self._store.transact((), [Put(key_of(self._root, news), encode(news))])
            await asyncio.sleep(TOLD_S_MIN)
