"""What must hold for any bytes given as a record batch, or as compressed data.

`decode_x` may refuse, with the errors that decoders document; `check_x` takes what was accepted and
may not fail.
"""

from collections.abc import Iterator

from protocol.batch_header import CRC_AT, HEADER_BYTES
from protocol.compression import CODEC_LAST, CompressionError, compress, decompress
from protocol.record_batch import (
    BatchError,
    Record,
    build_batch,
    crc_of,
    find_max_timestamp,
    find_offset_for_timestamp,
    iter_records,
    read_header,
    set_log_append_time,
    stamp,
    validate_batch,
)
from protocol.record_check import check_records

PLAIN_BYTES_MAX = 64 * 1024
"""What the batches here may decompress to."""

_CODECS = ("plain", "gzip", "snappy", "lz4", "zstd")
_RECORDS = (
    Record(timestamp_ms=1_700_000_000_000, key=b"key", value=b"value", headers=[("name", b"x")]),
    Record(timestamp_ms=1_700_000_000_500, key=None, value=b"v" * 40, headers=[("empty", None)]),
    Record(timestamp_ms=1_699_999_999_000, key=b"", value=None),
)
_INT64_END = 1 << 63


# --- batches -------------------------------------------------------------------------------------


def batch_seeds() -> Iterator[tuple[str, bytes]]:
    for codec, name in enumerate(_CODECS):
        yield name, bytes(build_batch(_RECORDS, codec=codec, base_offset=5))
    yield "idempotent", bytes(build_batch(_RECORDS, producer_id=4, producer_epoch=1))
    yield "transactional", bytes(build_batch(_RECORDS, is_transactional=True))
    yield "control", bytes(build_batch(_RECORDS[:1], is_control=True))
    yield "append-time", bytes(build_batch(_RECORDS, is_log_append_time=True))


def decode_batch(data: bytes) -> tuple[bytes, list[Record]]:
    """One batch, looked at first as a produce does it, then as a reader. The checksum is put right
    in between, for no fuzzer guesses one. Raises BatchError and, below 61 bytes, DecodeError."""
    try:
        validate_batch(data)
    except BatchError:
        pass
    else:
        assert crc_of(data) == read_header(data).crc
    batch = bytearray(data)
    if len(batch) >= HEADER_BYTES:
        batch[CRC_AT : CRC_AT + 4] = crc_of(batch).to_bytes(4, "big")
    read_header(batch)
    records = list(iter_records(batch, decompressed_bytes_max=PLAIN_BYTES_MAX))
    return bytes(batch), records


def check_batch(decoded: tuple[bytes, list[Record]]) -> None:
    batch, records = decoded
    _check_search(batch, records)
    if not records:
        return
    _check_stamps(batch)
    first = records[0].timestamp_ms
    if any(abs(record.timestamp_ms - first) >= _INT64_END for record in records):
        return  # no batch of ours says so: its times are a clock's
    rebuilt = build_batch(records)
    assert validate_batch(rebuilt).record_count == len(records)
    for number, (was, now) in enumerate(zip(records, iter_records(rebuilt), strict=True)):
        was.offset = number
        assert now == was


def produced_seeds() -> Iterator[tuple[str, bytes]]:
    for codec, name in enumerate(_CODECS):
        yield name, bytes(build_batch(_RECORDS, codec=codec, producer_id=3, base_sequence=0))
    yield "a-run", bytes(build_batch([Record(timestamp_ms=_RECORDS[0].timestamp_ms)] * 70))


def decode_produced(data: bytes) -> tuple[bytes, int]:
    """One batch as a produce takes it, its checksum put right, and the greatest time inside. Raises
    BatchError."""
    batch = bytearray(data)
    if len(batch) >= HEADER_BYTES:
        batch[CRC_AT : CRC_AT + 4] = crc_of(batch).to_bytes(4, "big")
    header = validate_batch(batch)
    return bytes(batch), check_records(batch, header, PLAIN_BYTES_MAX)


def check_produced(decoded: tuple[bytes, int]) -> None:
    """Whoever reads it finds as many records as it says, offset by offset."""
    batch, max_timestamp_ms = decoded
    header = read_header(batch)
    try:
        records = list(iter_records(batch, decompressed_bytes_max=PLAIN_BYTES_MAX))
    except BatchError as error:
        assert "utf-8" in error.reason  # a header's name, of which Kafka does not look at the text
        return
    assert [r.offset for r in records] == [header.base_offset + i for i in range(len(records))]
    assert len(records) == header.record_count
    assert max_timestamp_ms == max(-1, *(r.timestamp_ms for r in records), -1)


def _check_search(batch: bytes, records: list[Record]) -> None:
    times = [(record.timestamp_ms, record.offset) for record in records]
    if not times:
        return
    latest_ms = max(time_ms for time_ms, _ in times)
    first = next(pair for pair in times if pair[0] == latest_ms)
    assert find_max_timestamp(batch, decompressed_bytes_max=PLAIN_BYTES_MAX) == first[::-1]
    for wanted_ms in {latest_ms, times[0][0], latest_ms - 1}:
        found = find_offset_for_timestamp(batch, wanted_ms, decompressed_bytes_max=PLAIN_BYTES_MAX)
        if read_header(batch).max_timestamp_ms < wanted_ms:
            assert found is None
        else:
            assert found == next((pair[::-1] for pair in times if pair[0] >= wanted_ms), None)


def _check_stamps(batch: bytes) -> None:
    stamped = bytearray(batch)
    stamp(stamped, 1234, 5)
    header = read_header(stamped)
    assert (header.base_offset, header.partition_leader_epoch) == (1234, 5)
    assert stamped[CRC_AT:] == batch[CRC_AT:]
    set_log_append_time(stamped, 99)
    header = read_header(stamped)
    assert header.is_log_append_time
    assert header.max_timestamp_ms == 99
    assert crc_of(stamped) == header.crc


# --- compression ---------------------------------------------------------------------------------


def compression_seeds() -> Iterator[tuple[str, bytes]]:
    plain = b"woodpecker " * 30 + bytes(range(100))
    for codec, name in enumerate(_CODECS):
        yield name, bytes((codec,)) + compress(codec, plain)
    chunk = compress(2, plain)
    xerial = b"\x82SNAPPY\x00" + bytes(8) + len(chunk).to_bytes(4, "big") + chunk
    yield "snappy-xerial", b"\x02" + xerial
    yield "gzip-two-members", b"\x01" + compress(1, plain) + compress(1, b"more")


def decode_compressed(data: bytes) -> bytes:
    """One byte for the codec, then what it made. Raises CompressionError."""
    if not data:
        raise CompressionError("no codec")
    plain = bytes(decompress(data[0], memoryview(data)[1:], PLAIN_BYTES_MAX))
    assert len(plain) <= PLAIN_BYTES_MAX
    return plain


def check_compressed(plain: bytes) -> None:
    for codec in range(CODEC_LAST + 1):
        assert bytes(decompress(codec, compress(codec, plain), PLAIN_BYTES_MAX)) == plain
