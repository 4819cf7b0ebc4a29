"""__consumer_offsets: the topic that the records of groups ride on, created at first use.

A group's records lie on the partition that its id hashes to, and whoever has that partition's log
is its coordinator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from gateway.broker.leadership import leader_of
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.broker.waiting import STORAGE_TIMEOUT_S, settled
from protocol import Record, build_batch, read_header
from wal_core import SteadyClock, Unavailable

if TYPE_CHECKING:
    from gateway.broker.catalog import Catalog
    from gateway.broker.partition import Partition
    from gateway.broker.topic_creations import TopicCreations
    from gateway.broker.topics import Topic
    from gateway.cluster.view import ClusterView, Node
    from wal_core import Clock


class OffsetsTopic:
    """`search` reads what another node may have written of topics of these names."""

    def __init__(
        self,
        catalog: Catalog,
        creations: TopicCreations,
        view: Callable[[], ClusterView],
        search: Callable[[Iterable[str]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._creations = creations
        self._view = view
        self._search = search
        self._clock = clock
        self._steady = SteadyClock(clock)
        self.ask: Callable[[float], Awaitable[None]] = _nobody
        """Have the controller create it, in so many seconds; where that is another node."""

    def _named(self) -> Topic | None:
        return self._catalog.topics.named(OFFSETS_TOPIC)

    async def ready(self, timeout_s: float = STORAGE_TIMEOUT_S) -> None:
        """Make sure of __consumer_offsets, which is created at first use: what rides on it must not
        be in a log before the topic is in the catalog. Raises WalError, TimeoutError."""
        topic = self._named()
        if topic is None and not self._catalog.is_ours:
            await self._search((OFFSETS_TOPIC,))
            if self._named() is None:
                await self.ask(timeout_s)
                await self._catalog.look(timeout_s)
            topic = self._named()
            if topic is None and not self._catalog.is_ours:
                raise Unavailable("there is no place for group records yet")
        if topic is None:
            topic = self._creations.offsets_topic()
        await self._creations.settled(topic, timeout_s)

    def partition(self, number: int) -> Partition | None:
        """The partition of __consumer_offsets for what hashes to `number`; None before it is there
        for good."""
        topic = self._named()
        if topic is None or not topic.is_durable:
            return None
        return topic.partitions[number % len(topic.partitions)]

    def log_of(self, number: int) -> int | None:
        """The log that the groups lie on that hash to `number`; None before there can be any."""
        partition = self.partition(number)
        return None if partition is None else partition.log_id

    def node_of(self, number: int) -> Node | None:
        """The node that has the groups that hash to `number`; None while nobody is known to. Before
        there can be any, one among others may be the first to be asked."""
        partition = self.partition(number)
        if partition is None:
            return self._view().me if self._catalog.is_shared else None
        leader = leader_of(partition, self._view())
        return None if leader is None else leader.node

    def append(
        self, partition: Partition, records: Sequence[tuple[bytes, bytes | None]]
    ) -> Awaitable[None]:
        """Append records to a partition of __consumer_offsets; the result is awaited for
        durability, without a deadline: the coordinator answers its clients in time and must still
        learn what became of the write.

        The append happens during the call, so calls keep their order.
        """
        now_ms = self._clock.now_ms()
        batch = build_batch([Record(key=k, value=v, timestamp_ms=now_ms) for k, v in records])
        view = memoryview(batch)
        appended = partition.append(view, read_header(view), now_ms, self._steady.now_ms())
        assert appended.confirmation is not None
        return settled(appended.confirmation)


async def _nobody(timeout_s: float) -> None:
    raise Unavailable("another node writes the catalog")
