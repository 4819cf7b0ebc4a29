"""Bytes of a footer: everything a reader or a recovery needs about one segment. Source: FORMAT.md.

Pure: no I/O here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from wal_core.errors import Corrupt
from wal_core.format.block import Block, crc32c
from wal_core.format.stream_tables import Run, StreamRow, StreamTables, encode_runs, encode_streams
from wal_core.format.versions import FOOTER
from wal_core.types import Buffer

FOOTER_MAGIC = b"WPF1"
_HEAD = struct.Struct("<4sHIIIIq")
_BLOCK_ROW = struct.Struct("<QII")

TRAILER_MAGIC = b"WPT1"
_TRAILER = struct.Struct("<QI4sI")
TRAILER_BYTES = _TRAILER.size


class BlockExtent(NamedTuple):
    """Where a data block lies in its segment."""

    position: int  # bytes of the segment before it, also where blocks are objects
    length: int
    data_bytes: int  # of its entries' payloads


def encode_footer_payload(
    blocks: Iterable[BlockExtent],
    streams: Iterable[StreamRow],
    runs: Iterable[Run],
    changes: bytes,
    created_ms: int,
) -> bytes:
    """`streams` sorted by id, `runs` sorted by (stream, block), blocks in order."""
    block_rows = b"".join(_BLOCK_ROW.pack(*row) for row in blocks)
    stream_rows = [*streams]
    run_rows = [*runs]
    head = _HEAD.pack(
        FOOTER_MAGIC,
        FOOTER.version,
        len(block_rows) // _BLOCK_ROW.size,
        len(stream_rows),
        len(run_rows),
        len(changes),
        created_ms,
    )
    tables = (encode_streams(stream_rows), encode_runs(run_rows))
    return b"".join((head, block_rows, *tables, changes))


class Footer(StreamTables):
    """A parsed footer: which blocks the segment has, and which streams are in them."""

    __slots__ = ("_blocks_at", "block_count", "created_ms", "kind", "segment", "term")

    def __init__(self, kind: int, segment: int, term: int, payload: Buffer) -> None:
        self.kind = kind
        self.segment = segment
        self.term = term
        if len(payload) < _HEAD.size:
            raise Corrupt("footer is too short", segment=segment)
        magic, version, *rest = _HEAD.unpack_from(payload)
        if magic != FOOTER_MAGIC:
            raise Corrupt("not a footer", segment=segment)
        FOOTER.check(version)
        blocks, streams, runs, changes_bytes, created = rest
        self.block_count: int = blocks
        self.created_ms: int = created
        self._blocks_at = _HEAD.size
        super().__init__(payload, self._blocks_at + blocks * _BLOCK_ROW.size, streams, runs)
        if self.tables_end + changes_bytes != len(payload):
            raise Corrupt("footer tables do not fit their sizes", segment=segment)

    @classmethod
    def of_block(cls, block: Block) -> Footer:
        """The footer inside a verified complete or fence block."""
        if not block.is_footer:
            raise Corrupt("expected a footer", segment=block.header.segment)
        header = block.header
        return cls(header.kind, header.segment, header.term, block.data)

    @property
    def changes(self) -> memoryview:
        """What no piece of the checkpoint has yet: encoded as one."""
        return self._buffer[self.tables_end :]

    @property
    def mean_block_bytes(self) -> float:
        """Of the data blocks as they are stored; 0 without any."""
        if not self.block_count:
            return 0
        last = self.extent(self.block_count - 1)
        return (last.position + last.length) / self.block_count

    def extent(self, block: int) -> BlockExtent:
        """Raises Corrupt for a block the segment does not have."""
        if not 0 <= block < self.block_count:
            raise Corrupt("block beyond the footer", segment=self.segment, block=block)
        return BlockExtent._make(
            _BLOCK_ROW.unpack_from(self._buffer, self._blocks_at + block * _BLOCK_ROW.size)
        )


def encode_trailer(footer_position: int, footer_bytes: int) -> bytes:
    """The last bytes of a finished segment file: where its footer block lies."""
    crc = crc32c(struct.pack("<QI4s", footer_position, footer_bytes, TRAILER_MAGIC))
    return _TRAILER.pack(footer_position, footer_bytes, TRAILER_MAGIC, crc)


def parse_trailer(buffer: Buffer) -> tuple[int, int] | None:
    """(position, length) of the footer block, None when these bytes are no trailer."""
    if len(buffer) != TRAILER_BYTES:
        return None
    position, length, _magic, _crc = _TRAILER.unpack(buffer)
    return (position, length) if encode_trailer(position, length) == bytes(buffer) else None
