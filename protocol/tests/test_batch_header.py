"""Validation of what producers send, and stamping."""

from struct import pack_into

import crc32c
import pytest

from protocol import (
    HEADER_BYTES,
    BatchError,
    BatchHeader,
    DecodeError,
    ErrorCode,
    Record,
    build_batch,
    crc_of,
    iter_records,
    read_header,
    set_log_append_time,
    stamp,
    validate_batch,
)


def sealed(batch: bytearray) -> bytearray:
    """The batch with a CRC that fits what was changed in it."""
    batch[17:21] = crc_of(batch).to_bytes(4, "big")
    return batch


def a_batch(count: int = 3, **options) -> bytearray:
    records = [Record(timestamp_ms=1000 + i, value=b"v%d" % i) for i in range(count)]
    return build_batch(records, **options)


def fields(header: BatchHeader) -> list[int]:
    return [getattr(header, name) for name in BatchHeader.__slots__]


def refused(batch, code: ErrorCode) -> None:
    with pytest.raises(BatchError) as caught:
        validate_batch(batch)
    assert caught.value.code is code
    assert code.name in str(caught.value)


def test_header_fields() -> None:
    batch = a_batch(
        base_offset=10, leader_epoch=4, producer_id=7, producer_epoch=2, base_sequence=5
    )
    header = validate_batch(batch)
    assert fields(header) == fields(read_header(b"##" + batch, 2))
    assert (header.base_offset, header.last_offset, header.end_offset) == (10, 12, 13)
    assert (header.partition_leader_epoch, header.magic, header.codec) == (4, 2, 0)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 2, 5)
    assert (header.base_timestamp_ms, header.max_timestamp_ms) == (1000, 1002)
    assert (header.record_count, header.last_sequence) == (3, 7)
    assert header.total_bytes == len(batch)
    assert not header.is_control
    assert not header.is_transactional
    assert not header.is_log_append_time


def test_attribute_bits() -> None:
    header = read_header(
        a_batch(is_transactional=True, is_control=True, is_log_append_time=True, codec=4)
    )
    assert header.is_control
    assert header.is_transactional
    assert header.is_log_append_time
    assert header.codec == 4


def test_sequence_wraps() -> None:
    header = read_header(a_batch(producer_id=1, producer_epoch=0, base_sequence=2**31 - 2))
    assert header.last_sequence == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken(kind) -> None:
    assert validate_batch(kind(bytes(a_batch()))).record_count == 3


def test_crc_is_crc32c_of_everything_from_the_attributes_on() -> None:
    batch = a_batch()
    assert crc_of(batch) == crc32c.crc32c(bytes(batch[21:])) == read_header(batch).crc


def test_stamping_leaves_the_crc_alone() -> None:
    batch = a_batch()
    before = bytes(batch)
    stamp(memoryview(batch), 2**40, 77)
    header = validate_batch(batch)
    assert (header.base_offset, header.partition_leader_epoch) == (2**40, 77)
    assert batch[8:12] + batch[16:] == before[8:12] + before[16:]


def test_stamping_needs_a_writable_buffer() -> None:
    with pytest.raises((TypeError, BufferError)):
        stamp(memoryview(bytes(a_batch())), 0, 0)  # type: ignore[arg-type]


def test_every_cut_is_invalid() -> None:
    """As in Kafka, which finds no batch there: not one that may come whole the next time."""
    batch = bytes(a_batch())
    for cut in range(len(batch)):
        refused(batch[:cut], ErrorCode.INVALID_RECORD)
    for cut in range(HEADER_BYTES):
        with pytest.raises(DecodeError):
            read_header(batch[:cut])


def test_every_flipped_bit_is_noticed() -> None:
    """Only base offset and leader epoch are outside the checks: the broker overwrites them."""
    batch = bytes(a_batch())
    for at in (*range(8, 12), *range(16, len(batch))):
        for bit in range(8):
            broken = bytearray(batch)
            broken[at] ^= 1 << bit
            with pytest.raises(BatchError):
                validate_batch(broken)


def test_wrong_crc_is_corrupt() -> None:
    batch = a_batch()
    batch[-1] ^= 1
    refused(batch, ErrorCode.CORRUPT_MESSAGE)


@pytest.mark.parametrize("magic", [0, 1, 3, 255])
def test_an_old_magic_is_invalid_and_one_that_never_was_corrupt(magic: int) -> None:
    batch = a_batch()
    batch[16] = magic
    code = ErrorCode.INVALID_RECORD if magic < 2 else ErrorCode.CORRUPT_MESSAGE
    refused(batch, code)
    refused(batch[:30], code)  # old formats are shorter than 61 bytes


@pytest.mark.parametrize("length", [-1, 0, 48, -(2**31), 2**31 - 1])
def test_hostile_lengths_are_refused(length: int) -> None:
    batch = a_batch()
    pack_into(">i", batch, 8, length)
    refused(batch, ErrorCode.CORRUPT_MESSAGE if length < 49 else ErrorCode.INVALID_RECORD)


def test_two_batches_or_trailing_bytes_are_invalid() -> None:
    refused(a_batch() + a_batch(), ErrorCode.INVALID_RECORD)
    refused(a_batch() + b"\x00", ErrorCode.INVALID_RECORD)


@pytest.mark.parametrize(
    ("last_delta", "count"), [(2, 2), (2, 4), (1, 3), (-1, 0), (2, 0), (2, -3), (-4, -3)]
)
def test_counts_that_do_not_fit_the_offsets_are_invalid(last_delta: int, count: int) -> None:
    batch = a_batch()
    pack_into(">i", batch, 23, last_delta)
    pack_into(">i", batch, 57, count)
    refused(sealed(batch), ErrorCode.INVALID_RECORD)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_unknown_codecs(codec: int) -> None:
    batch = a_batch()
    batch[22] = codec
    refused(sealed(batch), ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)


def test_control_batches_are_not_for_clients() -> None:
    refused(a_batch(is_control=True), ErrorCode.INVALID_RECORD)


def test_log_append_time_is_the_brokers_mark() -> None:
    refused(a_batch(is_log_append_time=True), ErrorCode.INVALID_TIMESTAMP)


def test_setting_log_append_time_keeps_the_rest() -> None:
    batch = a_batch(codec=1)
    before = bytes(batch)
    set_log_append_time(memoryview(batch), 5000)
    header = read_header(batch)
    assert (header.max_timestamp_ms, header.base_timestamp_ms) == (5000, 1000)
    assert header.is_log_append_time
    assert header.codec == 1
    assert header.crc == crc_of(batch) != read_header(before).crc
    assert batch[:17] + batch[23:35] + batch[43:] == before[:17] + before[23:35] + before[43:]
    assert {record.timestamp_ms for record in iter_records(batch)} == {5000}


def test_idempotent_batches_need_a_sequence() -> None:
    refused(a_batch(producer_id=5, producer_epoch=0), ErrorCode.INVALID_RECORD)
    assert validate_batch(a_batch(producer_id=5, producer_epoch=0, base_sequence=0))
