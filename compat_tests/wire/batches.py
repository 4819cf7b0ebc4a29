"""Record batches (magic 2) by hand, right or wrong on purpose; a second view of the format.

Layout: KIP-98 and `org.apache.kafka.common.record.DefaultRecordBatch`. CRC-32C covers everything
from the attributes on, so base offset and leader epoch may be changed by a broker.
"""

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import crc32c

from compat_tests.support.records import BASE_TIMESTAMP_MS

HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES = HEADER.size
LENGTH_OVERHEAD_BYTES = 12  # base offset and length itself are not counted
CRC_START = 21
GZIP = 1


def varint(value: int) -> bytes:
    zigzag = (value << 1) ^ (value >> 63)
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


def encode_record(delta: int, value: bytes | None, timestamp_delta_ms: int = 0) -> bytes:
    body = b"\x00" + varint(timestamp_delta_ms) + varint(delta) + varint(-1)
    body += varint(-1) if value is None else varint(len(value)) + value
    body += varint(0)
    return varint(len(body)) + body


def build(
    values: Sequence[bytes | None],
    *,
    times_ms: Sequence[int] | None = None,
    codec: int = 0,
    producer: tuple[int, int, int] = (-1, -1, -1),
    magic: int = 2,
    count: int | None = None,
    last_delta: int | None = None,
    base_offset: int = 0,
    crc_flip: int = 0,
    payload: bytes | None = None,
) -> bytes:
    """One batch; `producer` is (id, epoch, base sequence); the last five arguments tell lies."""
    times = times_ms or [0] * len(values)
    if payload is None:
        payload = b"".join(
            encode_record(delta, value, time)
            for delta, (value, time) in enumerate(zip(values, times, strict=True))
        )
        if codec == GZIP:
            payload = gzip.compress(payload)
    delta = len(values) - 1 if last_delta is None else last_delta
    number = len(values) if count is None else count
    max_time = BASE_TIMESTAMP_MS + max(times, default=0)
    fields = (codec, delta, BASE_TIMESTAMP_MS, max_time, *producer, number)
    tail = struct.pack(">hiqqqhii", *fields) + payload
    crc = crc32c.crc32c(tail) ^ crc_flip
    length = HEADER_BYTES - LENGTH_OVERHEAD_BYTES + len(payload)
    return struct.pack(">qiibI", base_offset, length, -1, magic, crc) + tail


@dataclass(frozen=True)
class Batch:
    """The 61-byte header of a stored batch, and its bytes."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    count: int
    raw: bytes

    @property
    def codec(self) -> int:
        return self.attributes & 7

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def whole(self) -> bool:
        return len(self.raw) == self.length + LENGTH_OVERHEAD_BYTES

    @property
    def crc_right(self) -> bool:
        return crc32c.crc32c(self.raw[CRC_START:]) == self.crc


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at


def values_of(batch: Batch) -> list[tuple[int, bytes | None]]:
    """Offset and value of each record of an uncompressed batch."""
    assert batch.codec == 0
    found = []
    at = HEADER_BYTES
    for _ in range(batch.count):
        length, at = read_varint(batch.raw, at)
        end = at + length
        _, at = read_varint(batch.raw, at + 1)  # attributes, time stamp delta
        delta, at = read_varint(batch.raw, at)
        key_bytes, at = read_varint(batch.raw, at)
        at += max(0, key_bytes)
        value_bytes, at = read_varint(batch.raw, at)
        value = None if value_bytes < 0 else batch.raw[at : at + value_bytes]
        found.append((batch.base_offset + delta, value))
        at = end
    assert at == len(batch.raw)
    return found


def parse(records: bytes) -> list[Batch]:
    """All batches; the last one may be cut, as Kafka allows (see `whole`)."""
    batches = []
    at = 0
    while len(records) - at >= HEADER_BYTES:
        fields = HEADER.unpack_from(records, at)
        end = at + LENGTH_OVERHEAD_BYTES + fields[1]
        batches.append(Batch(*fields, raw=bytes(records[at:end])))
        at = end
    return batches
