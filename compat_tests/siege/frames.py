"""Request frames written by hand: large ones quickly, and ones that no client library makes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

METADATA, OFFSET_COMMIT, JOIN_GROUP, LIST_OFFSETS = 3, 8, 11, 2


def _text(value: bytes) -> bytes:
    return struct.pack(">h", len(value)) + value


def _header(key: int, version: int) -> bytes:
    return struct.pack(">hhi", key, version, 1) + _text(b"siege")


def join_group(
    group: str,
    protocols: Sequence[bytes],
    *,
    version: int = 3,
    metadata: bytes = b"",
    session_timeout_ms: int = 10_000,
) -> bytes:
    """JoinGroup of a member without an id, versions 1 to 4."""
    body = _text(group.encode()) + struct.pack(">ii", session_timeout_ms, 60_000)
    body += _text(b"") + _text(b"consumer") + struct.pack(">i", len(protocols))
    tail = struct.pack(">i", len(metadata)) + metadata
    rows = b"".join(_text(name) + tail for name in protocols)
    return _header(JOIN_GROUP, version) + body + rows


def metadata(names: Sequence[bytes]) -> bytes:
    """Metadata, version 4, that creates nothing."""
    rows = b"".join(map(_text, names))
    return _header(METADATA, 4) + struct.pack(">i", len(names)) + rows + b"\x00"


def offset_commit(group: bytes, topic: str, partitions_count: int) -> bytes:
    """OffsetCommit, version 2, of a consumer that is in no group, for all partitions of a topic."""
    body = _text(group) + struct.pack(">i", -1) + _text(b"") + struct.pack(">q", -1)
    body += struct.pack(">i", 1) + _text(topic.encode()) + struct.pack(">i", partitions_count)
    rows = b"".join(
        struct.pack(">iq", number, 1) + _text(b"") for number in range(partitions_count)
    )
    return _header(OFFSET_COMMIT, 2) + body + rows


def list_offsets(topic: str, timestamp_ms: int) -> bytes:
    """ListOffsets, version 1, of partition 0."""
    body = struct.pack(">ii", -1, 1) + _text(topic.encode())
    return _header(LIST_OFFSETS, 1) + body + struct.pack(">iiq", 1, 0, timestamp_ms)


def framed(frame: bytes) -> bytes:
    return struct.pack(">i", len(frame)) + frame
