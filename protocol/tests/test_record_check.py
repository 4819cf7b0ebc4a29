"""What a produce makes sure of inside a batch, against the reader that makes objects of records."""

import random  # noqa: TID251  (seeded)
from collections.abc import Iterator
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecordsBuilder

from protocol import (
    BatchError,
    ErrorCode,
    Record,
    RecordRules,
    build_batch,
    check_records,
    record_check,
)
from protocol.batch_header import CRC_AT, HEADER_BYTES, crc_of, read_header, validate_batch
from protocol.compression import GZIP, ZSTD, compress
from protocol.primitives import write_uvarint
from protocol.record_batch import iter_records
from protocol.record_check import ANY_RECORDS, RecordCheck

BYTES_MAX = 1 << 20


@pytest.fixture(autouse=True, scope="module", params=["compiled", "pure"])
def path(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything here holds with compiled help and without."""
    if request.param == "compiled" and record_check.COMPILED is None:
        pytest.skip("compiled help was not built")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pure":
            patch.setattr(record_check, "COMPILED", None)
        yield


NOW_MS = 1_700_000_000_000
CODECS = pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])


def varint(value: int) -> bytes:
    out = bytearray()
    write_uvarint(out, value * 2 if value >= 0 else -value * 2 - 1)
    return bytes(out)


def a_record(delta: int, *, time: int = 0, body: bytes | None = None, size: int = 0) -> bytes:
    """`body` follows the offset delta; `size` is added to the true length."""
    rest = b"\x01" + varint(2) + b"ab" + b"\x00" if body is None else body
    whole = b"\x00" + varint(time) + varint(delta) + rest
    return varint(len(whole) + size) + whole


def a_batch(payload: bytes, count: int, *, codec: int = 0, packed: bytes | None = None) -> bytes:
    """With a header and a checksum that are right, whatever is inside."""
    batch = bytearray(build_batch([Record(timestamp_ms=NOW_MS)], codec=codec))[:HEADER_BYTES]
    batch += packed if packed is not None else compress(codec, payload)
    batch[8:12] = pack(">i", len(batch) - 12)
    batch[23:27] = pack(">i", count - 1)
    batch[57:61] = pack(">i", count)
    batch[CRC_AT : CRC_AT + 4] = crc_of(batch).to_bytes(4, "big")
    return bytes(batch)


def checked(batch: bytes | bytearray, rules: RecordRules = ANY_RECORDS) -> int:
    return check_records(batch, validate_batch(batch), BYTES_MAX, rules)


def refused(batch: bytes, code: ErrorCode, rules: RecordRules = ANY_RECORDS) -> BatchError:
    with pytest.raises(BatchError) as caught:
        checked(batch, rules)
    assert caught.value.code is code, caught.value
    return caught.value


# --- what is refused -----------------------------------------------------------------------------

GOOD = [a_record(i) for i in range(3)]
POISON = {
    "a record more than counted": (b"".join(GOOD), 2),
    "a record less than counted": (b"".join(GOOD), 4),
    "two billion records": (b"".join(GOOD), 2**31 - 1),
    "offsets from 1 on": (b"".join(a_record(i + 1) for i in range(3)), 3),
    "the same offset twice": (GOOD[0] + GOOD[0] + GOOD[2], 3),
    "a hole in the offsets": (GOOD[0] + a_record(2) + a_record(3), 3),
    "offsets that fall": (GOOD[1] + GOOD[0] + GOOD[2], 3),
    "a negative offset": (GOOD[0] + a_record(-1) + GOOD[2], 3),
    "bytes behind the last": (b"".join(GOOD) + b"x" * 9, 3),
    "a length beyond the batch": (GOOD[0] + GOOD[1] + a_record(2, size=50), 3),
    "a length that is short": (GOOD[0] + GOOD[1] + a_record(2, size=-1), 3),
    "a length that is long": (GOOD[0] + a_record(1, size=1) + GOOD[2], 3),
    "a negative length": (GOOD[0] + GOOD[1] + varint(-5) + GOOD[2][1:], 3),
    "a cut record": (b"".join(GOOD)[:-1], 3),
    "a cut varint": (GOOD[0] + GOOD[1] + b"\x80" * 4 + GOOD[2], 3),
    "a varint without end": (GOOD[0] + GOOD[1] + b"\xff" * 30, 3),
    "a key beyond the record": (b"".join(GOOD[:2]) + a_record(2, body=b"\x20\x02a\x00"), 3),
    "a key of -2 bytes": (b"".join(GOOD[:2]) + a_record(2, body=b"\x03\x02a\x00"), 3),
    "a value beyond the record": (b"".join(GOOD[:2]) + a_record(2, body=b"\x01\x7ea\x00"), 3),
    "a value of -2 bytes": (b"".join(GOOD[:2]) + a_record(2, body=b"\x01\x03a\x00"), 3),
    "headers that are not there": (b"".join(GOOD[:2]) + a_record(2, body=b"\x01\x02a\x06"), 3),
    "a negative count of headers": (b"".join(GOOD[:2]) + a_record(2, body=b"\x01\x02a\x01"), 3),
    "a header without a name": (b"".join(GOOD[:2]) + a_record(2, body=b"\x01\x02a\x02\x01\x01"), 3),
    "a header beyond the record": (
        b"".join(GOOD[:2]) + a_record(2, body=b"\x01\x02a\x02\x02n\x70z"),
        3,
    ),
    "a time beyond 64 bits": (b"".join(GOOD[:2]) + a_record(2, time=1 << 66), 3),
    "nothing": (b"", 1),
    "noise": (bytes(range(200)), 4),
}


@CODECS
@pytest.mark.parametrize("what", POISON)
def test_poison_is_refused(what: str, codec: int) -> None:
    payload, count = POISON[what]
    batch = a_batch(payload, count, codec=codec)
    if codec and count > BYTES_MAX:  # whatever it is, it is not opened for that
        refused(batch, ErrorCode.MESSAGE_TOO_LARGE)
        return
    refused(batch, ErrorCode.INVALID_RECORD)


@pytest.mark.parametrize("what", POISON)
@pytest.mark.parametrize("number", [1, 60, 64, 65, 3_000, 8_191, 8_192, 20_000])
def test_poison_is_refused_behind_many_equal_records(what: str, number: int) -> None:
    payload, count = POISON[what]
    if "offset" in what or count > 4:
        return  # those are about a beginning
    head = b"".join(a_record(i) for i in range(number))
    tail = b"".join(a_record(number + i) for i in range(2)) + payload[len(GOOD[0] + GOOD[1]) :]
    refused(a_batch(head + tail, number + count), ErrorCode.INVALID_RECORD)


@pytest.mark.parametrize("wrong", [1, 40, 63, 64, 100, 5_000, 8_190, 8_192, 19_998])
def test_one_wrong_offset_among_many_is_found_and_named(wrong: int) -> None:
    records = [a_record(i) for i in range(20_000)]
    records[wrong] = a_record(wrong + 1)
    error = refused(a_batch(b"".join(records), 20_000), ErrorCode.INVALID_RECORD)
    assert [index for index, _ in error.records] == [wrong]


@pytest.mark.parametrize("wrong", [17, 200, 499])
def test_one_wrong_byte_among_equal_records_is_found(wrong: int) -> None:
    """Whichever of the bytes it is that say sizes, up by two or down."""
    records = [a_record(i + 64, body=b"\x04kk\x06vvv\x00") for i in range(500)]
    head = b"".join(a_record(i) for i in range(64))
    size = len(records[0])
    sizes_at = (0, 5, 8, 12)  # the record's, key's, value's; how many headers
    assert [records[wrong][at] for at in sizes_at] == [2 * (size - 1), 4, 6, 0]
    for at in sizes_at:
        for by in (2, -2):
            payload = bytearray(b"".join(records))
            payload[wrong * size + at] = (payload[wrong * size + at] + by) % 0x80
            refused(a_batch(head + payload, 564), ErrorCode.INVALID_RECORD)


@pytest.mark.parametrize("latest", [3, 40, 499])
@pytest.mark.parametrize("ahead_ms", [1, 100, 10_000, 2_000_000])
def test_the_latest_of_equal_records_is_found(ahead_ms: int, latest: int) -> None:
    """Wherever it is, however many bytes its time takes, whatever the order of the others."""
    times = [NOW_MS] + [NOW_MS + ahead_ms + i % 3 for i in range(499)]
    times[latest] = NOW_MS + ahead_ms + 9
    assert (
        checked(build_batch([Record(timestamp_ms=t, value=b"v") for t in times])) == times[latest]
    )
    times.sort()
    assert checked(build_batch([Record(timestamp_ms=t, value=b"v") for t in times])) == times[-1]


@pytest.mark.parametrize("codec", range(1, 5))
def test_compression_that_is_cut_twice_or_of_another_kind(codec: int) -> None:
    payload = b"".join(a_record(i) for i in range(50))
    packed = compress(codec, payload)
    for cut in range(len(packed)):
        refused(a_batch(b"", 50, codec=codec, packed=packed[:cut]), ErrorCode.CORRUPT_MESSAGE)
    twice = a_batch(b"", 50, codec=codec, packed=compress(codec, packed))
    refused(twice, ErrorCode.INVALID_RECORD)
    other = a_batch(b"", 50, codec=codec % 4 + 1, packed=packed)
    with pytest.raises(BatchError):
        checked(other)


@pytest.mark.parametrize("codec", range(1, 5))
def test_a_bomb_is_not_opened_beyond_the_bound(codec: int) -> None:
    bomb = a_batch(bytes(4 * BYTES_MAX), 9, codec=codec)
    refused(bomb, ErrorCode.MESSAGE_TOO_LARGE)
    count = BYTES_MAX // 7 + 1
    refused(a_batch(b"x", count, codec=codec), ErrorCode.MESSAGE_TOO_LARGE)


# --- what is taken -------------------------------------------------------------------------------


@CODECS
@pytest.mark.parametrize("claimed_ms", [-1, 0, 5, NOW_MS + 10**9])
def test_the_times_are_those_of_the_records(codec: int, claimed_ms: int) -> None:
    times = [NOW_MS, NOW_MS + 700, NOW_MS - 50]
    batch = build_batch([Record(timestamp_ms=t, value=b"v") for t in times], codec=codec)
    batch[35:43] = pack(">q", claimed_ms)
    batch[CRC_AT : CRC_AT + 4] = crc_of(batch).to_bytes(4, "big")
    assert checked(batch) == NOW_MS + 700


def test_no_times_at_all() -> None:
    assert checked(build_batch([Record(timestamp_ms=-1, value=b"v")] * 40)) == -1
    assert checked(build_batch([Record(timestamp_ms=-500, value=b"v")] * 40)) == -1


@pytest.mark.parametrize("seed", range(5))
def test_runs_and_breaks_of_every_kind_are_taken(seed: int) -> None:
    """Long batches whose sizes, times and keys change at random places, also back and forth."""
    rng = random.Random(seed)
    records: list[Record] = []
    time_ms = NOW_MS
    while len(records) < 9_000:
        size, key = rng.choice((0, 5, 60, 130, 9_000)), rng.choice((None, b"", b"key", b"k" * 70))
        spread = rng.choice((0, 0, 1, 40, 3_000, -30))
        headers = [("h", b"x")] if rng.random() < 0.1 else []
        for _ in range(rng.choice((1, 3, 15, 16, 17, 200, 2_500)) if size < 200 else 2):
            time_ms += rng.randint(min(spread, 0), max(spread, 0))
            records.append(Record(0, time_ms, key, bytes(size), headers))
    batch = build_batch(records)
    header = validate_batch(batch)
    assert check_records(batch, header, BYTES_MAX) == max(r.timestamp_ms for r in records)
    check = RecordCheck(header, memoryview(batch)[HEADER_BYTES:], ANY_RECORDS)
    steps_count = 0
    while not check.is_done:
        assert check.step(50) < 50 + 300  # a run is taken whole
        steps_count += 1
    assert steps_count > 3
    assert check.max_timestamp_ms == max(r.timestamp_ms for r in records)


@settings(max_examples=60, derandomize=True, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 1 << 41), st.none() | st.binary(max_size=90)), min_size=1),
    st.sampled_from([0, GZIP, ZSTD]),
)
def test_what_kafka_python_writes_is_taken(records: list, codec: int) -> None:
    builder = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=1 << 20)
    for time_ms, value in records:
        builder.append(timestamp=time_ms, key=None, value=value)
    builder.close()
    assert checked(builder.buffer()) == max(time_ms for time_ms, _ in records)


# --- other readers -------------------------------------------------------------------------------


def is_read_densely(batch: bytes) -> bool | None:
    """Whether a reader that decodes everything finds records 0, 1, 2 ... and nothing else; None if
    it stumbles over the name of a record header, of which Kafka does not look at the text.
    """
    header = read_header(batch)
    try:
        offsets = [r.offset - header.base_offset for r in iter_records(batch)]
    except BatchError as error:
        return None if "utf-8" in error.reason else False
    return offsets == list(range(header.record_count))


def test_exactly_what_others_can_read_is_taken() -> None:
    """One or two bytes of a good batch are changed, under a right checksum."""
    rng = random.Random(9)
    taken_count = 0
    for _ in range(3_000):
        size, count = rng.choice((0, 3)), rng.choice((1, 5, 40, 90))
        headers = rng.choice(([], [("name", b"content")]))
        records = [Record(0, NOW_MS + i // 7, b"k", bytes(size), headers) for i in range(count)]
        batch = build_batch(records)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(HEADER_BYTES, len(batch))
            batch[at] = rng.choice((0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF, batch[at] ^ 2))
        batch[CRC_AT : CRC_AT + 4] = crc_of(batch).to_bytes(4, "big")
        try:
            checked(batch)
        except BatchError:
            assert is_read_densely(bytes(batch)) is not True, bytes(batch).hex()
        else:
            taken_count += 1
            assert is_read_densely(bytes(batch)) is not False, bytes(batch).hex()
    assert 300 < taken_count < 2_700


# --- the rules of a topic ------------------------------------------------------------------------


def test_records_without_a_key_are_named_where_one_is_needed() -> None:
    keys = [b"a", None, b"", None, *[b"x"] * 100, None, *[None] * 200]
    batch = build_batch([Record(timestamp_ms=NOW_MS, key=k, value=b"v") for k in keys])
    assert checked(batch) == NOW_MS
    error = refused(batch, ErrorCode.INVALID_RECORD, RecordRules(needs_keys=True))
    expected = [index for index, key in enumerate(keys) if key is None]
    assert [index for index, _ in error.records] == expected[:100]
    assert f"{len(expected)} records" in error.reason


@pytest.mark.parametrize("count", [3, 500])
def test_times_outside_of_the_limits_are_named(count: int) -> None:
    times = [NOW_MS] * count + [NOW_MS - 11] + [NOW_MS + 10] * count + [NOW_MS + 11, -1]
    batch = build_batch([Record(timestamp_ms=t, key=b"k", value=b"v") for t in times])
    rules = RecordRules(NOW_MS - 10, NOW_MS + 10, needs_keys=True)
    error = refused(batch, ErrorCode.INVALID_TIMESTAMP, rules)
    assert [index for index, _ in error.records] == [count, 2 * count + 1]
    times[count] = times[-2] = NOW_MS
    fine = build_batch([Record(timestamp_ms=t, key=b"k", value=b"v") for t in times])
    assert checked(fine, rules) == NOW_MS + 10
    without_key = build_batch([Record(timestamp_ms=NOW_MS - 50), Record(timestamp_ms=NOW_MS)])
    refused(without_key, ErrorCode.INVALID_RECORD, rules)
