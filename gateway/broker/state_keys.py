"""Keys of what the broker remembers: a letter for the kind, then whose it is (METADATA.md)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from struct import Struct, error

from gateway.broker.metadata_records import ConfiguredKind
from wal_core import Corrupt

_NUMBER = Struct(">Q")
_PRODUCER = Struct(">cQq")
_NUMBERED = Struct(">cQ")


class KeyKind(enum.Enum):
    """The letter. Stored: none may change its meaning."""

    # Of the catalog:
    CLUSTER = b"c"
    TOPIC = b"t"  # then the topic's id
    TOMBSTONE = b"d"  # then the topic's id
    CONFIGS = b"r"  # then a letter for what they are set on, and its name
    # Of both:
    NEXT_STREAM = b"n"  # then the log's id
    # Of a data log:
    OPENED = b"o"  # then the stream
    PARTITION = b"p"  # then its stream
    PRODUCER = b"s"  # then the stream of the partition, and the producer's id
    GROUP_RECORD = b"g"  # then the key of a record of __consumer_offsets


_KINDS = {kind.value[0]: kind for kind in KeyKind}

CLUSTER = KeyKind.CLUSTER.value


def topic(topic_id: bytes) -> bytes:
    return KeyKind.TOPIC.value + topic_id


def tombstone(topic_id: bytes) -> bytes:
    return KeyKind.TOMBSTONE.value + topic_id


_CONFIGURED: Mapping[bytes, ConfiguredKind] = {
    b"b": "broker",
    b"g": "group",
    b"q": "client_quota",
}
_CONFIGURED_LETTERS = {kind: letter for letter, kind in _CONFIGURED.items()}


def configs(kind: ConfiguredKind, name: str) -> bytes:
    return KeyKind.CONFIGS.value + _CONFIGURED_LETTERS[kind] + name.encode()


def configured(key: bytes) -> tuple[ConfiguredKind, str]:
    """What settings are set on. Raises Corrupt, also for what only a newer release knows."""
    kind = _CONFIGURED.get(key[1:2])
    if kind is None:
        raise newer(key)
    try:
        return kind, key[2:].decode()
    except UnicodeDecodeError:
        raise Corrupt(f"the key {key!r} names nothing that has settings") from None


def next_stream(log_id: int) -> bytes:
    return _NUMBERED.pack(b"n", log_id)


def opened(stream_id: int) -> bytes:
    return _NUMBERED.pack(b"o", stream_id)


def partition(stream_id: int) -> bytes:
    return _NUMBERED.pack(b"p", stream_id)


def producer(stream_id: int, producer_id: int) -> bytes:
    return _PRODUCER.pack(b"s", stream_id, producer_id)


def group_record(key: bytes) -> bytes:
    return b"g" + key


def kind_of(key: bytes) -> KeyKind:
    """Raises Corrupt for a kind that only a newer release knows."""
    kind = _KINDS.get(key[0]) if key else None
    if kind is None:
        raise newer(key)
    return kind


def newer(key: bytes) -> Corrupt:
    """What to raise for a key that has no business there."""
    return Corrupt(f"what is remembered under {key[:8]!r} was written by a newer release")


def number_of(key: bytes) -> int:
    """The log or stream that a key names. Raises Corrupt."""
    try:
        number: int = _NUMBER.unpack_from(key, 1)[0]
    except error:
        raise Corrupt(f"the key {key!r} names no stream") from None
    return number


def producer_of(key: bytes) -> int:
    """Raises Corrupt."""
    try:
        producer_id: int = _PRODUCER.unpack(key)[2]
    except error:
        raise Corrupt(f"the key {key!r} names no producer") from None
    return producer_id


def encode_stream_id(stream_id: int) -> bytes:
    return _NUMBER.pack(stream_id)


def decode_stream_id(value: bytes | bytearray | memoryview | None) -> int:
    """Raises Corrupt."""
    if value is None or len(value) != _NUMBER.size:
        raise Corrupt("the next stream id cannot be read")
    stream_id: int = _NUMBER.unpack(value)[0]
    return stream_id
