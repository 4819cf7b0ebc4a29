"""What the catalog says, as the state that rides on its log: a map of keys to values that is the
sum of its records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from gateway.broker import state_keys as keys_of
from gateway.broker.metadata_records import (
    UNREADABLE,
    ClusterCreated,
    ConfigsChanged,
    MetadataRecord,
    TopicForgotten,
    decode_metadata,
    encode_metadata,
)
from gateway.broker.salvage import StateSalvage
from gateway.broker.state_keys import KeyKind
from gateway.broker.stored_configs import StoredConfigs
from gateway.broker.topics import METADATA_STREAM_ID, TopicRegistry
from wal_core import Changes, Corrupt

if TYPE_CHECKING:
    from wal_core import Entry

_encoder = msgspec.msgpack.Encoder()
_log_ids = msgspec.msgpack.Decoder(list[int])


class CatalogState:
    """Implements wal_core.LogState over what the catalog says; `configs` shares the registry's
    changes."""

    def __init__(self, topics: TopicRegistry, configs: StoredConfigs | None = None) -> None:
        self.topics = topics
        self.configs = StoredConfigs(topics.changes) if configs is None else configs

    @property
    def changes(self) -> Changes:
        """See LogState."""
        return self.topics.changes

    def keys(self) -> list[bytes]:
        """All that have a value."""
        topics = self.topics
        return [
            *((keys_of.CLUSTER,) if topics.cluster_id else ()),
            *(keys_of.topic(topic.id) for topic in topics),
            *map(keys_of.tombstone, topics.tombstones),
            *map(keys_of.next_stream, topics.next_stream_ids),
            *self.configs.keys(),
        ]

    def restore(self, key: bytes, value: bytes | bytearray | memoryview | None) -> None:
        """See LogState. Raises Corrupt, also for what a newer release has written."""
        match keys_of.kind_of(key):
            case KeyKind.NEXT_STREAM:
                end = keys_of.decode_stream_id(value)
                self.topics.use_streams(keys_of.number_of(key), end)
            case KeyKind.TOMBSTONE if value is None:
                self.topics.apply(TopicForgotten(topic_id=key[1:]))
            case KeyKind.TOMBSTONE:
                self.topics.restore_tombstone(key[1:], _decode_log_ids(bytes(value or b"")))
            case KeyKind.TOPIC if value is None:
                self.topics.forget(key[1:])
            case KeyKind.CONFIGS if value is None:
                self.configs.forget(key)
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
            self.configs.apply(record)
        else:
            self.topics.apply(record)

    def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """See LogState."""
        for key in keys:
            yield key, self.value(key)

    def value(self, key: bytes) -> bytes | None:
        """What is remembered under it now; None: nothing."""
        topics = self.topics
        match keys_of.kind_of(key):
            case KeyKind.CLUSTER:
                return encode_metadata(ClusterCreated(cluster_id=topics.cluster_id))
            case KeyKind.NEXT_STREAM:
                return keys_of.encode_stream_id(topics.next_stream_id(keys_of.number_of(key)))
            case KeyKind.TOMBSTONE:
                log_ids = topics.tombstones.get(key[1:])
                return None if log_ids is None else _encoder.encode(log_ids)
            case KeyKind.CONFIGS:
                configs = self.configs.record(key)
                return None if configs is None else encode_metadata(configs)
            case _:
                topic = topics.with_id(key[1:])
                return None if topic is None else encode_metadata(topic.record)

    def confirmed(self, ends: Mapping[int, int]) -> None:
        """Nobody reads the catalog as it is written."""

    def salvage(self) -> StateSalvage:
        """See LogState."""
        return StateSalvage(CatalogState(TopicRegistry(message_bytes_max=0)))


def _decode_log_ids(value: bytes) -> list[int]:
    try:
        return _log_ids.decode(value)
    except UNREADABLE as error:
        raise Corrupt(f"a tombstone cannot be read: {error}") from None
