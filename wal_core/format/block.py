"""Bytes of a block: fixed header, index of the entries inside, the entries. Source: FORMAT.md.

A block is the unit of flush and is self-contained: whoever finds one knows which log, segment
and writer it belongs to and what is inside. The same bytes are written in every mode. Pure: no
I/O here.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from fastcrc import crc32

from wal_core.errors import Corrupt
from wal_core.format.compiled import compiled
from wal_core.format.versions import BLOCK
from wal_core.types import Buffer, Entry, EntryFields

crc32c = crc32.iscsi
"""CRC-32C (Castagnoli); a second argument continues an earlier value."""
COMPILED = compiled("wal_core.format._blocks")
"""None: all is done here."""

BLOCK_MAGIC = b"WPB1"
NONCE_BYTES = 16

_HEADER = struct.Struct("<4sHBBQQQIIIII16sI")
_VERSION = struct.Struct("<H")
_VERSION_AT = 4
_CRC_FIELD = struct.Struct("<I")
HEADER_BYTES = _HEADER.size
CRC_AT = HEADER_BYTES - _CRC_FIELD.size
NONCE_AT = CRC_AT - NONCE_BYTES

INDEX_ENTRY = struct.Struct("<QqIIqII")
IndexRow: TypeAlias = tuple[int, int, int, int, int, int, int]
"""Of an entry: stream, base offset, offset span, record count, greatest timestamp, position and
length of the payload."""

JOIN_BELOW_BYTES = 4096
"""Neighbouring payloads below this are joined: one copy is cheaper than one more iovec."""


class BlockKind(IntEnum):
    """What occupies a slot. Stored: never renumber."""

    DATA = 1  # entries
    COMPLETE = 2  # footer, by the segment's own writer
    FENCE = 3  # footer, by a successor
    MANIFEST = 4  # in no slot: see manifest.py
    INDEX = 5  # in no slot: see sealed_index.py
    POINTER = 6  # in no slot: see quorum/pointers.py


FOOTER_KINDS = frozenset({BlockKind.COMPLETE, BlockKind.FENCE})


_KINDS = frozenset(BlockKind)


class BlockHeader(NamedTuple):
    """The fixed header, see FORMAT.md."""

    kind: int
    flags: int
    log_id: int
    segment: int
    term: int
    block: int
    durable_count: int  # blocks of this segment known durable when this one was built
    entry_count: int
    index_bytes: int
    data_bytes: int
    nonce: bytes
    crc: int

    @property
    def total_bytes(self) -> int:
        return HEADER_BYTES + self.index_bytes + self.data_bytes


class KnownCrc(NamedTuple):
    """Of a payload: the CRC-32C of its bytes from `start` on, which somebody has verified."""

    start: int
    crc: int


NOTHING_KNOWN: Mapping[int, KnownCrc] = MappingProxyType({})


class BlockIds(NamedTuple):
    """Where a block belongs and who writes it."""

    log_id: int
    segment: int
    block: int
    term: int
    durable_count: int
    nonce: bytes


class EncodedBlock(NamedTuple):
    """A block ready for a store: pieces in order, to be written without joining them."""

    pieces: list[Buffer]
    length: int
    data_bytes: int  # of the payloads
    # Where the payload of each entry is and from which byte on: for a small one, which was joined
    # with its neighbours, in the joined piece; else as it was given.
    holders: Sequence[Buffer] = ()
    starts: Sequence[int] = ()

    def rows(self) -> Iterator[IndexRow]:
        """The index of a data block."""
        return INDEX_ENTRY.iter_unpack(memoryview(self.pieces[0])[HEADER_BYTES:])


def encode_entries(
    ids: BlockIds, entries: Sequence[EntryFields], known: Mapping[int, KnownCrc] = NOTHING_KNOWN
) -> EncodedBlock:
    """A data block. Large payloads are handed on as they are, neighbouring small ones joined.

    `known` by number of the entry: so much of a large payload is not gone through once more. Were
    it wrong, nobody could read the block.
    """
    index = bytearray(INDEX_ENTRY.size * len(entries))
    pieces: list[Buffer] = []
    holders: list[Buffer] = []
    starts = array("I")
    small: list[Buffer] = []
    position = at = 0
    pack_into = INDEX_ENTRY.pack_into
    known_pieces: dict[int, KnownCrc] = {}
    for number, entry in enumerate(entries):
        stream_id, base_offset, offset_span, record_count, max_timestamp_ms, payload = entry
        length = len(payload)
        pack_into(
            index,
            at,
            stream_id,
            base_offset,
            offset_span,
            record_count,
            max_timestamp_ms,
            position,
            length,
        )
        at += INDEX_ENTRY.size
        position += length
        if length < JOIN_BELOW_BYTES:
            small.append(payload)
            continue
        if small:
            _join_small(small, pieces, holders, starts)
            small = []
        if number in known:
            known_pieces[len(pieces)] = known[number]
        pieces.append(payload)
        holders.append(payload)
        starts.append(0)
    if small:
        _join_small(small, pieces, holders, starts)
    header = _build_header(BlockKind.DATA, ids, index, pieces, known_pieces, data_bytes=position)
    length = HEADER_BYTES + len(index) + position
    return EncodedBlock([header + index, *pieces], length, position, holders, starts)


def _join_small(
    small: list[Buffer], pieces: list[Buffer], holders: list[Buffer], starts: array[int]
) -> None:
    """Copy small payloads into one piece, which holds them from now on, so that a kept 100-byte
    entry does not pin the caller's whole receive buffer."""
    joined = small[0] if len(small) == 1 and isinstance(small[0], bytes) else b"".join(small)
    pieces.append(joined)
    at = 0
    for payload in small:
        holders.append(joined)
        starts.append(at)
        at += len(payload)


def encode_payload(kind: BlockKind, ids: BlockIds, payload: bytes) -> EncodedBlock:
    """A block of any kind but data around its payload: a footer, a manifest, an index."""
    header = _build_header(kind, ids, b"", [payload], data_bytes=len(payload))
    return EncodedBlock([header, payload], HEADER_BYTES + len(payload), len(payload))


def _build_header(
    kind: BlockKind,
    ids: BlockIds,
    index: Buffer,
    pieces: Sequence[Buffer],
    known: Mapping[int, KnownCrc] = NOTHING_KNOWN,
    *,
    data_bytes: int,
) -> bytes:
    head = _HEADER.pack(
        BLOCK_MAGIC,
        BLOCK.version,
        kind,
        0,  # flags: none defined yet
        ids.log_id,
        ids.segment,
        ids.term,
        ids.block,
        ids.durable_count,
        len(index) // INDEX_ENTRY.size,
        len(index),
        data_bytes,
        ids.nonce,
        0,
    )[:CRC_AT]
    crc = crc32c(index, crc32c(head))
    for number, piece in enumerate(pieces):
        part = known.get(number)
        crc = crc32c(piece, crc) if part is None else _crc_with(crc, piece, part)
    return head + _CRC_FIELD.pack(crc)


def _crc_with(crc: int, piece: Buffer, known: KnownCrc) -> int:
    """Of what came before and a piece of which most is known."""
    if COMPILED is None:
        return crc32c(piece, crc)
    start = known.start
    whole: int = COMPILED.combine(crc32c(piece[:start], crc), known.crc, len(piece) - start)
    return whole


class Block:
    """A verified block in memory. Entries are views of its one buffer, made when asked for."""

    __slots__ = ("_by_stream", "_data_at", "buffer", "header")

    def __init__(self, header: BlockHeader, buffer: memoryview) -> None:
        self.header = header
        self.buffer = buffer
        self._data_at = HEADER_BYTES + header.index_bytes
        self._by_stream: dict[int, list[Entry]] | None = None

    @property
    def is_footer(self) -> bool:
        return self.header.kind in FOOTER_KINDS

    @property
    def data(self) -> memoryview:
        """Everything behind the index; of a footer block: the footer."""
        return self.buffer[self._data_at :]

    def entries(self) -> list[Entry]:
        """All entries in log order."""
        index = self.buffer[HEADER_BYTES : self._data_at]
        data = self.data
        return [
            Entry(stream, base, span, count, time_ms, data[position : position + length])
            for stream, base, span, count, time_ms, position, length in INDEX_ENTRY.iter_unpack(
                index
            )
        ]

    def of_stream(self, stream_id: int) -> list[Entry]:
        """The entries of one stream, in offset order; remembered, since readers come again."""
        return self.group().get(stream_id, [])

    def group(self) -> dict[int, list[Entry]]:
        """The entries of every stream."""
        if self._by_stream is None:
            self._by_stream = group_by_stream(self.entries())
        return self._by_stream


def group_by_stream(entries: Sequence[Entry]) -> dict[int, list[Entry]]:
    """Entries by stream, order kept."""
    grouped: dict[int, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.stream_id, []).append(entry)
    return grouped


def parse_header(buffer: Buffer) -> BlockHeader:
    """The header alone, not yet verified by the CRC, nor its version; raises Corrupt when it cannot
    be one."""
    if len(buffer) < HEADER_BYTES:
        raise Corrupt(f"a block header needs {HEADER_BYTES} bytes, there are {len(buffer)}")
    magic, _, *fields = _HEADER.unpack_from(buffer)
    if magic != BLOCK_MAGIC:
        raise Corrupt(f"not a block: magic is {magic!r}")
    header = BlockHeader(*fields)
    expected = header.entry_count * INDEX_ENTRY.size
    if header.index_bytes != expected:
        raise Corrupt(f"{header.entry_count} entries need {expected} index bytes")
    if header.kind not in _KINDS:
        raise Corrupt(f"unknown block kind {header.kind}")
    if header.flags:
        raise Corrupt(f"unknown block flags {header.flags:#x}")
    return header


def checked_header(buffer: Buffer) -> BlockHeader:
    """That of a whole block whose checksum is right; bytes behind it are not looked at. Raises
    Corrupt. Its version and its index are not looked at either."""
    header = parse_header(buffer)
    total = header.total_bytes
    if len(buffer) < total:
        raise Corrupt(f"block of {total} bytes ends after {len(buffer)}")
    view = memoryview(buffer)[:total]
    if crc32c(view[HEADER_BYTES:], crc32c(view[:CRC_AT])) != header.crc:
        raise Corrupt("CRC-32C of the block does not match")
    return header


def parse_block(buffer: Buffer) -> Block:
    """Verify a whole block; bytes behind it are not looked at. Raises Corrupt, and Invalid for a
    whole one of a version that is not read here."""
    header = checked_header(buffer)
    BLOCK.check(_VERSION.unpack_from(buffer, _VERSION_AT)[0])
    block = Block(header, memoryview(buffer)[: header.total_bytes])
    _check_index(block)
    return block


def _check_index(block: Block) -> None:
    """The entries must tile the data exactly: no overlap, no bytes nobody owns."""
    if block.header.kind != BlockKind.DATA:
        return
    end = 0
    index = block.buffer[HEADER_BYTES : HEADER_BYTES + block.header.index_bytes]
    for _, base, span, count, _, position, length in INDEX_ENTRY.iter_unpack(index):
        if position != end or base < 0 or not 0 < span >= count:
            raise Corrupt("the block's index does not describe its data")
        end = position + length
    if end != block.header.data_bytes or not block.header.entry_count:
        raise Corrupt("the block's index does not cover its data")
