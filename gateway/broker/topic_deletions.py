"""Topics that go: first the tombstone, then what the logs have of them.

A tombstone is a record of the catalog. From the moment it is durable the topic is gone for good,
and each log that it lay on writes down that its streams are dropped; a tombstone that all of them
have served needs nobody any more. What cannot be written down now is tried again later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gateway.broker.errors import BrokerError
from gateway.broker.metadata_records import TopicDeleted
from gateway.broker.tombstone_news import TombstoneNews
from gateway.broker.waiting import failure
from gateway.observe.logger import log_event
from protocol import ErrorCode
from wal_core import WalError

if TYPE_CHECKING:
    from gateway.broker.catalog import Catalog
    from gateway.broker.log_set import LogSet
    from gateway.broker.owned_log import OwnedLog
    from gateway.broker.topics import Topic
    from gateway.cluster.view import ClusterView

logger = logging.getLogger(__name__)


class TopicDeletions:
    def __init__(self, catalog: Catalog, logs: LogSet, view: Callable[[], ClusterView]) -> None:
        self._catalog = catalog
        self._logs = logs
        self._deleting: set[bytes] = set()  # topics whose tombstones need not be durable
        self.news = TombstoneNews(catalog, logs, view)
        self._dropping: set[tuple[bytes, int]] = set()  # topics, and logs that write that down

    def delete(self, topic: Topic) -> asyncio.Future[None]:
        """Remove a topic and its streams during the call; the result is settled when that is
        durable. Its name may be used again at once.
        """
        if topic.is_internal:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST, f"{topic.name} is internal and cannot be deleted"
            )
        deleted = self._catalog.write(TopicDeleted(topic_id=topic.id))
        self._deleting.add(topic.id)

        def drop(confirmation: asyncio.Future[None]) -> None:
            # Not before: the bytes of a topic that a crash may bring back must not be given up.
            if failure(confirmation) is None:
                self._deleting.discard(topic.id)
                self.abandon((topic,))
                self.serve_tombstones()

        deleted.add_done_callback(drop)
        return deleted

    def read_again(self) -> None:
        """What is known of the catalog is what lies there: all tombstones are durable, also those
        of whoever was overtaken while this node wrote its own."""
        self._deleting.clear()

    def check_gone(self, name: str) -> None:
        """Raise BrokerError while another node may not have heard that a topic of that name is
        gone: what it acknowledged for that one would be taken for the new one's."""
        if self._is_left(name):
            raise BrokerError(
                ErrorCode.REQUEST_TIMED_OUT,
                f"an earlier topic {name!r}, or one that may have had that name, is being deleted, "
                f"and not all of its logs have heard of that",
            )

    def _is_left(self, name: str) -> bool:
        if self.news.tell is None:
            return False  # there are no others
        return any(self._logs.term_of(log_id) is None for log_id in self._catalog.left_of(name))

    async def until_gone(self, names: Collection[str], timeout_s: float) -> None:
        """Until `check_gone` has nothing against these, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while any(map(self._is_left, names)):
                    await self._catalog.next_served()

    def abandon(self, topics: Sequence[Topic]) -> None:
        """These are gone for good: of partitions that never had a record nothing is left."""
        for topic in topics:
            for owned in self._logs.serving():
                owned.abandon(topic.placed)

    def serve_tombstones(self) -> None:
        """Let the logs drop what they have of topics that are gone for good; what cannot be written
        down now is tried again by the next retention."""
        unserved = self._catalog.unserved()
        by_log: dict[int, list[bytes]] = {}
        for topic_id, log_ids in unserved.items():
            for log_id in log_ids if topic_id not in self._deleting else ():
                by_log.setdefault(log_id, []).append(topic_id)
        for log_id, topic_ids in by_log.items():
            owned = self._logs.get(log_id)
            if owned is not None and owned.is_serving:
                self._drop(owned, topic_ids)
        self.news.tell_soon()

    def _drop(self, owned: OwnedLog, topic_ids: Sequence[bytes]) -> None:
        found = owned.streams_of(frozenset(topic_ids))
        for topic_id in topic_ids:
            if (topic_id, owned.log_id) in self._dropping:
                continue  # nothing is left, but that is not durable yet
            served = partial(self._dropped, topic_id, owned.log_id)
            if topic_id not in found:
                served(None)
                continue
            try:
                owned.drop_streams(topic_id, found[topic_id]).add_done_callback(served)
                self._dropping.add((topic_id, owned.log_id))
            except WalError as error:
                log_event(logger, logging.WARNING, "streams not dropped yet", reason=error)
                return

    def _dropped(self, topic_id: bytes, log_id: int, done: asyncio.Future[None] | None) -> None:
        self._dropping.discard((topic_id, log_id))
        if done is None or failure(done) is None:
            self._catalog.tombstone_served(topic_id, log_id)
            if done is not None:
                self.news.tell_soon()
