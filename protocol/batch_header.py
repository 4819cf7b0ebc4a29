"""Record batches, format v2 (magic 2): the 61-byte header, validation, stamping.

On the way of a produce only the header is looked at; nothing here makes an object per record (that
is record_batch.py). Layout (Kafka message format, KIP-98):

    at  size  field
     0     8  base offset              outside the CRC: the broker writes it
     8     4  batch length             bytes behind this field
    12     4  partition leader epoch   outside the CRC: the broker writes it
    16     1  magic                    2
    17     4  CRC-32C                  of everything from `attributes` on
    21     2  attributes               bits 0-2 codec, 3 log append time, 4 transactional, 5 control
    23     4  last offset delta        records - 1 in a batch as produced
    27     8  base timestamp           ms
    35     8  max timestamp            ms
    43     8  producer id              -1: not idempotent
    51     2  producer epoch
    53     4  base sequence
    57     4  record count
"""

from collections.abc import Sequence
from struct import Struct
from typing import TypeAlias

from fastcrc import crc32

from protocol.compression import CODEC_LAST
from protocol.error_codes import ErrorCode
from protocol.errors import DecodeError
from protocol.pieces import Buffer

HEADER_BYTES = 61
MAGIC = 2
LENGTH_END = 12
"""Bytes up to the end of the length field: batch length counts from here."""
CRC_AT = 17
CRC_START = 21
"""The checksum covers everything from here on."""

CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20

HEADER = Struct(">qiibIhiqqqhii")
_Fields: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int]
assert HEADER.size == HEADER_BYTES

_BASE_OFFSET = Struct(">q")
_LEADER_EPOCH = Struct(">i")
_ATTRIBUTES = Struct(">h")
_MAX_TIMESTAMP = Struct(">q")
_CRC = Struct(">I")
_MAX_TIMESTAMP_AT = 35
_LEADER_EPOCH_AT = 12
_MAGIC_AT = 16


class BatchError(Exception):
    """A batch that may not be stored or cannot be read; `code` is what the client is told, and of
    which records it holds: (index in the batch, reason), empty for the batch as a whole (KIP-467).
    """

    def __init__(
        self, code: ErrorCode, reason: str, records: Sequence[tuple[int, str]] = ()
    ) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.records = records

    def __str__(self) -> str:
        return f"{self.code.name}: {self.reason}"


class BatchHeader:
    """The fixed head of a batch. Offsets count records, lengths count bytes."""

    __slots__ = (
        "attributes",
        "base_offset",
        "base_sequence",
        "base_timestamp_ms",
        "batch_length",
        "crc",
        "last_offset_delta",
        "magic",
        "max_timestamp_ms",
        "partition_leader_epoch",
        "producer_epoch",
        "producer_id",
        "record_count",
    )

    def __init__(self, fields: _Fields) -> None:
        (
            self.base_offset,
            self.batch_length,
            self.partition_leader_epoch,
            self.magic,
            self.crc,
            self.attributes,
            self.last_offset_delta,
            self.base_timestamp_ms,
            self.max_timestamp_ms,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.record_count,
        ) = fields

    @property
    def codec(self) -> int:
        return self.attributes & CODEC_MASK

    @property
    def is_log_append_time(self) -> bool:
        return bool(self.attributes & LOG_APPEND_TIME)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL)

    @property
    def total_bytes(self) -> int:
        """The whole batch, from base offset to the last record."""
        return self.batch_length + LENGTH_END

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def end_offset(self) -> int:
        """One past the last record."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequence numbers wrap from 2^31-1 to 0 (Kafka's DefaultRecordBatch)."""
        return (self.base_sequence + self.last_offset_delta) & 0x7FFF_FFFF


def read_header(buf: Buffer, at: int = 0) -> BatchHeader:
    """The header at `at`, unchecked. Raises DecodeError when fewer than 61 bytes are there."""
    if len(buf) - at < HEADER_BYTES:
        raise DecodeError(f"a batch header takes {HEADER_BYTES} bytes", at)
    return BatchHeader(HEADER.unpack_from(buf, at))


def crc_of(batch: Buffer) -> int:
    """CRC-32C of the covered part of one whole batch."""
    view = batch if isinstance(batch, memoryview) else memoryview(batch)
    return crc32.iscsi(view[CRC_START:])


def said_crc(batch: Buffer) -> int:
    """What a batch says that it is; of one that was validated, and stamped only, it is."""
    crc: int = _CRC.unpack_from(batch, CRC_AT)[0]
    return crc


def validate_batch(records: Buffer) -> BatchHeader:
    """Check what a producer sent for one partition: exactly one sound batch. No per-record work.

    Raises BatchError: CORRUPT_MESSAGE (a length below that of a header, a magic that never was, bad
    CRC), INVALID_RECORD (cut off, an old magic, trailing bytes or a second batch, a count that does
    not fit the offsets, a control batch, an idempotent batch without sequence), INVALID_TIMESTAMP
    (marked as log append time, the broker's mark), UNSUPPORTED_COMPRESSION_TYPE. Source: Kafka's
    UnifiedLog.analyzeAndValidateRecords, LogValidator.validateBatch and .validateTimestamp.
    """
    size_bytes = len(records)
    if size_bytes > _MAGIC_AT and records[_MAGIC_AT] != MAGIC:
        was_ever = records[_MAGIC_AT] < MAGIC
        code = ErrorCode.INVALID_RECORD if was_ever else ErrorCode.CORRUPT_MESSAGE
        raise BatchError(code, f"magic {records[_MAGIC_AT]}, only 2 is taken")
    if size_bytes < HEADER_BYTES:
        raise BatchError(ErrorCode.INVALID_RECORD, f"{size_bytes} bytes are no batch")
    header = BatchHeader(HEADER.unpack_from(records, 0))
    total_bytes = header.batch_length + LENGTH_END
    if not HEADER_BYTES <= total_bytes <= size_bytes:
        is_cut = total_bytes > size_bytes
        code = ErrorCode.INVALID_RECORD if is_cut else ErrorCode.CORRUPT_MESSAGE
        raise BatchError(code, f"a batch of {total_bytes} bytes in {size_bytes}")
    if total_bytes < size_bytes:
        raise BatchError(
            ErrorCode.INVALID_RECORD, f"{size_bytes - total_bytes} bytes behind the only batch"
        )
    if crc_of(records) != header.crc:
        raise BatchError(ErrorCode.CORRUPT_MESSAGE, "the CRC-32C does not match")
    _validate_header(header)
    return header


def _validate_header(header: BatchHeader) -> None:
    if header.record_count <= 0 or header.record_count != header.last_offset_delta + 1:
        raise BatchError(
            ErrorCode.INVALID_RECORD,
            f"{header.record_count} records, last offset delta {header.last_offset_delta}",
        )
    if header.codec > CODEC_LAST:
        raise BatchError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"no codec {header.codec}")
    if header.is_control:
        raise BatchError(ErrorCode.INVALID_RECORD, "clients may not write control batches")
    if header.is_log_append_time:
        raise BatchError(ErrorCode.INVALID_TIMESTAMP, "log append time is the broker's to set")
    if header.producer_id >= 0 and header.base_sequence < 0:
        raise BatchError(
            ErrorCode.INVALID_RECORD, f"sequence {header.base_sequence} of an idempotent producer"
        )


def stamp(buf: bytearray | memoryview, base_offset: int, leader_epoch: int) -> None:
    """Write the two fields that are the broker's, in place; both lie outside the CRC."""
    _BASE_OFFSET.pack_into(buf, 0, base_offset)
    _LEADER_EPOCH.pack_into(buf, _LEADER_EPOCH_AT, leader_epoch)


def set_max_timestamp(buf: bytearray | memoryview, timestamp_ms: int) -> None:
    """Let the header say what the greatest timestamp of its records is, in place; the CRC follows.
    As Kafka does (LogValidator), so that nobody who reads the header alone is misled.
    """
    _MAX_TIMESTAMP.pack_into(buf, _MAX_TIMESTAMP_AT, timestamp_ms)
    _CRC.pack_into(buf, CRC_AT, crc_of(buf))


def set_log_append_time(buf: bytearray | memoryview, timestamp_ms: int) -> None:
    """Replace the producer's times by the broker's, in place (KIP-32): attribute bit, max
    timestamp, and the CRC over them. Readers then take the max timestamp for every record.
    """
    (attributes,) = _ATTRIBUTES.unpack_from(buf, CRC_START)
    _ATTRIBUTES.pack_into(buf, CRC_START, attributes | LOG_APPEND_TIME)
    set_max_timestamp(buf, timestamp_ms)
