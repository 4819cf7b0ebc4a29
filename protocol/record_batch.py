"""Record batches: the header's names, and what looks inside: records, building, timestamps.

A produce checks batches without making records of them (record_check); what is here is for tools,
tests and questions about single records. A batch may come from anyone, so every size is checked
against the bytes that are there, and compressed batches are opened only up to
`decompressed_bytes_max`. Record layout (KIP-98): varint length, int8 attributes, varint timestamp
delta, varint offset delta, varint-sized key and value (-1 is null), varint count of headers;
varints are zigzag.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from protocol.batch_header import (
    CONTROL,
    CRC_AT,
    CRC_START,
    HEADER,
    HEADER_BYTES,
    LENGTH_END,
    LOG_APPEND_TIME,
    MAGIC,
    TRANSACTIONAL,
    BatchError,
    BatchHeader,
    crc_of,
    read_header,
    said_crc,
    set_log_append_time,
    set_max_timestamp,
    stamp,
    validate_batch,
)
from protocol.compression import NONE, CompressionError, compress, decompress
from protocol.error_codes import ErrorCode
from protocol.errors import DecodeError
from protocol.pieces import Buffer
from protocol.primitives import write_uvarint

__all__ = [
    "CRC_START",
    "HEADER_BYTES",
    "BatchError",
    "BatchHeader",
    "Record",
    "build_batch",
    "crc_of",
    "find_max_timestamp",
    "find_offset_for_timestamp",
    "iter_records",
    "read_header",
    "said_crc",
    "set_log_append_time",
    "set_max_timestamp",
    "stamp",
    "validate_batch",
]

DECOMPRESSED_BYTES_MAX = 128 * 1024 * 1024
"""Of one batch; clients batch up to a few MiB, so this only stops bombs."""

_VARINT_BYTES_MAX = 5
_VARLONG_BYTES_MAX = 10
_INT64_END = 1 << 63

Headers = list[tuple[str, bytes | None]]


class Record(msgspec.Struct, gc=False):
    """One record. `offset` and `timestamp_ms` are absolute; build_batch ignores `offset`."""

    offset: int = 0
    timestamp_ms: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = []


# --- reading -------------------------------------------------------------------------------------


def iter_records(
    batch: Buffer, *, decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX
) -> Iterator[Record]:
    """The records of one batch, in order, lazily. The CRC is not checked (validate_batch does).

    Raises BatchError while iterating: CORRUPT_MESSAGE for a cut batch or one that does not
    decompress within the bound, INVALID_RECORD for records that contradict their sizes.
    """
    header, payload = _open(batch, decompressed_bytes_max)
    try:
        for timestamp_ms, offset, at, end in _walk(header, payload):
            yield _read_body(payload, at, end, offset, timestamp_ms)
    except (IndexError, UnicodeDecodeError, DecodeError) as error:
        raise BatchError(ErrorCode.INVALID_RECORD, f"a record is malformed: {error}") from None


def find_offset_for_timestamp(
    batch: Buffer,
    timestamp_ms: int,
    *,
    from_offset: int = 0,
    decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX,
) -> tuple[int, int] | None:
    """(offset, timestamp) of the first record at or after `timestamp_ms` and `from_offset`; None
    without one.
    """
    if _open_header(batch).max_timestamp_ms < timestamp_ms:
        return None
    for found_ms, offset in _timestamps(batch, decompressed_bytes_max):
        if found_ms >= timestamp_ms and offset >= from_offset:
            return offset, found_ms
    return None


def find_max_timestamp(
    batch: Buffer,
    *,
    from_offset: int = 0,
    decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX,
) -> tuple[int, int] | None:
    """(offset, timestamp) of the latest record from `from_offset` on; of several, the first
    (KIP-734). None without one.
    """
    best: tuple[int, int] | None = None
    for found_ms, offset in _timestamps(batch, decompressed_bytes_max):
        if offset >= from_offset and (best is None or found_ms > best[1]):
            best = offset, found_ms
    return best


def _timestamps(batch: Buffer, decompressed_bytes_max: int) -> Iterator[tuple[int, int]]:
    """(timestamp, offset) of each record, without looking at keys and values."""
    header, payload = _open(batch, decompressed_bytes_max)
    try:
        for timestamp_ms, offset, _, _ in _walk(header, payload):
            yield timestamp_ms, offset
    except (IndexError, DecodeError) as error:
        raise BatchError(ErrorCode.INVALID_RECORD, f"a record is malformed: {error}") from None


def _open_header(batch: Buffer) -> BatchHeader:
    try:
        header = read_header(batch)
    except DecodeError as error:
        raise BatchError(ErrorCode.CORRUPT_MESSAGE, error.reason) from None
    if header.magic != MAGIC:
        raise BatchError(ErrorCode.INVALID_RECORD, f"magic {header.magic}, only 2 is known")
    if not HEADER_BYTES <= header.total_bytes <= len(batch):
        raise BatchError(
            ErrorCode.CORRUPT_MESSAGE, f"a batch of {header.total_bytes} bytes in {len(batch)}"
        )
    return header


def _open(batch: Buffer, decompressed_bytes_max: int) -> tuple[BatchHeader, memoryview]:
    header = _open_header(batch)
    payload: Buffer = memoryview(batch)[HEADER_BYTES : header.total_bytes]
    if header.codec != NONE:
        try:
            payload = decompress(header.codec, payload, decompressed_bytes_max)
        except CompressionError as error:
            raise BatchError(ErrorCode.CORRUPT_MESSAGE, f"does not decompress: {error}") from None
    return header, memoryview(payload)


def _walk(header: BatchHeader, payload: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """(timestamp, offset, position of the key length, end) of each record.

    A count beyond the bytes runs into the end of the payload; bytes beyond the count are refused.
    """
    at = 0
    for _ in range(header.record_count):
        length_bytes, at = _read_varint(payload, at)
        end = at + length_bytes
        if length_bytes <= 0 or end > len(payload):
            raise DecodeError(f"a record of {length_bytes} bytes does not fit", at)
        timestamp_delta_ms, at = _read_varint(payload, at + 1, _VARLONG_BYTES_MAX)
        offset_delta, at = _read_varint(payload, at)
        if at > end:
            raise DecodeError("a record is shorter than its head", at)
        if not 0 <= offset_delta <= header.last_offset_delta:
            raise DecodeError(f"an offset delta of {offset_delta} is not in the batch", at)
        timestamp_ms = header.base_timestamp_ms + timestamp_delta_ms
        if header.is_log_append_time:
            timestamp_ms = header.max_timestamp_ms
        if not -_INT64_END <= timestamp_ms < _INT64_END:
            raise DecodeError("a timestamp is not an int64", at)
        yield timestamp_ms, header.base_offset + offset_delta, at, end
        at = end
    if at != len(payload):
        raise DecodeError(f"{len(payload) - at} bytes behind the last record", at)


def _read_body(view: memoryview, at: int, end: int, offset: int, timestamp_ms: int) -> Record:
    key, at = _read_nullable(view, at, end)
    value, at = _read_nullable(view, at, end)
    count, at = _read_varint(view, at)
    if not 0 <= count <= end - at:
        raise DecodeError(f"{count} record headers do not fit", at)
    headers: Headers = []
    for _ in range(count):
        name, at = _read_nullable(view, at, end)
        if name is None:
            raise DecodeError("a record header has no name", at)
        content, at = _read_nullable(view, at, end)
        headers.append((name.decode(), content))
    if at != end:
        raise DecodeError(f"a record ends at {end}, its last field at {at}", at)
    return Record(offset, timestamp_ms, key, value, headers)


def _read_nullable(view: memoryview, at: int, end: int) -> tuple[bytes | None, int]:
    length_bytes, at = _read_varint(view, at)
    if length_bytes == -1:
        return None, at
    stop = at + length_bytes
    if length_bytes < 0 or stop > end:
        raise DecodeError(f"{length_bytes} bytes do not fit into the record", at)
    return bytes(view[at:stop]), stop


def _read_varint(view: memoryview, at: int, bytes_max: int = _VARINT_BYTES_MAX) -> tuple[int, int]:
    """Zigzag varint."""
    raw = view[at]
    if raw < 0x80:
        return (raw >> 1) ^ -(raw & 1), at + 1
    raw &= 0x7F
    shift = 7
    for position in range(at + 1, at + bytes_max):
        byte = view[position]
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (raw >> 1) ^ -(raw & 1), position + 1
        shift += 7
    raise DecodeError(f"a varint is longer than {bytes_max} bytes", at)


# --- writing -------------------------------------------------------------------------------------


def build_batch(
    records: Sequence[Record],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    codec: int = NONE,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    is_transactional: bool = False,
    is_control: bool = False,
    is_log_append_time: bool = False,
) -> bytearray:
    """A batch of at least one record, dense offsets from `base_offset` on, CRC set."""
    if not records:
        raise ValueError("a batch holds at least one record")
    base_timestamp_ms = records[0].timestamp_ms
    payload = bytearray()
    for offset_delta, record in enumerate(records):
        _write_record(payload, record, record.timestamp_ms - base_timestamp_ms, offset_delta)
    body = payload if codec == NONE else compress(codec, payload)
    attributes = codec
    attributes |= LOG_APPEND_TIME if is_log_append_time else 0
    attributes |= TRANSACTIONAL if is_transactional else 0
    attributes |= CONTROL if is_control else 0
    batch = bytearray(
        HEADER.pack(
            base_offset,
            HEADER_BYTES + len(body) - LENGTH_END,
            leader_epoch,
            MAGIC,
            0,
            attributes,
            len(records) - 1,
            base_timestamp_ms,
            max(record.timestamp_ms for record in records),
            producer_id,
            producer_epoch,
            base_sequence,
            len(records),
        )
    )
    batch += body
    batch[CRC_AT : CRC_AT + 4] = crc_of(batch).to_bytes(4, "big")
    return batch


def _write_record(
    payload: bytearray, record: Record, timestamp_delta_ms: int, offset_delta: int
) -> None:
    body = bytearray(1)  # attributes: none are defined
    _write_varint(body, timestamp_delta_ms)
    _write_varint(body, offset_delta)
    _write_nullable(body, record.key)
    _write_nullable(body, record.value)
    _write_headers(body, record.headers)
    _write_varint(payload, len(body))
    payload += body


def _write_headers(body: bytearray, headers: Iterable[tuple[str, bytes | None]]) -> None:
    pairs = list(headers)
    _write_varint(body, len(pairs))
    for name, content in pairs:
        _write_nullable(body, name.encode())
        _write_nullable(body, content)


def _write_nullable(body: bytearray, content: bytes | None) -> None:
    if content is None:
        _write_varint(body, -1)
    else:
        _write_varint(body, len(content))
        body += content


def _write_varint(buf: bytearray, value: int) -> None:
    """Zigzag; the shift works for any width because Python's ints have none."""
    write_uvarint(buf, value * 2 if value >= 0 else -value * 2 - 1)
