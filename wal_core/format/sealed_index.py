"""Bytes of the index of a sealed segment: its objects, blocks, streams, runs. Source: FORMAT.md.

Pure: no I/O here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from wal_core.errors import Corrupt
from wal_core.format.block import Block, BlockKind
from wal_core.format.places import Place
from wal_core.format.stream_tables import Run, StreamRow, StreamTables, encode_runs, encode_streams
from wal_core.format.versions import SEALED_INDEX
from wal_core.types import Buffer

INDEX_MAGIC = b"WPI1"
_HEAD = struct.Struct("<4sHIIIIQQq")
_BLOCK_ROW = struct.Struct("<QIIIQI")
_OBJECT_ROW = struct.Struct("<QH")


class ObjectRow(NamedTuple):
    """An object that holds blocks of the sealed segment, perhaps among others."""

    key: str
    size_bytes: int


class BlockRow(NamedTuple):
    """Where a block is, and the segment and number its header has. One of length 0 is lost: what
    else it says counts for nothing."""

    position: int
    length: int
    data_bytes: int  # of its entries' payloads, dead ones included
    object_number: int
    segment: int
    block: int


def encode_index(
    *,
    first: int,
    last: int,
    objects: Sequence[ObjectRow],
    blocks: Sequence[BlockRow],
    streams: Sequence[StreamRow],
    runs: Sequence[Run],
    created_ms: int,
    changes: Buffer | None = None,
) -> bytes:
    """`streams` sorted by id, `runs` by (stream, block). `changes`: of the last footer, where the
    log may end here; else it is of the version before, which others read, too."""
    counts = (len(objects), len(blocks), len(streams), len(runs))
    version = SEALED_INDEX.oldest if changes is None else SEALED_INDEX.version
    parts: list[Buffer] = [_HEAD.pack(INDEX_MAGIC, version, *counts, first, last, created_ms)]
    parts += [_BLOCK_ROW.pack(*row) for row in blocks]
    parts += [encode_streams(streams), encode_runs(runs)]
    for key, size_bytes in objects:
        name = key.encode()
        parts += [_OBJECT_ROW.pack(size_bytes, len(name)), name]
    if changes is not None:
        parts.append(changes)
    return b"".join(parts)


class SealedIndex(StreamTables):
    """A parsed index."""

    __slots__ = ("_log_id", "block_count", "changes", "created_ms", "first", "last", "objects")

    def __init__(self, log_id: int, payload: Buffer) -> None:
        self._log_id = log_id
        if len(payload) < _HEAD.size:
            raise Corrupt("index is too short", log_id=log_id)
        magic, version, *rest = _HEAD.unpack_from(payload)
        if magic != INDEX_MAGIC:
            raise Corrupt("not an index", log_id=log_id)
        SEALED_INDEX.check(version)
        objects, blocks, streams, runs, first, last, created = rest
        if first > last:
            raise Corrupt("an index that ends before it begins", log_id=log_id)
        self.first: int = first
        self.last: int = last
        self.created_ms: int = created
        self.block_count: int = blocks
        super().__init__(payload, _HEAD.size + blocks * _BLOCK_ROW.size, streams, runs)
        if self.tables_end > len(payload):
            raise Corrupt("index tables do not fit their sizes", log_id=log_id, segment=last)
        self.objects, end = self._parse_objects(objects)
        self.changes: memoryview | None = None
        """As in the footer of the last segment it stands for; None: it was left out."""
        if version > SEALED_INDEX.oldest:
            self.changes = self._buffer[end:]
        elif end != len(payload):
            raise self._unfit()

    @classmethod
    def of_block(cls, block: Block) -> SealedIndex:
        """The index inside a verified block."""
        if block.header.kind != BlockKind.INDEX:
            raise Corrupt("expected an index", segment=block.header.segment)
        return cls(block.header.log_id, block.data)

    def _parse_objects(self, count: int) -> tuple[list[ObjectRow], int]:
        """And where they end."""
        buffer, at = self._buffer, self.tables_end
        found = []
        try:
            for _ in range(count):
                size_bytes, name_bytes = _OBJECT_ROW.unpack_from(buffer, at)
                at += _OBJECT_ROW.size + name_bytes
                name = bytes(buffer[at - name_bytes : at])
                found.append(ObjectRow(name.decode(), size_bytes))
        except (struct.error, UnicodeDecodeError):
            raise self._unfit() from None
        if at > len(buffer):
            raise self._unfit()
        return found, at

    def _unfit(self) -> Corrupt:
        return Corrupt("index objects do not fit", log_id=self._log_id, segment=self.last)

    def block(self, number: int) -> BlockRow:
        """Raises Corrupt for a number that the index does not have."""
        if 0 <= number < self.block_count:
            row = BlockRow._make(
                _BLOCK_ROW.unpack_from(self._buffer, _HEAD.size + number * _BLOCK_ROW.size)
            )
            if row.object_number < len(self.objects) or not row.length:
                return row
        raise Corrupt("block beyond the index", log_id=self._log_id, segment=self.last)

    def place(self, number: int) -> Place:
        """Where a block is; of one that is lost only that its length is 0 counts."""
        row = self.block(number)
        key = self.objects[row.object_number].key if row.length else ""
        return Place(key, row.position, row.length, self._log_id, row.segment, row.block)
