"""What must hold for any bytes found where a block, a footer or a segment file should be.

`decode_x` may refuse with Corrupt and nothing else; `check_x` takes what was accepted and may not
fail. Checksums are put right on the way, for no fuzzer guesses one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wal_core.errors import Corrupt, Invalid
from wal_core.format.block import (
    HEADER_BYTES,
    Block,
    BlockIds,
    BlockKind,
    EncodedBlock,
    crc32c,
    encode_entries,
    encode_payload,
    parse_block,
    parse_header,
)
from wal_core.format.footer import (
    Footer,
    encode_footer_payload,
    encode_trailer,
    parse_trailer,
)
from wal_core.format.places import Lost
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.streams import Stream
from wal_core.stores.segments.file_recovery import FileScan, read_footer_block
from wal_core.testing.scratch import scratch_folder
from wal_core.types import Entry

_LOG, _SEGMENT, _TERM, _NONCE = 1, 2, 3, bytes(range(16))
_CRC_BYTES = 4
_TIME_MS = 1_700_000_000_000
_REPAIRED_MAX_COUNT = 8
_ASKED_MAX_COUNT = 20


def _entries(first_offset: int) -> list[Entry]:
    """Of two streams; the second block goes on where the first ends."""
    return [
        Entry(7, first_offset, 2, 2, _TIME_MS + first_offset, b"hello"),
        Entry(9, first_offset // 2, 1, 1, -1, b"of another stream"),
    ]


def _data_block(number: int) -> EncodedBlock:
    ids = BlockIds(_LOG, _SEGMENT, number, _TERM, number, _NONCE)
    return encode_entries(ids, _entries(2 * number))


def _footer_payload(blocks_count: int) -> bytes:
    index = SegmentIndex(_SEGMENT)
    streams = {7: Stream(), 9: Stream(), 11: Stream(1, 1, 5)}
    for number in range(blocks_count):
        block = _data_block(number)
        index.add_block(block.length, block.data_bytes)
        for entry in _entries(2 * number):
            before = streams[entry.stream_id].recover(
                entry.end_offset, entry.max_timestamp_ms, len(entry.payload)
            )
            index.note_entry(*entry[:2], entry.max_timestamp_ms, before)
    rows = [stream.row(stream_id) for stream_id, stream in streams.items()]
    return index.encode_footer(rows, b"checkpoint", _TIME_MS)


def _footer_block(blocks_count: int, kind: BlockKind) -> EncodedBlock:
    ids = BlockIds(_LOG, _SEGMENT, blocks_count, _TERM, blocks_count, _NONCE)
    return encode_payload(kind, ids, _footer_payload(blocks_count))


def _joined(block: EncodedBlock) -> bytes:
    return b"".join(block.pieces)


def repair_crc(buffer: bytearray, at: int = 0) -> int | None:
    """Put the checksum of the block at `at` right; returns its length, None if it has no end."""
    try:
        length = parse_header(bytes(buffer[at : at + HEADER_BYTES])).total_bytes
    except Corrupt:
        return None
    if at + length > len(buffer):
        return None
    block = bytes(buffer[at : at + length])
    crc = crc32c(block[HEADER_BYTES:], crc32c(block[: HEADER_BYTES - _CRC_BYTES]))
    crc_at = at + HEADER_BYTES - _CRC_BYTES
    buffer[crc_at : crc_at + _CRC_BYTES] = crc.to_bytes(_CRC_BYTES, "little")
    return length


# --- blocks --------------------------------------------------------------------------------------


def block_seeds() -> Iterator[tuple[str, bytes]]:
    yield "data", _joined(_data_block(0))
    yield "complete", _joined(_footer_block(1, BlockKind.COMPLETE))
    yield "fence-of-nothing", _joined(_footer_block(0, BlockKind.FENCE))


def decode_block(data: bytes) -> Block:
    """Raises Corrupt, Invalid for another version."""
    buffer = bytearray(data)
    repair_crc(buffer)
    try:
        parse_block(data)
    except (Corrupt, Invalid):
        pass
    else:
        assert data == buffer, "a wrong checksum was accepted"
    return parse_block(bytes(buffer))


def check_block(block: Block) -> None:
    """It says the same as the block one would make of it, byte for byte."""
    header = block.header
    ids = BlockIds(*(getattr(header, name) for name in BlockIds._fields))
    entries = block.entries()
    if block.header.kind != BlockKind.DATA:
        again = encode_payload(BlockKind(header.kind), ids, bytes(block.data))
        # A footer block has no index; should one come with it, nobody would look at it.
        if header.index_bytes:
            return
    else:
        again = encode_entries(ids, entries)
        assert b"".join(entry.payload for entry in entries) == block.data
    assert _joined(again) == block.buffer
    for stream_id in {entry.stream_id for entry in entries}:
        own = [entry for entry in entries if entry.stream_id == stream_id]
        assert block.of_stream(stream_id) == own


# --- footers -------------------------------------------------------------------------------------


def footer_seeds() -> Iterator[tuple[str, bytes]]:
    yield "two-blocks", _footer_payload(2)
    yield "no-block", _footer_payload(0)


def decode_footer(data: bytes) -> tuple[bytes, Footer]:
    """Raises Corrupt."""
    return data, Footer(BlockKind.COMPLETE, _SEGMENT, _TERM, data)


def check_footer(decoded: tuple[bytes, Footer]) -> None:
    """It says the same as the footer one would make of it, and no table leads a reader astray."""
    data, footer = decoded
    rows, runs = list(footer.streams()), list(footer.all_runs())
    extents = [footer.extent(number) for number in range(footer.block_count)]
    again = encode_footer_payload(extents, rows, runs, bytes(footer.changes), footer.created_ms)
    assert again == data
    stream_ids = [row.stream_id for row in rows[:_ASKED_MAX_COUNT]]
    stream_ids += [run.stream_id for run in runs[:_ASKED_MAX_COUNT]]
    for stream_id in stream_ids:
        found = footer.stream(stream_id)
        assert found is None or found.stream_id == stream_id
        assert len(list(footer.runs(stream_id))) <= footer.run_count


def trailer_seeds() -> Iterator[tuple[str, bytes]]:
    yield "trailer", encode_trailer(4096, 177)


def decode_trailer(data: bytes) -> tuple[int, int]:
    """Raises Corrupt where `parse_trailer` answers None."""
    buffer = bytearray(data)
    buffer[-_CRC_BYTES:] = crc32c(bytes(buffer[:-_CRC_BYTES])).to_bytes(_CRC_BYTES, "little")
    found = parse_trailer(bytes(buffer))
    assert parse_trailer(data) == (found if data == buffer else None)
    if found is None:
        raise Corrupt("no trailer")
    assert encode_trailer(*found) == buffer
    return found


def check_trailer(found: tuple[int, int]) -> None:
    assert parse_trailer(encode_trailer(*found)) == found


# --- whole segment files -------------------------------------------------------------------------

_ALL_REPAIRED = b"\xff"


def segment_file_seeds() -> Iterator[tuple[str, bytes]]:
    blocks = _joined(_data_block(0)) + _joined(_data_block(1))
    footer = _joined(_footer_block(2, BlockKind.COMPLETE))
    trailer = encode_trailer(len(blocks), len(footer))
    yield "finished", _ALL_REPAIRED + blocks + footer + trailer
    yield "torn", _ALL_REPAIRED + blocks[:-3]
    yield "padded", _ALL_REPAIRED + blocks + bytes(100)


def decode_segment_file(data: bytes) -> tuple[bytes, list[Block | Lost]]:
    """Recover a file: first the trailer, then block by block, and cut what is torn.

    The first byte says which blocks get their checksum put right. Raises Corrupt.
    """
    buffer = bytearray(data[1:])
    at: int | None = 0
    for number in range(_REPAIRED_MAX_COUNT):
        if at is not None and data and data[0] >> number & 1:
            length = repair_crc(buffer, at)
            at = None if length is None else at + length
    with scratch_folder() as folder:
        path = folder / "segment"
        path.write_bytes(buffer)
        footer = read_footer_block(path)
        assert footer is None or footer.is_footer
        blocks, cut_bytes = _scanned(path)
        whole = path.read_bytes()
        assert whole == buffer[: len(buffer) - cut_bytes]
    return whole, blocks


def check_segment_file(decoded: tuple[bytes, list[Block | Lost]]) -> None:
    """What is left is whole but for what is known to be lost. If that is nothing, a second recovery
    finds the same and cuts nothing."""
    whole, found = decoded
    number = position = 0
    for one in found:
        if isinstance(one, Lost):
            assert (one.block, one.blocks_count > 0) == (number, True)
            number += one.blocks_count
            position += one.span_bytes
        else:
            assert one.header.block == number
            assert one.buffer == whole[position : position + len(one.buffer)]
            number += 1
            position += len(one.buffer)
    assert position == len(whole)
    assert len({one.header.nonce for one in found if isinstance(one, Block)}) <= 1
    if any(isinstance(one, Lost) for one in found):
        return  # what proves that there was more may be in the torn tail
    with scratch_folder() as folder:
        path = folder / "segment"
        path.write_bytes(whole)
        again, cut_bytes = _scanned(path)
        assert cut_bytes == 0
        assert [type(one) for one in again] == [type(one) for one in found]


def _scanned(path: Path) -> tuple[list[Block | Lost], int]:
    scan = FileScan(path, _LOG, _SEGMENT)
    blocks: list[Block | Lost] = []
    while found := scan.next_blocks():
        blocks += found
    return blocks, scan.cut()
