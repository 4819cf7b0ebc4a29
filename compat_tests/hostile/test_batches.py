"""Record batches that are wrong in one place: refused with a code that says so, nothing stored."""

import gzip
import struct

import crc32c
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import CRC_START, GZIP, HEADER_BYTES, build, parse, varint
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import fetch_batches, list_offset, produce

NONE = 0
CORRUPT_MESSAGE = 2
MESSAGE_TOO_LARGE = 10
UNSUPPORTED_COMPRESSION_TYPE = 76
INVALID_RECORD = 87
UNKNOWN_SERVER_ERROR = -1
# Base offset and leader epoch may hold anything: the broker writes them.
BROKER_FIELDS = {*range(8), *range(12, 16)}
BATCH = build([b"value %d" % number for number in range(5)])
BOMB_BYTES = 1 << 30

batches_setting = settings(
    max_examples=1_500,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def connection(victim: Gateway, dial: object) -> Connection:
    """One for all examples: a bad batch must not cost the connection."""
    return dial()  # type: ignore[operator, no-any-return]


@batches_setting
@given(at=st.integers(0, len(BATCH) - 1), byte=st.integers(0, 255))
def test_one_changed_byte(connection: Connection, at: int, byte: int) -> None:
    """The CRC covers all but the fields of the broker, length, magic and itself."""
    changed = bytearray(BATCH)
    changed[at] = byte
    code = produce(connection, "target", bytes(changed)).error_code
    if at in BROKER_FIELDS or changed == BATCH:
        assert code in (NONE, INVALID_RECORD)
    else:
        assert code in (CORRUPT_MESSAGE, INVALID_RECORD), (at, byte)


@batches_setting
@given(cut=st.integers(0, len(BATCH) - 1), tail=st.binary(max_size=10))
def test_cut_and_extended(connection: Connection, cut: int, tail: bytes) -> None:
    records = BATCH[:cut] + tail
    code = produce(connection, "target", records).error_code
    assert code in (CORRUPT_MESSAGE, INVALID_RECORD) or records == BATCH


@batches_setting
@given(at=st.integers(CRC_START, HEADER_BYTES - 1), value=st.binary(min_size=1, max_size=8))
def test_lies_under_a_right_crc(connection: Connection, at: int, value: bytes) -> None:
    """Attributes, counts, times and producer state: any code of Kafka's, never a breakdown."""
    changed = bytearray(BATCH)
    changed[at : at + len(value)] = value
    changed[CRC_START - 4 : CRC_START] = struct.pack(">I", crc32c.crc32c(changed[CRC_START:]))
    answer = produce(connection, "target", bytes(changed))
    assert answer.error_code != UNKNOWN_SERVER_ERROR, bytes(changed).hex()


NO_LENGTH = b"\x01"  # of a record: -1


@batches_setting
@given(payload=st.binary(max_size=200), codec=st.integers(0, 7), count=st.integers(1, 100))
def test_payloads_that_are_no_records(
    connection: Connection, payload: bytes, codec: int, count: int
) -> None:
    """No consumer could read them: none may be stored."""
    payload = NO_LENGTH + payload  # without it, seven bytes or so can happen to be a record
    batch = build([], payload=payload, codec=codec, count=count, last_delta=count - 1)
    answer = produce(connection, "target", batch, partition=1)
    assert answer.error_code in (CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_COMPRESSION_TYPE)


def test_the_log_is_dense_after_all_that(connection: Connection) -> None:
    for partition in (0, 1):
        end = 0
        for batch in fetch_batches(connection, "target", 0, partition):
            assert batch.base_offset == end
            end = batch.last_offset + 1


@pytest.mark.parametrize("timestamp_ms", [0, 1_700_000_000_000, 1 << 60])
def test_lookups_by_time_among_rubbish(victim: Gateway, timestamp_ms: int) -> None:
    with Connection(victim.bootstrap) as connection:
        list_offset(connection, "target", timestamp_ms)
        list_offset(connection, "target", -3)


@pytest.mark.timeout(120)
def test_a_compression_bomb(victim: Gateway, dial: object) -> None:
    """One MiB that unpacks to one GiB: refused, and the attempt costs no such memory."""
    connection: Connection = dial()  # type: ignore[operator]
    record = b"\x00" + varint(0) + varint(0) + varint(-1) + varint(BOMB_BYTES)
    bomb = gzip.compress(varint(BOMB_BYTES + len(record) + 1) + record + bytes(BOMB_BYTES), 1)
    batch = build([b""], times_ms=[10_000], payload=bomb, codec=GZIP)
    assert len(parse(batch)) == 1
    before_bytes = victim.rss_bytes()
    assert produce(connection, "target", batch).error_code == MESSAGE_TOO_LARGE
    assert victim.rss_bytes() - before_bytes < BOMB_BYTES // 8


def test_a_bomb_of_records_is_not_even_opened(victim: Gateway, dial: object) -> None:
    """Eleven kilobytes of zstd hold 17 million records; its header says so."""
    connection: Connection = dial()  # type: ignore[operator]
    count = 17_000_000
    packed = gzip.compress(bytes(1_000))
    batch = build([], payload=packed, codec=GZIP, count=count, last_delta=count - 1)
    assert produce(connection, "target", batch).error_code == MESSAGE_TOO_LARGE
