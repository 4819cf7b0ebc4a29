"""Which topics exist, and where each of their partitions lies.

The registry is a pure function of the records in the catalog (METADATA.md): `apply` is the
only thing that changes it, both when a record is written and when it is replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gateway.broker import state_keys
from gateway.broker.gone_topics import GoneTopics
from gateway.broker.metadata_records import (
    FIRST_PARTITION_STREAM_ID,
    ClusterCreated,
    MetadataRecord,
    PartitionsAdded,
    Placement,
    TopicConfigsChanged,
    TopicCreated,
    TopicDeleted,
    TopicForgotten,
)
from gateway.broker.partition import Partition
from gateway.broker.topic_configs import TopicDefaults
from gateway.broker.topic_rules import TopicRules
from gateway.broker.waiting import failure
from wal_core import Changes

FIRST_DATA_LOG_ID = 1
METADATA_STREAM_ID = 0
_SMALL_BYTES = 64  # about what a short key and its value take


class Topic(TopicRules):
    """A topic and its partitions. `created` is settled once its record is durable, and `grown`
    once the newest of its partitions are."""

    __slots__ = ("_coming_count", "created", "created_s", "grown", "placed")

    def __init__(self, record: TopicCreated, defaults: TopicDefaults) -> None:
        super().__init__(record, defaults)
        self.created: asyncio.Future[None] | None = None
        self.created_s = 0.0  # when that was begun, by the loop's time
        self.placed: list[Partition] = []
        """Its partitions, the last of which may be there for nobody yet."""
        self._coming_count = 0
        self.grown: asyncio.Future[None] | None = None
        self.extend(record.placements)

    @property
    def partitions(self) -> list[Partition]:
        """Those that no crash can take away as long as the topic is there."""
        return self.placed[: -self._coming_count] if self._coming_count else self.placed

    def extend(self, placements: Sequence[Placement]) -> int:
        """The partitions lie there: those that are new are added; how many."""
        new = placements[len(self.placed) :]
        first = len(self.placed)
        self.placed += [Partition(self, first + n, place) for n, place in enumerate(new)]
        return len(new)

    def await_partitions(self, count: int, confirmation: asyncio.Future[None]) -> None:
        """The last of them are there for others once that is settled. In the order of the calls."""
        self._coming_count += count
        self.grown = confirmation

        def arrived(done: asyncio.Future[None]) -> None:
            if failure(done) is None:
                self._coming_count -= count

        confirmation.add_done_callback(arrived)

    @property
    def is_proven(self) -> bool:
        """Whether nothing of it waits for storage, or has failed there."""
        return self.created is self.grown is None and not self._coming_count

    def proven(self) -> None:
        """Somebody has read all of it in the store."""
        self.created = self.grown = None
        self._coming_count = 0

    @property
    def is_durable(self) -> bool:
        """Whether no crash can take it away any more."""
        created = self.created
        return created is None or (created.done() and created.exception() is None)


class TopicRegistry:
    """Topics by name and by id, tombstones; plus the counters that live beside them."""

    def __init__(self, message_bytes_max: int, changes: Changes | None = None) -> None:
        self.defaults = TopicDefaults(message_bytes_max)
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[bytes, Topic] = {}
        self.changes = Changes() if changes is None else changes
        self.cluster_id = ""
        self.partitions_count = 0
        self.next_stream_ids: dict[int, int] = {}
        """Per log: ids below it may be in use, or may have been before a deletion."""
        self.tombstones: dict[bytes, list[int]] = {}
        """Topics that are gone, and the logs that may have something of them."""
        self.gone = GoneTopics()
        self.nameless: dict[bytes, None] = {}
        """Tombstones of topics whose names are not known: of what went before this process looked
        the catalog keeps the id alone."""

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, name: str) -> Topic | None:
        return self._by_name.get(name)

    def with_id(self, topic_id: bytes) -> Topic | None:
        return self._by_id.get(topic_id)

    def partitions(self) -> Iterable[Partition]:
        """Those included that are there for nobody yet."""
        return (partition for topic in self._by_id.values() for partition in topic.placed)

    def apply(self, record: MetadataRecord) -> Topic | None:
        """Take in one metadata record; returns the topic it created, changed or deleted."""
        match record:
            case TopicCreated():
                return self._add(record)
            case PartitionsAdded():
                return self._grow(record)
            case TopicConfigsChanged():
                return self._configure(record)
            case TopicDeleted():
                return self._delete(record.topic_id)
            case TopicForgotten():
                self.nameless.pop(record.topic_id, None)
                if self.tombstones.pop(record.topic_id, None) is not None:
                    self.changes.note(state_keys.tombstone(record.topic_id), _SMALL_BYTES)
            case ClusterCreated():
                self.cluster_id = record.cluster_id
                self.changes.note(state_keys.CLUSTER, _SMALL_BYTES)
        return None

    def log_ids(self) -> set[int]:
        """The logs that topics lie on, those that are gone included."""
        named = {partition.log_id for partition in self.partitions()}
        return named.union(*self.tombstones.values())

    def next_stream_id(self, log_id: int) -> int:
        """The first id on that log that was never a stream's."""
        return self.next_stream_ids.get(log_id, FIRST_PARTITION_STREAM_ID)

    def use_streams(self, log_id: int, end: int) -> None:
        """Ids below `end` are not given out any more."""
        if end > self.next_stream_id(log_id):
            self.next_stream_ids[log_id] = end
            self.changes.note(state_keys.next_stream(log_id), _SMALL_BYTES)

    def _note(self, topic: Topic) -> None:
        size = _SMALL_BYTES + len(topic.name) + sum(map(len, topic.configs.values()))
        self.changes.note(state_keys.topic(topic.id), size)

    def _add(self, record: TopicCreated) -> Topic:
        if (known := self._by_id.get(record.topic_id)) is not None:
            # Remembered once more, with other settings and maybe more partitions.
            self._extend(known, record.placements)
            return self._configured(
                known, msgspec.structs.replace(known.record, configs=record.configs)
            )
        if (before := self._by_name.get(record.name)) is not None:
            self.forget(before.id)  # that it was deleted is lost; its records are kept
        topic = Topic(record, self.defaults)
        self._by_name[topic.name] = topic
        self._by_id[topic.id] = topic
        self._count(record.placements)
        self._note(topic)
        return topic

    def _count(self, placements: Sequence[Placement]) -> None:
        self.partitions_count += len(placements)
        for log_id, stream_id in placements:
            self.use_streams(log_id, stream_id + 1)

    def _grow(self, record: PartitionsAdded) -> Topic | None:
        topic = self._by_id.get(record.topic_id)
        if topic is not None:
            self._extend(topic, record.placements)
            self._note(topic)
        return topic

    def _extend(self, topic: Topic, placements: Sequence[Placement]) -> None:
        """A partition stays where it lies; whatever is behind the last of them is new."""
        before = topic.record.placements
        if topic.extend(placements):
            new = placements[len(before) :]
            self._count(new)
            topic.configure(msgspec.structs.replace(topic.record, placements=[*before, *new]))

    def _configure(self, record: TopicConfigsChanged) -> Topic | None:
        topic = self._by_id.get(record.topic_id)
        if topic is None:
            return None
        return self._configured(
            topic, msgspec.structs.replace(topic.record, configs=record.configs)
        )

    def _configured(self, topic: Topic, record: TopicCreated) -> Topic:
        topic.configure(record)
        self._note(topic)
        return topic

    def _delete(self, topic_id: bytes) -> Topic | None:
        topic = self.forget(topic_id)
        if topic is not None:
            log_ids = sorted({partition.log_id for partition in topic.placed})
            self.restore_tombstone(topic_id, log_ids)
        return topic

    def restore_tombstone(self, topic_id: bytes, log_ids: list[int]) -> None:
        """That topic is gone, and these logs may have something of it."""
        self.tombstones[topic_id] = log_ids
        if topic_id not in self.gone:
            self.nameless[topic_id] = None
        self.changes.note(state_keys.tombstone(topic_id), _SMALL_BYTES + len(log_ids))

    def forget(self, topic_id: bytes) -> Topic | None:
        """A topic is not there any more, and its partitions with it."""
        topic = self._by_id.pop(topic_id, None)
        if topic is None:
            return None
        self.changes.note(state_keys.topic(topic_id), _SMALL_BYTES)
        if self._by_name.get(topic.name) is topic:
            del self._by_name[topic.name]
        forgotten = self.gone.note(topic.name, topic_id, (at.log_id for at in topic.placed))
        self.nameless |= {each: None for each in forgotten if each in self.tombstones}
        self.partitions_count -= len(topic.placed)
        for partition in topic.placed:
            partition.deleted = True
            partition.wake()
        return topic
