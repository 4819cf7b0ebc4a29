"""The catalog, log 0 and nothing else: the cluster's id, which topics there are and where their
partitions lie, and tombstones of those that are gone.

A topic exists from the moment its record is durable here; the logs that it lies on hear of it with
the first record of each partition (`StreamOpened`), so a crash in between leaves nothing behind. A
topic is gone from the moment its tombstone is durable here; then the owners of its logs drop its
streams, and the tombstone stays until all have written that down. Its own end costs no write: it
is written down with whatever the catalog is told next.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from gateway.broker import state_keys as keys_of
from gateway.broker.metadata_records import (
    UNREADABLE,
    ClusterCreated,
    ConfigsChanged,
    MetadataRecord,
    TopicDeleted,
    TopicForgotten,
    decode_metadata,
    encode_metadata,
)
from gateway.broker.salvage import StateSalvage
from gateway.broker.state_keys import KeyKind
from gateway.broker.stored_configs import StoredConfigs
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry
from gateway.broker.waiting import confirmed_in_time
from wal_core import Changes, Corrupt, Log, Unavailable

if TYPE_CHECKING:
    from wal_core import Clock, Entry, LogConfig, Rng, SegmentStore

logger = logging.getLogger(__name__)

_encoder = msgspec.msgpack.Encoder()
_log_ids = msgspec.msgpack.Decoder(list[int])


class CatalogState:
    """Implements wal_core.LogState over what the catalog says; `configs` shares the registry's
    changes."""

    def __init__(self, topics: TopicRegistry, configs: StoredConfigs | None = None) -> None:
        self._topics = topics
        self._configs = StoredConfigs(topics.changes) if configs is None else configs

    @property
    def changes(self) -> Changes:
        """See LogState."""
        return self._topics.changes

    def restore(self, key: bytes, value: bytes | bytearray | memoryview | None) -> None:
        """See LogState. Raises Corrupt, also for what a newer release has written."""
        match keys_of.kind_of(key):
            case KeyKind.NEXT_STREAM:
                end = keys_of.decode_stream_id(value)
                self._topics.use_streams(keys_of.number_of(key), end)
            case KeyKind.TOMBSTONE if value is None:
                self._topics.apply(TopicForgotten(topic_id=key[1:]))
            case KeyKind.TOMBSTONE:
                self._topics.restore_tombstone(key[1:], _decode_log_ids(bytes(value or b"")))
            case KeyKind.TOPIC if value is None:
                self._topics.forget(key[1:])
            case KeyKind.CONFIGS if value is None:
                self._configs.forget(key)
            case KeyKind.TOPIC | KeyKind.CLUSTER | KeyKind.CONFIGS:
                self.take(decode_metadata(bytes(value or b"")))
            case _:
                raise keys_of.newer(key)

    def restored(self) -> None:
        """See LogState."""

    def apply(self, entry: Entry) -> None:
        """See LogState. Raises Corrupt."""
        if entry.stream_id == METADATA_STREAM_ID:
            self.take(decode_metadata(entry.payload))

    def take(self, record: MetadataRecord) -> None:
        """Let one record change what it is about."""
        if isinstance(record, ConfigsChanged):
            self._configs.apply(record)
        else:
            self._topics.apply(record)

    def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """See LogState."""
        for key in keys:
            yield key, self._value(key)

    def _value(self, key: bytes) -> bytes | None:
        topics = self._topics
        match keys_of.kind_of(key):
            case KeyKind.CLUSTER:
                return encode_metadata(ClusterCreated(cluster_id=topics.cluster_id))
            case KeyKind.NEXT_STREAM:
                return keys_of.encode_stream_id(topics.next_stream_id(keys_of.number_of(key)))
            case KeyKind.TOMBSTONE:
                log_ids = topics.tombstones.get(key[1:])
                return None if log_ids is None else _encoder.encode(log_ids)
            case KeyKind.CONFIGS:
                configs = self._configs.record(key)
                return None if configs is None else encode_metadata(configs)
            case _:
                topic = topics.with_id(key[1:])
                return None if topic is None else encode_metadata(topic.record)

    def confirmed(self, ends: Mapping[int, int]) -> None:
        """Nobody reads the catalog as it is written."""

    def salvage(self) -> StateSalvage:
        """See LogState."""
        return StateSalvage(CatalogState(TopicRegistry(message_bytes_max=0)))


class Catalog:
    """Owner of log 0. `open`, then all else, then `close`."""

    def __init__(self, message_bytes_max: int, clock: Clock, rng: Rng) -> None:
        self.topics = TopicRegistry(message_bytes_max)
        self.configs = StoredConfigs(self.topics.changes)
        self._state = CatalogState(self.topics, self.configs)
        self._clock = clock
        self._rng = rng
        self._log: Log | None = None
        # By tombstone, the logs that have written down that nothing is left; and those of which
        # that is true everywhere.
        self._served: dict[bytes, set[int]] = {}
        self._finished: dict[bytes, None] = {}

    async def open(self, store: SegmentStore, config: LogConfig) -> None:
        """Recover it; a new one gets the cluster's id."""
        self._log = await Log.open(store, self._state, config, clock=self._clock, rng=self._rng)

    async def be_somebody(self, timeout_s: float) -> None:
        """A new cluster gets its id. Raises the log's error, or TimeoutError."""
        if not self.topics.cluster_id:
            name = base64.urlsafe_b64encode(self._rng.random_bytes(16)).decode().rstrip("=")
            await confirmed_in_time(self.write(ClusterCreated(cluster_id=name)), timeout_s)

    @property
    def is_open(self) -> bool:
        """Whether this process is the one that writes it."""
        return self._log is not None

    @property
    def log(self) -> Log:
        assert self._log is not None, "the catalog is not open"
        return self._log

    def write(self, record: MetadataRecord) -> asyncio.Future[None]:
        """Append a change and apply it. Raises NoRoom where deletions alone are still written."""
        if not self.is_open:
            raise Unavailable("another node writes the catalog")
        if not isinstance(record, TopicDeleted):
            self.log.room.admit_change()
        for topic_id in tuple(self._finished):
            self._append(TopicForgotten(topic_id=topic_id))
            del self._finished[topic_id]
        return self._append(record)

    def tombstone_served(self, topic_id: bytes, log_id: int) -> None:
        """That log has written down that it has nothing of the topic any more."""
        log_ids = self.topics.tombstones.get(topic_id)
        if log_ids is None:
            return
        served = self._served.setdefault(topic_id, set())
        served.add(log_id)
        if served.issuperset(log_ids):
            del self._served[topic_id]
            self._finished[topic_id] = None

    def unserved(self) -> dict[bytes, list[int]]:
        """Tombstones, and the logs that have not written down yet that nothing is left there."""
        return {
            topic_id: [log for log in log_ids if log not in self._served.get(topic_id, ())]
            for topic_id, log_ids in self.topics.tombstones.items()
            if topic_id not in self._finished
        }

    def _append(self, record: MetadataRecord) -> asyncio.Future[None]:
        log = self.log
        offset = log.end_offset(METADATA_STREAM_ID)
        payload = encode_metadata(record)
        confirmation = log.append(METADATA_STREAM_ID, offset, 1, self._clock.now_ms(), payload)
        self._state.take(record)
        return confirmation

    async def close(self) -> None:
        """Confirm what is pending and release the log; it may be opened again."""
        if self._log is None:
            return
        try:
            await self._log.close()
        finally:
            self._log = None


def _decode_log_ids(value: bytes) -> list[int]:
    try:
        return _log_ids.decode(value)
    except UNREADABLE as error:
        raise Corrupt(f"a tombstone cannot be read: {error}") from None
