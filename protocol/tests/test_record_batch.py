"""Records inside batches, against the parsers of kafka-python and aiokafka, every codec."""

import itertools
import random  # noqa: TID251  (seeded)
from struct import pack_into

import pytest
from aiokafka.record.default_records import (
    _DefaultRecordBatchBuilderPy,
    _DefaultRecordBatchPy,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from protocol import (
    BatchError,
    ErrorCode,
    Record,
    build_batch,
    crc_of,
    find_max_timestamp,
    find_offset_for_timestamp,
    iter_records,
    validate_batch,
)

CODECS = pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])
SETTINGS = settings(max_examples=20, derandomize=True, database=None)

BLOB = st.none() | st.binary(max_size=40) | st.just(bytes(5000))
HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=9)), max_size=3)
RECORDS = st.lists(
    st.builds(
        Record,
        timestamp_ms=st.integers(0, 2**41),
        key=BLOB,
        value=BLOB,
        headers=HEADERS,
    ),
    min_size=1,
    max_size=6,
)


def with_offsets(records: list[Record], base_offset: int) -> list[Record]:
    return [
        Record(base_offset + i, r.timestamp_ms, r.key, r.value, r.headers)
        for i, r in enumerate(records)
    ]


def plain(records) -> list[tuple]:
    return [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in records]


def ours(records: list[Record]) -> list[tuple]:
    return [(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in records]


@CODECS
def test_our_batches_are_read_by_us_and_by_others(codec: int) -> None:
    @SETTINGS
    @given(RECORDS, st.integers(0, 2**62))
    def check(records: list[Record], base_offset: int) -> None:
        batch = bytes(build_batch(records, base_offset=base_offset, codec=codec))
        expected = with_offsets(records, base_offset)
        assert list(iter_records(batch)) == expected
        assert validate_batch(batch).record_count == len(records)

        theirs = MemoryRecords(batch).next_batch()
        assert theirs.validate_crc()
        assert plain(theirs) == ours(expected)

        aio = _DefaultRecordBatchPy(batch)
        assert aio.validate_crc()
        assert plain(aio) == ours(expected)

    check()


@CODECS
def test_their_batches_are_read_by_us(codec: int) -> None:
    @SETTINGS
    @given(RECORDS)
    def check(records: list[Record]) -> None:
        expected = with_offsets(records, 0)
        builder = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=1 << 20)
        for each in records:
            builder.append(each.timestamp_ms, each.key, each.value, each.headers)
        builder.close()
        batch = builder.buffer()
        validate_batch(batch)
        assert list(iter_records(batch)) == expected

        aio = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 1 << 20)
        for i, each in enumerate(records):
            aio.append(i, each.timestamp_ms, each.key, each.value, each.headers)
        batch = aio.build()
        validate_batch(batch)
        assert list(iter_records(batch)) == expected

    check()


@CODECS
def test_timestamp_lookup_is_exact(codec: int) -> None:
    stamps = [50, 10, 70, 70, 20]
    records = [Record(timestamp_ms=each, value=b"x" * 100) for each in stamps]
    batch = build_batch(records, base_offset=100, codec=codec)
    for wanted, skipped in itertools.product(range(80), range(6)):
        left = [(100 + i, each) for i, each in enumerate(stamps) if i >= skipped]
        expected = next((found for found in left if found[1] >= wanted), None)
        found = find_offset_for_timestamp(batch, wanted, from_offset=100 + skipped)
        assert found == expected
    assert find_max_timestamp(batch) == (102, 70)
    latest = [find_max_timestamp(batch, from_offset=100 + skipped) for skipped in range(6)]
    assert latest == [(102, 70)] * 3 + [(103, 70), (104, 20), None]


def test_log_append_time_is_the_time_of_every_record() -> None:
    records = [Record(timestamp_ms=each) for each in (5, 9, 7)]
    batch = build_batch(records, is_log_append_time=True)
    assert [each.timestamp_ms for each in iter_records(batch)] == [9, 9, 9]
    assert find_offset_for_timestamp(batch, 8) == (0, 9)


def test_negative_timestamps_and_deltas() -> None:
    records = [Record(timestamp_ms=each) for each in (-1, -(2**62), 2**62)]
    assert [r.timestamp_ms for r in iter_records(build_batch(records))] == [-1, -(2**62), 2**62]


def test_a_batch_holds_a_record() -> None:
    with pytest.raises(ValueError, match="at least one"):
        build_batch([])


def test_bytes_behind_the_batch_are_left() -> None:
    batch = build_batch([Record(value=b"v")])
    assert len(list(iter_records(batch + batch))) == 1


def read_all(batch, **options) -> ErrorCode | None:
    try:
        list(iter_records(batch, **options))
        find_offset_for_timestamp(batch, 0, **options)
        find_max_timestamp(batch, **options)
    except BatchError as error:
        return error.code
    return None


@CODECS
def test_cut_batches(codec: int) -> None:
    batch = bytes(build_batch([Record(value=b"v" * 100)] * 3, codec=codec))
    for cut in range(len(batch)):
        assert read_all(batch[:cut]) is ErrorCode.CORRUPT_MESSAGE
        with pytest.raises(BatchError):
            find_offset_for_timestamp(batch[:cut], 0)
        with pytest.raises(BatchError):
            find_max_timestamp(batch[:cut])


@CODECS
def test_cut_payloads(codec: int) -> None:
    """The batch length fits, the records or the compressed stream do not."""
    batch = bytes(build_batch([Record(timestamp_ms=1, value=b"v" * 100)] * 3, codec=codec))
    for cut in range(61, len(batch)):
        broken = bytearray(batch[:cut])
        pack_into(">i", broken, 8, cut - 12)
        assert read_all(broken) in (ErrorCode.CORRUPT_MESSAGE, ErrorCode.INVALID_RECORD)


@CODECS
def test_fuzzed_payloads_raise_batch_errors_only(codec: int) -> None:
    rng = random.Random(codec)
    records = [Record(i, i, b"key", b"value" * 20, [("h", b"x")]) for i in range(5)]
    batch = bytes(build_batch(records, codec=codec))
    for _ in range(3000):
        broken = bytearray(batch)
        for _ in range(rng.randint(1, 3)):
            broken[rng.randrange(61, len(broken))] = rng.randrange(256)
        read_all(broken, decompressed_bytes_max=1 << 20)


@pytest.mark.parametrize(
    "payload",
    [
        "00",  # a record of no bytes
        "01",  # of -1 bytes
        "feffffff0f",  # of 2^31-1 bytes
        "0c 00 00 00 01 01 00 ff",  # a byte behind the last record
        "0c 00 00 00 03 01 00",  # a key of -2 bytes
        "0c 00 00 00 08 01 00",  # a key that leaves the record
        "0c 00 00 00 01 01 02",  # a header that is not there
        "0c 00 00 00 01 01 03",  # -2 headers
        "10 00 00 00 01 01 02 01 01",  # a header without a name
        "10 00 00 00 01 01 02 02 ff",  # a header name that is not UTF-8 and leaves the record
        "0e 00 00 00 01 01 00 00",  # a record longer than its fields
        "0c 00 00 02 01 01 00",  # offset delta 1 in a batch of one
        "0c 00 00 01 01 01 00",  # offset delta -1
        "04 00 00",  # no offset delta at all
        "808080808080 00",  # a length varint without an end
        "1e 00 feffffffffffffffff01 00 01 01 00",  # a timestamp beyond int64
    ],
)
def test_malformed_records(payload: str) -> None:
    batch = build_batch([Record(timestamp_ms=5)])[:61] + bytes.fromhex(payload)
    pack_into(">i", batch, 8, len(batch) - 12)
    batch[17:21] = crc_of(batch).to_bytes(4, "big")
    with pytest.raises(BatchError) as caught:
        list(iter_records(batch))
    assert caught.value.code is ErrorCode.INVALID_RECORD


def test_more_records_claimed_than_there_are() -> None:
    batch = build_batch([Record(timestamp_ms=5)])
    pack_into(">i", batch, 57, 2**31 - 1)
    assert read_all(batch) is ErrorCode.INVALID_RECORD
    pack_into(">i", batch, 57, 0)
    assert read_all(batch) is ErrorCode.INVALID_RECORD


def test_a_header_that_lies_about_its_timestamps() -> None:
    """The max timestamp may promise what no record keeps; the answer is then: none."""
    batch = build_batch([Record(timestamp_ms=5)])
    pack_into(">q", batch, 35, 100)
    assert find_offset_for_timestamp(batch, 50) is None
    assert find_offset_for_timestamp(batch, 101) is None


def test_no_records_no_timestamp() -> None:
    batch = build_batch([Record(timestamp_ms=5)])[:61]
    pack_into(">i", batch, 8, 61 - 12)
    pack_into(">i", batch, 57, 0)
    assert list(iter_records(batch)) == []
    assert find_offset_for_timestamp(batch, 0) is None
    assert find_max_timestamp(batch) is None
    pack_into(">i", batch, 57, 1)
    with pytest.raises(BatchError):
        find_max_timestamp(batch)


def test_other_magic_is_refused() -> None:
    batch = build_batch([Record(timestamp_ms=5)])
    batch[16] = 1
    assert read_all(batch) is ErrorCode.INVALID_RECORD


@pytest.mark.parametrize("codec", range(1, 5))
def test_bombs_stop_at_the_bound(codec: int) -> None:
    batch = build_batch([Record(value=bytes(8 << 20))], codec=codec)
    assert len(batch) < 1 << 20
    assert read_all(batch, decompressed_bytes_max=1 << 20) is ErrorCode.CORRUPT_MESSAGE
    assert read_all(batch) is None
