"""Telling the controller that logs of this node have nothing of deleted topics any more.

A topic's tombstone stays in the catalog until each log that it lay on has written down that its
streams are gone. What is told is lost with the controller that heard it, so each one is told; what
cannot be told now is told a little later, until the controller is another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from gateway.cluster.view import CATALOG_LOG_ID
from wal_core import WalError

if TYPE_CHECKING:
    from gateway.broker.catalog import Catalog
    from gateway.broker.log_set import LogSet
    from gateway.cluster.view import ClusterView

TOLD_AT_ONCE_COUNT = 1_000
AGAIN_S = 1.0
"""Longer: fewer tries while the controller is away; shorter: a topic can be made again sooner."""

Tell = Callable[[int, Sequence[bytes]], Awaitable[None]]
"""Tell the controller of a log and of topics. Raises WalError, TimeoutError."""


class TombstoneNews:
    """`tell_soon`; `stop` at the end. Without a `tell` there is nobody to be told."""

    def __init__(self, catalog: Catalog, logs: LogSet, view: Callable[[], ClusterView]) -> None:
        self._catalog = catalog
        self._logs = logs
        self._view = view
        self.tell: Tell | None = None
        self._told: set[tuple[int, int, bytes]] = set()  # term of the controller, log, topic
        self._task: asyncio.Task[None] | None = None

    def tell_soon(self) -> None:
        """There may be something to tell."""
        running = self._task is not None and not self._task.done()
        if self.tell is None or self._catalog.is_open or running or not self._news():
            return
        self._task = asyncio.get_running_loop().create_task(self._run(self.tell), name="tombstones")

    async def stop(self) -> None:
        """The next owners of the logs tell what was not told."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _news(self) -> dict[tuple[int, int], list[bytes]]:
        """By the controller's term and the log: topics that nothing is left of there."""
        controller = self._view().owner(CATALOG_LOG_ID)
        if controller is None:
            return {}
        news: dict[tuple[int, int], list[bytes]] = {}
        for topic_id, log_id in self._catalog.served():
            owned = self._logs.get(log_id)
            key = (controller.term, log_id)
            if owned is not None and owned.is_serving and (*key, topic_id) not in self._told:
                news.setdefault(key, []).append(topic_id)
        return news

    async def _run(self, tell: Tell) -> None:
        self._told.intersection_update(self._of_now())
        while news := self._news():
            for (term, log_id), topic_ids in news.items():
                some = topic_ids[:TOLD_AT_ONCE_COUNT]
                try:
                    await tell(log_id, some)
                except (WalError, TimeoutError):
                    await asyncio.sleep(AGAIN_S)
                    break
                self._told.update((term, log_id, topic_id) for topic_id in some)

    def _of_now(self) -> Iterator[tuple[int, int, bytes]]:
        controller = self._view().owner(CATALOG_LOG_ID)
        if controller is not None:
            for topic_id, log_id in self._catalog.served():
                yield controller.term, log_id, topic_id
