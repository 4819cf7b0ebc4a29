"""Bytes of a footer: everything a reader or a recovery needs about one segment. Source: FORMAT.md.

The tables are searched where they lie (binary search over packed rows), so opening a footer
costs nothing and keeping one costs its bytes. Pure: no I/O here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from wal_core.block_format import Block, crc32c
from wal_core.errors import Corrupt
from wal_core.types import Buffer

FOOTER_MAGIC = b"WPF1"
_HEAD = struct.Struct("<4sIIIIq")
_BLOCK_ROW = struct.Struct("<QI")
_STREAM_ROW = struct.Struct("<Qqqq")
_RUN_ROW = struct.Struct("<QIqq")

TRAILER_MAGIC = b"WPT1"
_TRAILER = struct.Struct("<QI4sI")
TRAILER_BYTES = _TRAILER.size

NO_TIMESTAMP_MS = -(1 << 63)
"""Running maximum of a stream without entries: below every timestamp."""


class StreamRow(NamedTuple):
    """One live stream at the end of a segment."""

    stream_id: int
    start_offset: int
    end_offset: int
    max_timestamp_ms: int  # running maximum over the whole stream


class Run(NamedTuple):
    """The entries of one stream in one block."""

    stream_id: int
    block: int
    first_offset: int
    max_timestamp_ms: int  # running maximum of the stream up to and including this block


def encode_footer_payload(
    blocks: Iterable[tuple[int, int]],
    streams: Iterable[StreamRow],
    runs: Iterable[Run],
    checkpoint: bytes,
    created_ms: int,
) -> bytes:
    """`streams` sorted by id, `runs` sorted by (stream, block), blocks as (position, length)."""
    block_rows = b"".join(_BLOCK_ROW.pack(*row) for row in blocks)
    stream_rows = b"".join(_STREAM_ROW.pack(*row) for row in streams)
    run_rows = b"".join(_RUN_ROW.pack(*row) for row in runs)
    head = _HEAD.pack(
        FOOTER_MAGIC,
        len(block_rows) // _BLOCK_ROW.size,
        len(stream_rows) // _STREAM_ROW.size,
        len(run_rows) // _RUN_ROW.size,
        len(checkpoint),
        created_ms,
    )
    return b"".join((head, block_rows, stream_rows, run_rows, checkpoint))


_Reached: TypeAlias = Callable[[Run], bool]


class Footer:
    """A parsed footer; answers the three questions of a reader by binary search."""

    __slots__ = (
        "_blocks_at",
        "_buffer",
        "_runs_at",
        "_streams_at",
        "block_count",
        "created_ms",
        "run_count",
        "segment",
        "stream_count",
        "term",
    )

    def __init__(self, segment: int, term: int, payload: Buffer) -> None:
        self.segment = segment
        self.term = term
        self._buffer = memoryview(payload)
        if len(payload) < _HEAD.size:
            raise Corrupt("footer is too short", segment=segment)
        magic, blocks, streams, runs, checkpoint_bytes, created = _HEAD.unpack_from(payload)
        self.block_count: int = blocks
        self.stream_count: int = streams
        self.run_count: int = runs
        self.created_ms: int = created
        self._blocks_at = _HEAD.size
        self._streams_at = self._blocks_at + blocks * _BLOCK_ROW.size
        self._runs_at = self._streams_at + streams * _STREAM_ROW.size
        end = self._runs_at + runs * _RUN_ROW.size + checkpoint_bytes
        if magic != FOOTER_MAGIC or end != len(payload):
            raise Corrupt("footer tables do not fit their sizes", segment=segment)

    @classmethod
    def of_block(cls, block: Block) -> Footer:
        """The footer inside a verified complete or fence block."""
        if not block.is_footer:
            raise Corrupt("expected a footer", segment=block.header.segment)
        return cls(block.header.segment, block.header.term, block.data)

    @property
    def total_bytes(self) -> int:
        return len(self._buffer)

    @property
    def checkpoint(self) -> bytes:
        return bytes(self._buffer[self._runs_at + self.run_count * _RUN_ROW.size :])

    def extent(self, block: int) -> tuple[int, int]:
        """(position, length) of a data block; the position is 0 where blocks are objects."""
        if not 0 <= block < self.block_count:
            raise Corrupt("block beyond the footer", segment=self.segment, block=block)
        position, length = _BLOCK_ROW.unpack_from(
            self._buffer, self._blocks_at + block * _BLOCK_ROW.size
        )
        return position, length

    def streams(self) -> Iterator[StreamRow]:
        """All live streams, by id."""
        rows = self._buffer[self._streams_at : self._runs_at]
        return map(StreamRow._make, _STREAM_ROW.iter_unpack(rows))

    def stream(self, stream_id: int) -> StreamRow | None:
        """One stream's row, None when it was not alive at the end of the segment."""
        low, high = 0, self.stream_count
        while low < high:
            middle = (low + high) // 2
            row = StreamRow._make(
                _STREAM_ROW.unpack_from(self._buffer, self._streams_at + middle * _STREAM_ROW.size)
            )
            if row.stream_id == stream_id:
                return row
            if row.stream_id < stream_id:
                low = middle + 1
            else:
                high = middle
        return None

    def end_offset(self, stream_id: int) -> int:
        row = self.stream(stream_id)
        return row.end_offset if row else 0

    def max_timestamp_ms(self, stream_id: int) -> int:
        row = self.stream(stream_id)
        return row.max_timestamp_ms if row else NO_TIMESTAMP_MS

    def blocks_from(self, stream_id: int, offset: int) -> Iterator[int]:
        """Blocks holding the stream from the one with `offset` on, in order."""
        at = self._first_run(stream_id, lambda run: run.first_offset > offset)
        if at and self._run(at - 1).stream_id == stream_id:
            at -= 1
        while at < self.run_count:
            run = self._run(at)
            if run.stream_id != stream_id:
                return
            yield run.block
            at += 1

    def block_of_timestamp(self, stream_id: int, timestamp_ms: int) -> int | None:
        """The first block by whose end the stream has seen a timestamp >= `timestamp_ms`."""
        at = self._first_run(stream_id, lambda run: run.max_timestamp_ms >= timestamp_ms)
        if at < self.run_count:
            run = self._run(at)
            if run.stream_id == stream_id:
                return run.block
        return None

    def _run(self, at: int) -> Run:
        return Run._make(_RUN_ROW.unpack_from(self._buffer, self._runs_at + at * _RUN_ROW.size))

    def _first_run(self, stream_id: int, reached: _Reached) -> int:
        """Index of the first run of `stream_id` where the monotone `reached` holds, or of the
        first run of a later stream."""
        low, high = 0, self.run_count
        while low < high:
            middle = (low + high) // 2
            run = self._run(middle)
            if run.stream_id > stream_id or (run.stream_id == stream_id and reached(run)):
                high = middle
            else:
                low = middle + 1
        return low


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
