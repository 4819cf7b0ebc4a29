"""Which topics exist, and which stream each of their partitions is.

The registry is a pure function of the metadata records in the log (METADATA.md): `apply` is the
only thing that changes it, both when a record is written and when it is replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from gateway.broker import state_keys
from gateway.broker.metadata_records import (
    ClusterCreated,
    MetadataRecord,
    ProducerIdsReserved,
    RecordsDeleted,
    TopicConfigsChanged,
    TopicCreated,
    TopicDeleted,
)
from gateway.broker.partition import Partition
from gateway.broker.producer_state import ProducerMemory
from gateway.broker.topic_rules import TopicRules
from wal_core import Changes

if TYPE_CHECKING:
    from wal_core import Log

METADATA_STREAM_ID = 0
_SMALL_BYTES = 64  # about what a short key and its value take
FIRST_PARTITION_STREAM_ID = 1


class Topic(TopicRules):
    """A topic and its partitions. `created` is settled once its record is durable."""

    __slots__ = ("created", "created_s", "partitions")

    def __init__(
        self,
        record: TopicCreated,
        message_bytes_max: int,
        log: Log | None,
        changes: Changes,
        producer_memory: ProducerMemory,
    ) -> None:
        super().__init__(record, message_bytes_max, changes)
        self.created: asyncio.Future[None] | None = None
        self.created_s = 0.0  # when that was begun, by the loop's time
        self.partitions = [
            Partition(self, index, placement.stream_id, log, producer_memory)
            for index, placement in enumerate(record.placements)
        ]

    @property
    def is_durable(self) -> bool:
        """Whether no crash can take it away any more."""
        created = self.created
        return created is None or (created.done() and created.exception() is None)


class TopicRegistry:
    """Topics by name and by id, partitions by stream; plus the counters that live beside them."""

    def __init__(
        self, message_bytes_max: int, producer_memory: ProducerMemory | None = None
    ) -> None:
        self._message_bytes_max = message_bytes_max
        self._producer_memory = producer_memory or ProducerMemory()
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[bytes, Topic] = {}
        self._by_stream: dict[int, Partition] = {}
        self._log: Log | None = None
        self.changes = Changes()
        self.cluster_id = ""
        self.next_stream_id = FIRST_PARTITION_STREAM_ID  # never reused, also not after a deletion
        self.producer_ids_end = 0  # producer ids below this may have been handed out

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def partitions_count(self) -> int:
        return len(self._by_stream)

    def named(self, name: str) -> Topic | None:
        return self._by_name.get(name)

    def with_id(self, topic_id: bytes) -> Topic | None:
        return self._by_id.get(topic_id)

    def of_stream(self, stream_id: int) -> Partition | None:
        return self._by_stream.get(stream_id)

    def partitions(self) -> Iterable[Partition]:
        return self._by_stream.values()

    def attach(self, log: Log) -> None:
        """After replay: existing and coming partitions may append and read."""
        self._log = log
        for partition in self._by_stream.values():
            partition.attach(log)

    def apply(self, record: MetadataRecord) -> Topic | None:
        """Take in one metadata record; returns the topic it created, changed or deleted."""
        match record:
            case TopicCreated():
                return self._add(record)
            case TopicConfigsChanged():
                return self._configure(record)
            case TopicDeleted():
                return self.forget(record.topic_id)
            case ClusterCreated():
                self.cluster_id = record.cluster_id
                self.changes.note(state_keys.CLUSTER, _SMALL_BYTES)
            case ProducerIdsReserved():
                self.producer_ids_end = record.end
                self.changes.note(state_keys.PRODUCER_IDS, _SMALL_BYTES)
            case RecordsDeleted():
                self._delete_below(record.starts)
        return None

    def record(self, key: bytes) -> MetadataRecord | None:
        """What rebuilds what is remembered under a key of the cluster, the producer ids or a topic;
        None: nothing does.
        """
        if key == state_keys.CLUSTER:
            return ClusterCreated(cluster_id=self.cluster_id)
        if key == state_keys.PRODUCER_IDS:
            return ProducerIdsReserved(end=self.producer_ids_end)
        topic = self._by_id.get(key[1:])
        return None if topic is None else topic.record

    def restore_next_stream_id(self, stream_id: int) -> None:
        """Ids of topics that are gone are not used again."""
        self.next_stream_id = max(self.next_stream_id, stream_id)

    def _note(self, topic: Topic) -> None:
        size = _SMALL_BYTES + len(topic.name) + sum(map(len, topic.configs.values()))
        self.changes.note(state_keys.topic(topic.id), size)

    def _add(self, record: TopicCreated) -> Topic:
        if (known := self._by_id.get(record.topic_id)) is not None:
            return self._configured(known, record)  # remembered once more, with other settings
        topic = Topic(
            record, self._message_bytes_max, self._log, self.changes, self._producer_memory
        )
        self._by_name[topic.name] = topic
        self._by_id[topic.id] = topic
        for partition in topic.partitions:
            self._by_stream[partition.stream_id] = partition
        end = 1 + max(place.stream_id for place in record.placements)
        self.next_stream_id = max(self.next_stream_id, end)
        self.changes.note(state_keys.NEXT_STREAM, _SMALL_BYTES)
        self._note(topic)
        return topic

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

    def _delete_below(self, starts: Mapping[int, int]) -> None:
        for stream_id, offset in starts.items():
            partition = self._by_stream.get(stream_id)
            if partition is not None:
                partition.delete_below(offset)

    def forget(self, topic_id: bytes) -> Topic | None:
        """A topic is gone, and its partitions with it; what is remembered of them means nothing any
        more.
        """
        topic = self._by_id.pop(topic_id, None)
        if topic is None:
            return None
        self.changes.note(state_keys.topic(topic_id), _SMALL_BYTES)
        if self._by_name.get(topic.name) is topic:
            del self._by_name[topic.name]
        for partition in topic.partitions:
            partition.deleted = True
            partition.producers.clear()
            del self._by_stream[partition.stream_id]
            partition.wake()
        return topic
