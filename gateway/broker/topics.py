"""Which topics exist, and which stream each of their partitions is.

The registry is a pure function of the metadata records in the log (METADATA.md): `apply` is the
only thing that changes it, both when a record is written and when it is replayed.
"""

from __future__ import annotations

import asyncio
import re
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
from gateway.broker.topic_configs import LONG_MAX, SETTINGS
from protocol import RecordRules
from wal_core import Changes

if TYPE_CHECKING:
    from wal_core import Log

METADATA_STREAM_ID = 0
_SMALL_BYTES = 64  # about what a short key and its value take
FIRST_PARTITION_STREAM_ID = 1
OFFSETS_TOPIC = "__consumer_offsets"
TOPIC_NAME_CHARS_MAX = 249  # Kafka's Topic.MAX_NAME_LENGTH: a file name with room for a suffix
_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]+\Z")


def topic_name_problem(name: str) -> str | None:
    """Why `name` cannot be a topic (Kafka's rules, `Topic.validate`), or None."""
    if not name:
        return "the topic name is empty"
    if name in (".", ".."):
        return f"the topic name cannot be {name!r}"
    if len(name) > TOPIC_NAME_CHARS_MAX:
        return f"the topic name has {len(name)} characters, the most is {TOPIC_NAME_CHARS_MAX}"
    if not _LEGAL_NAME.match(name):
        return (
            f"the topic name {name!r} has characters other than letters, digits, '.', '_' and '-'"
        )
    return None


class Topic:
    """A topic and its partitions. `created` is settled once its record is durable."""

    __slots__ = (
        "_default_bytes_max",
        "changes",
        "configs",
        "created",
        "created_s",
        "deletes_old",
        "id",
        "is_compacted",
        "log_append_time",
        "message_bytes_max",
        "name",
        "partitions",
        "record",
        "retention_bytes",
        "retention_ms",
        "timestamp_ahead_ms",
        "timestamp_behind_ms",
    )

    def __init__(
        self,
        record: TopicCreated,
        message_bytes_max: int,
        log: Log | None,
        changes: Changes,
        producer_memory: ProducerMemory,
    ) -> None:
        self.name = record.name
        self.id = record.topic_id
        self._default_bytes_max = message_bytes_max
        self.changes = changes  # of what is remembered, those of its partitions included
        self.configure(record)
        self.created: asyncio.Future[None] | None = None
        self.created_s = 0.0  # when that was begun, by the loop's time
        self.partitions = [
            Partition(self, index, placement.stream_id, log, producer_memory)
            for index, placement in enumerate(record.placements)
        ]

    def configure(self, record: TopicCreated) -> None:
        """Act on the settings of `record`, which rebuilds the topic from now on."""
        self.record = record
        self.configs = record.configs
        own_max = record.configs.get("max.message.bytes")
        self.message_bytes_max = int(own_max) if own_max else self._default_bytes_max
        self.log_append_time = self.config("message.timestamp.type") == "LogAppendTime"
        self.timestamp_ahead_ms = int(self.config("message.timestamp.after.max.ms"))
        self.timestamp_behind_ms = int(self.config("message.timestamp.before.max.ms"))
        policies = [policy.strip() for policy in self.config("cleanup.policy").split(",")]
        self.deletes_old = "delete" in policies
        self.is_compacted = "compact" in policies
        self.retention_ms = int(self.config("retention.ms"))  # -1: for ever
        self.retention_bytes = int(self.config("retention.bytes"))  # per partition; -1: any number

    def record_rules(self, now_ms: int) -> RecordRules:
        """What a producer's records must be like, as LogValidator has it: keys where the newest of
        each is kept, and times near the clock unless the broker sets them itself.
        """
        if self.log_append_time:
            return RecordRules(needs_keys=self.is_compacted)
        behind_ms, ahead_ms = self.timestamp_behind_ms, self.timestamp_ahead_ms
        return RecordRules(
            -LONG_MAX - 1 if behind_ms == LONG_MAX else now_ms - behind_ms,
            LONG_MAX if ahead_ms == LONG_MAX else now_ms + ahead_ms,
            self.is_compacted,
        )

    @property
    def is_internal(self) -> bool:
        return self.name == OFFSETS_TOPIC

    @property
    def is_durable(self) -> bool:
        """Whether no crash can take it away any more."""
        created = self.created
        return created is None or (created.done() and created.exception() is None)

    def config(self, name: str) -> str:
        return self.configs.get(name, SETTINGS[name].default)


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
