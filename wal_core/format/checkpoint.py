"""Bytes of a piece of the checkpoint: keys and what is remembered under them. Source: FORMAT.md.

The same bytes are the payload of an entry of the checkpoint stream and the end of a footer. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from wal_core.errors import Corrupt
from wal_core.format.versions import PIECE
from wal_core.types import Buffer

CHECKPOINT_STREAM_ID = (1 << 64) - 1
"""Its entries are pieces of the checkpoint; no user can have it."""

_VERSION = struct.Struct("<H")
_PAIR = struct.Struct("<II")
_FORGOTTEN = (1 << 32) - 1
"""In the place of a value's length: nothing is remembered under this key any more."""


def encode_piece(pairs: Iterable[tuple[bytes, bytes | None]]) -> bytes:
    """Keys and values; no value: forgotten. Nothing takes no bytes."""
    parts: list[bytes] = [_VERSION.pack(PIECE.version)]
    for key, value in pairs:
        if value is None:
            parts += (_PAIR.pack(len(key), _FORGOTTEN), key)
        else:
            parts += (_PAIR.pack(len(key), len(value)), key, value)
    return b"".join(parts) if len(parts) > 1 else b""


def iter_piece(piece: Buffer) -> Iterator[tuple[bytes, memoryview | None]]:
    """Values are views. Raises Corrupt where the bytes are no whole pair, Invalid for another
    version."""
    view = memoryview(piece)
    at, end = 0, len(view)
    if view:
        if end <= _VERSION.size:
            raise Corrupt("a piece of the checkpoint holds nothing")
        PIECE.check(_VERSION.unpack_from(view)[0])
        at = _VERSION.size
    while at < end:
        if end - at < _PAIR.size:
            raise Corrupt("a piece of the checkpoint ends inside a head")
        key_bytes, value_bytes = _PAIR.unpack_from(view, at)
        key_end = at + _PAIR.size + key_bytes
        value_end = key_end + (0 if value_bytes == _FORGOTTEN else value_bytes)
        if value_end > end:
            raise Corrupt("a piece of the checkpoint ends inside a value")
        key = bytes(view[key_end - key_bytes : key_end])
        yield key, None if value_bytes == _FORGOTTEN else view[key_end:value_end]
        at = value_end


def pair_bytes(key: bytes, value: Buffer | None) -> int:
    """What one takes of a piece."""
    return _PAIR.size + len(key) + (0 if value is None else len(value))
