"""The broker's state as the log sees it: what a checkpoint holds and how entries are replayed.

The log calls `restore`, then `apply` for every later entry, so that a start costs one checkpoint
and one unfinished segment however old the log is. `checkpoint` is taken at the moment a segment is
cut and must be exactly the effect of every entry appended so far, durable or not
(wal_core.LogState).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.broker.metadata_records import (
    UNREADABLE,
    MetadataRecord,
    StreamId,
    decode_metadata,
)
from gateway.broker.partition import SavedPartition
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry
from protocol import BatchError, ProtocolError, iter_records
from wal_core import Corrupt, SteadyClock

if TYPE_CHECKING:
    from wal_core import Clock, Entry

logger = logging.getLogger(__name__)


class GroupRecords(Protocol):
    """Who keeps what the records of __consumer_offsets say: the group coordinator."""

    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None: ...

    def snapshot(self) -> list[tuple[bytes, bytes]]:
        """The newest value of every key, appended ones that are not yet durable included."""
        ...


class _Checkpoint(msgspec.Struct, array_like=True):
    """Version 1. Fields may be added at the end with a default; none may change its place."""

    version: int
    metadata: list[MetadataRecord]
    next_stream_id: StreamId
    partitions: list[SavedPartition]
    group_records: list[tuple[bytes, bytes]]


CHECKPOINT_VERSION = 1
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Checkpoint)


class BrokerState:
    """Implements wal_core.LogState over the registry and the group records."""

    def __init__(self, topics: TopicRegistry, groups: GroupRecords, clock: Clock) -> None:
        self._topics = topics
        self._groups = groups
        self._clock = clock
        self.steady = SteadyClock(clock)
        """Producers are forgotten by their age, which a jump of the wall clock must not change."""

    def restore(self, checkpoint: bytes) -> None:
        """See LogState. Raises Corrupt, also for what a newer release has written."""
        saved = _decode(checkpoint)
        for record in saved.metadata:
            self._topics.apply(record)
        self._topics.next_stream_id = saved.next_stream_id
        for partition_saved in saved.partitions:
            partition = self._topics.of_stream(partition_saved.stream_id)
            if partition is not None:
                partition.load(partition_saved)
        for key, value in saved.group_records:
            self._groups.replay(key, value, self._clock.now_ms())

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

    def checkpoint(self) -> bytes:
        now_ms = self.steady.now_ms()
        return _encoder.encode(
            _Checkpoint(
                CHECKPOINT_VERSION,
                self._topics.records(),
                self._topics.next_stream_id,
                [p.save(now_ms) for p in self._topics.partitions() if p.epochs],
                self._groups.snapshot(),
            )
        )

    def confirmed(self, ends: Mapping[int, int]) -> None:
        for stream_id in ends:
            partition = self._topics.of_stream(stream_id)
            if partition is not None and partition.waiters:
                partition.wake()


def _decode(checkpoint: bytes) -> _Checkpoint:
    try:
        saved = _decoder.decode(checkpoint)
    except UNREADABLE as error:
        raise Corrupt(f"a checkpoint cannot be read: {error}") from None
    if saved.version != CHECKPOINT_VERSION:
        raise Corrupt(
            f"checkpoint version {saved.version} was written by a newer release; "
            f"this one reads version {CHECKPOINT_VERSION}"
        )
    return saved
