"""The broker's state as the log sees it: what is remembered under which key, and replay.

The log gives back what was remembered (`restore`), then every later entry (`apply`), so that a
start costs what is remembered and one unfinished segment however old the log is. Everything that
changes by an entry is noted in `changes`, in the step of the loop in which that is appended; when
the log asks for `values`, they are the effect of every entry so far, durable or not (METADATA.md,
wal_core.LogState).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from gateway.broker import state_keys as keys_of
from gateway.broker.metadata_records import UNREADABLE, decode_metadata, encode_metadata
from gateway.broker.partition import SavedPartition
from gateway.broker.producer_state import SavedProducer
from gateway.broker.salvage import BrokerSalvage, StoredGroups
from gateway.broker.state_keys import KeyKind
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry
from protocol import BatchError, ProtocolError, iter_records
from wal_core import Corrupt, SteadyClock

if TYPE_CHECKING:
    from wal_core import Changes, Clock, Entry

logger = logging.getLogger(__name__)

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_partitions = msgspec.msgpack.Decoder(SavedPartition)
_producers = msgspec.msgpack.Decoder(SavedProducer)


class GroupRecords(Protocol):
    """Who keeps what the records of __consumer_offsets say: the group coordinator."""

    def watch(self, note: Callable[[bytes, int], None]) -> None:
        """Call this with the key of every record that is new, and about how many bytes it has."""
        ...

    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None: ...

    def values(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The newest value of each key that has one, appended ones not yet durable included."""
        ...


class BrokerState:
    """Implements wal_core.LogState over the registry and the group records."""

    def __init__(self, topics: TopicRegistry, groups: GroupRecords, clock: Clock) -> None:
        self._topics = topics
        self._groups = groups
        self._clock = clock
        self.steady = SteadyClock(clock)
        """Producers are forgotten by their age, which a jump of the wall clock must not change."""
        self._of_partitions: dict[bytes, bytes] = {}  # until their topics are known
        groups.watch(lambda key, size: self.changes.note(keys_of.group_record(key), size))

    @property
    def changes(self) -> Changes:
        """See LogState."""
        return self._topics.changes

    def restore(self, key: bytes, value: bytes | bytearray | memoryview | None) -> None:
        """See LogState. Raises Corrupt, also for what a newer release has written."""
        kind = keys_of.kind_of(key)
        if kind is KeyKind.GROUP_RECORD:
            stored = None if value is None else bytes(value)
            self._groups.replay(key[1:], stored, self._clock.now_ms())
        elif kind in (KeyKind.PARTITION, KeyKind.PRODUCER):
            if value is None:
                self._of_partitions.pop(key, None)
            else:
                self._of_partitions[key] = bytes(value)
        elif kind is KeyKind.NEXT_STREAM:
            self._topics.restore_next_stream_id(keys_of.decode_stream_id(value))
        elif value is None:
            self._topics.forget(key[1:])
        else:
            self._topics.apply(decode_metadata(bytes(value)))

    def restored(self) -> None:
        """See LogState. Raises Corrupt."""
        producers: dict[int, dict[int, SavedProducer]] = {}
        for key, value in self._of_partitions.items():
            stream_id = keys_of.stream_of(key)
            partition = self._topics.of_stream(stream_id)
            if partition is None:
                continue  # of a topic deleted since
            if keys_of.kind_of(key) is KeyKind.PARTITION:
                partition.load(_decode(_partitions, value))
            else:
                saved = _decode(_producers, value)
                producers.setdefault(stream_id, {})[keys_of.producer_of(key)] = saved
        self._of_partitions.clear()
        for stream_id, of_partition in producers.items():
            partition = self._topics.of_stream(stream_id)
            assert partition is not None
            partition.producers.load(of_partition)

    def apply(self, entry: Entry) -> None:
        """See LogState. Raises Corrupt."""
        try:
            self._apply(entry)
        except (ProtocolError, BatchError) as error:
            raise Corrupt(
                f"stream {entry.stream_id} cannot be read at offset {entry.base_offset}: {error}"
            ) from None

    def _apply(self, entry: Entry) -> None:
        if entry.stream_id == METADATA_STREAM_ID:
            self._topics.apply(decode_metadata(entry.payload))
            return
        partition = self._topics.of_stream(entry.stream_id)
        if partition is None:
            return  # of a topic deleted later on
        partition.apply(entry, self.steady.now_ms())
        if partition.topic.is_internal:
            for record in iter_records(entry.payload):
                if record.key is not None:
                    self._groups.replay(record.key, record.value, record.timestamp_ms)

    def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """See LogState."""
        group_keys = [key[1:] for key in keys if keys_of.kind_of(key) is KeyKind.GROUP_RECORD]
        of_groups = self._groups.values(group_keys) if group_keys else {}
        for key in keys:
            if keys_of.kind_of(key) is KeyKind.GROUP_RECORD:
                yield key, of_groups.get(key[1:])
            else:
                yield key, self._value(key)

    def _value(self, key: bytes) -> bytes | None:
        kind = keys_of.kind_of(key)
        if kind in (KeyKind.PARTITION, KeyKind.PRODUCER):
            partition = self._topics.of_stream(keys_of.stream_of(key))
            if partition is None:
                return None
            if kind is KeyKind.PARTITION:
                return _encoder.encode(partition.save())
            saved = partition.producers.save(keys_of.producer_of(key), self.steady.now_ms())
            return None if saved is None else _encoder.encode(saved)
        if kind is KeyKind.NEXT_STREAM:
            return keys_of.encode_stream_id(self._topics.next_stream_id)
        record = self._topics.record(key)
        return None if record is None else encode_metadata(record)

    def confirmed(self, ends: Mapping[int, int]) -> None:
        for stream_id in ends:
            partition = self._topics.of_stream(stream_id)
            if partition is not None and partition.waiters:
                partition.wake()

    def salvage(self) -> BrokerSalvage:
        """See LogState."""
        topics = TopicRegistry(message_bytes_max=0)  # nobody produces to them
        return BrokerSalvage(topics, BrokerState(topics, StoredGroups(), self._clock))


def _decode(decoder: msgspec.msgpack.Decoder[T], value: bytes) -> T:
    try:
        return decoder.decode(value)
    except UNREADABLE as error:
        raise Corrupt(f"what is remembered of a partition cannot be read: {error}") from None
