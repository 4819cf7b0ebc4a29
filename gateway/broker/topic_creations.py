"""Topics that come, and partitions that are added to one: in the catalog, in force at once.

Whoever answers for one waits until its record is durable: a crash may take it away until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gateway.broker.attaching import attach
from gateway.broker.errors import BrokerError
from gateway.broker.metadata_records import PartitionsAdded, TopicCreated
from gateway.broker.placing import Placing
from gateway.broker.topic_rules import OFFSETS_TOPIC, new_topic_id, topic_name_problem
from gateway.broker.waiting import STORAGE_TIMEOUT_S, confirmed_in_time, wait_confirmed
from protocol import ErrorCode

if TYPE_CHECKING:
    from gateway.broker.catalog import Catalog
    from gateway.broker.limits import BrokerLimits
    from gateway.broker.log_set import LogSet
    from gateway.broker.topic_deletions import TopicDeletions
    from gateway.broker.topics import Topic
    from wal_core import Rng

CREATION_WAIT_S = 0.25  # a new topic is told at once or, while storage is slow, as one that comes


class TopicCreations:
    def __init__(
        self,
        catalog: Catalog,
        logs: LogSet,
        deletions: TopicDeletions,
        limits: BrokerLimits,
        rng: Rng,
    ) -> None:
        self._catalog = catalog
        self._topics = catalog.topics
        self._logs = logs
        self._deletions = deletions
        self._limits = limits
        self._rng = rng
        self._placing = Placing(catalog.topics, self._logs_for_new, limits.partitions_max_count)

    def _logs_for_new(self) -> list[int]:
        """Where new partitions may lie. Among nodes: on a log that nobody has just now, too, for
        somebody is about to."""
        logs, is_shared = self._logs, self._catalog.is_shared
        return [log_id for log_id in logs.for_new if is_shared or logs.term_of(log_id)]

    def check_name(self, name: str) -> None:
        """Raise INVALID_TOPIC_EXCEPTION for a name that no topic can have."""
        problem = topic_name_problem(name)
        if problem is not None:
            raise BrokerError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)

    def create(
        self,
        name: str,
        partitions_count: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> Topic:
        """Create a topic; it is in force at once and answered for once `topic.created` is settled.

        Raises BrokerError: INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS,
        POLICY_VIOLATION.
        """
        count = (
            self._limits.default_partitions_count if partitions_count is None else partitions_count
        )
        self.check_new(name, count)
        return self._create(name, count, configs or {})

    def offsets_topic(self) -> Topic:
        """Whoever touches it first: its layout is the gateway's own, and no limit is in its way."""
        count = self._limits.offsets_partitions_count
        return self._create(OFFSETS_TOPIC, count, {"cleanup.policy": "compact"})

    def _create(self, name: str, partitions_count: int, configs: Mapping[str, str]) -> Topic:
        record = TopicCreated(
            name=name,
            topic_id=new_topic_id(self._rng),
            placements=self._placing.new(name, partitions_count),
            configs=dict(configs),
        )
        created = self._catalog.write(record)
        topic = self._topics.with_id(record.topic_id)
        assert topic is not None
        self._begin(topic)
        topic.created = created
        topic.created_s = asyncio.get_running_loop().time()
        return topic

    def add_partitions(self, topic: Topic, count: int) -> asyncio.Future[None]:
        """Let a topic have `count` partitions; the new ones are there for others once the result is
        settled, for that is durable then. Raises as `Placing.check_more`."""
        self.check_more(topic, count)
        before = topic.record.placements
        new = self._placing.new(topic.name, count - len(before), topic)
        record = PartitionsAdded(topic_id=topic.id, placements=[*before, *new])
        added = self._catalog.write(record)
        self._begin(topic)
        topic.await_partitions(len(new), added)
        return added

    def check_more(self, topic: Topic, count: int) -> None:
        """Raise the BrokerError that `add_partitions` would."""
        self._placing.check_more(topic, count)

    def check_new(self, name: str, partitions_count: int) -> None:
        """Raise the BrokerError that `create` would."""
        self.check_name(name)
        self._placing.check_new(name, partitions_count)
        self._deletions.check_gone(name)

    def unused_id(self) -> bytes:
        """For a topic that is only checked: Kafka tells one that no topic will have."""
        return new_topic_id(self._rng)

    def ensure(self, name: str) -> Topic | None:
        """The topic, created if that is allowed; None when it is missing and must stay so. The
        first of many who touch it creates it; it is spoken of once `soon` says so. Raises
        BrokerError for an illegal name, or one that has just been deleted."""
        topic = self._topics.named(name)
        if topic is None:
            self.check_name(name)
            is_internal = name == OFFSETS_TOPIC
            if not self._limits.auto_create_topics and not is_internal:
                return None
            topic = self.offsets_topic() if is_internal else self.create(name)
        return topic

    async def soon(self, topics: Iterable[Topic]) -> None:
        """Wait until these are durable, or until their time to become so in is over: that is a
        moment from their creation on, and whoever asks later does not wait again.
        """
        pending = [topic for topic in topics if not topic.is_durable]
        if pending:
            until_s = max(topic.created_s for topic in pending) + CREATION_WAIT_S
            left_s = until_s - asyncio.get_running_loop().time()
            if left_s > 0:
                await wait_confirmed([t.created for t in pending if t.created], left_s)

    async def settled(self, topic: Topic, timeout_s: float = STORAGE_TIMEOUT_S) -> None:
        """Wait until the topic's creation is durable, so that no answer speaks of one that may
        vanish.
        """
        if topic.created is not None:
            await confirmed_in_time(topic.created, timeout_s)
            topic.created = None

    def _begin(self, topic: Topic) -> None:
        """Serve the partitions that have just come into being."""
        for partition in attach(topic, self._logs):
            partition.begin()
