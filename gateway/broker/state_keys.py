"""Keys of what the broker remembers: a letter for the kind, then whose it is (METADATA.md)."""

from __future__ import annotations

import enum
from struct import Struct, error

from wal_core import Corrupt

_STREAM = Struct(">Q")
_PRODUCER = Struct(">cQq")
_PARTITION = Struct(">cQ")


class KeyKind(enum.Enum):
    """The letter. Stored: none may change its meaning."""

    CLUSTER = b"c"
    PRODUCER_IDS = b"i"
    NEXT_STREAM = b"n"
    TOPIC = b"t"  # then the topic's id
    PARTITION = b"p"  # then its stream
    PRODUCER = b"s"  # then the stream of the partition, and the producer's id
    GROUP_RECORD = b"g"  # then the key of a record of __consumer_offsets


_KINDS = {kind.value[0]: kind for kind in KeyKind}

CLUSTER = KeyKind.CLUSTER.value
PRODUCER_IDS = KeyKind.PRODUCER_IDS.value
NEXT_STREAM = KeyKind.NEXT_STREAM.value


def topic(topic_id: bytes) -> bytes:
    return KeyKind.TOPIC.value + topic_id


def partition(stream_id: int) -> bytes:
    return _PARTITION.pack(b"p", stream_id)


def producer(stream_id: int, producer_id: int) -> bytes:
    return _PRODUCER.pack(b"s", stream_id, producer_id)


def group_record(key: bytes) -> bytes:
    return b"g" + key


def kind_of(key: bytes) -> KeyKind:
    """Raises Corrupt for a kind that only a newer release knows."""
    kind = _KINDS.get(key[0]) if key else None
    if kind is None:
        raise Corrupt(f"what is remembered under {key[:8]!r} was written by a newer release")
    return kind


def stream_of(key: bytes) -> int:
    """Of the key of a partition or a producer. Raises Corrupt."""
    try:
        stream_id: int = _STREAM.unpack_from(key, 1)[0]
    except error:
        raise Corrupt(f"the key {key!r} names no stream") from None
    return stream_id


def producer_of(key: bytes) -> int:
    """Raises Corrupt."""
    try:
        producer_id: int = _PRODUCER.unpack(key)[2]
    except error:
        raise Corrupt(f"the key {key!r} names no producer") from None
    return producer_id


def encode_stream_id(stream_id: int) -> bytes:
    return _STREAM.pack(stream_id)


def decode_stream_id(value: bytes | bytearray | memoryview | None) -> int:
    """Raises Corrupt."""
    if value is None or len(value) != _STREAM.size:
        raise Corrupt("the next stream id cannot be read")
    stream_id: int = _STREAM.unpack(value)[0]
    return stream_id
