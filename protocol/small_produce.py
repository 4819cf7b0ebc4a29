"""A Produce request as most clients send it, one small batch for one partition, in a short way.

Reading it into messages and writing its answer from such takes longer than all that it is for. Here
nothing is made but what is needed, in compiled code where that was built (_produce.c, _records.c).
Whatever is out of the ordinary is None, for the messages' own code to read and to refuse: so this
knows no error. What it does take, that code takes, and answers with the same bytes.
"""

from struct import Struct
from struct import error as struct_error
from typing import TypeAlias

from protocol.batch_header import (
    HEADER_BYTES,
    BatchError,
    BatchHeader,
    crc_of,
    read_header,
    validate_batch,
)
from protocol.compiled import compiled
from protocol.record_check import COMPILED as RECORDS
from protocol.record_check import RecordCheck, RecordRules

SmallProduce: TypeAlias = tuple[int, int, int, int, str | bytes, int, int, int, int, int]
"""Version, correlation id, acks, timeout in ms; the topic by its name, or by its id from version 13
on; the partition; from where to where the request says these two; from where to where the batch is.
"""
COMPILED = compiled("protocol._produce")
"""None: all is done here."""

SMALL_BYTES_MAX = 32 * 1024
"""Of a request: its records are looked at in one step, without compiled code in 2 ms or 3."""
FIRST_VERSION = 3
FIRST_FLEXIBLE_VERSION = 9
FIRST_VERSION_WITH_IDS = 13
_FIRST_VERSION_WITH_LOG_START = 5
_FIRST_VERSION_WITH_MESSAGES = 8
_ID_BYTES = 16
_NAME_BYTES_MAX = 249
_VARINT_BYTES_MAX = 5

_HEAD = Struct(">hhih")
_ACKS = Struct(">hi")
_I16, _I32 = Struct(">h"), Struct(">i")

_ANSWER = Struct(">ii")
_FLEXIBLE_ANSWER = Struct(">iib")  # without tags
_OFFSETS = Struct(">hqq")
_OFFSETS_AND_START = Struct(">hqqq")
_NO_TIME = -1
# What follows them: no errors of records, no message, no tags of the partition and the topic, not
# throttled, no tags of the response.
_REST = bytes(4)
_REST_WITH_MESSAGES = bytes(4) + b"\xff\xff" + bytes(4)
_FLEXIBLE_REST = b"\x01" + bytes(8)


def read_small_produce(frame: memoryview) -> SmallProduce | None:
    """The parts of such a request, whose batch nobody has looked at; None for any other."""
    if len(frame) > SMALL_BYTES_MAX:
        return None
    return _parts(frame) if COMPILED is None else COMPILED.parts(frame)


def small_batch(batch: memoryview, rules: RecordRules) -> tuple[BatchHeader, int] | None:
    """The header and the greatest time of the records of a batch that is sound and not compressed;
    None for any other. In one go: for what came in a small frame.
    """
    if RECORDS is None:
        return _checked(batch, rules)
    least_ms, most_ms, needs_keys = rules
    greatest_ms = RECORDS.greatest(batch, least_ms, most_ms, needs_keys)
    if greatest_ms is None:
        return None
    header = read_header(batch)
    return (header, greatest_ms) if crc_of(batch) == header.crc else None


def small_answer(
    version: int, correlation_id: int, said: bytes, base_offset: int, log_start_offset: int
) -> bytes:
    """The whole frame: the batch is stored. `said` is what the request says of where."""
    if version >= FIRST_FLEXIBLE_VERSION:
        offsets = _OFFSETS_AND_START.pack(0, base_offset, _NO_TIME, log_start_offset)
        length = 5 + len(said) + _OFFSETS_AND_START.size + len(_FLEXIBLE_REST)
        head = _FLEXIBLE_ANSWER.pack(length, correlation_id, 0)
        return head + said + offsets + _FLEXIBLE_REST
    if version >= _FIRST_VERSION_WITH_LOG_START:
        offsets = _OFFSETS_AND_START.pack(0, base_offset, _NO_TIME, log_start_offset)
    else:
        offsets = _OFFSETS.pack(0, base_offset, _NO_TIME)
    rest = _REST_WITH_MESSAGES if version >= _FIRST_VERSION_WITH_MESSAGES else _REST
    head = _ANSWER.pack(4 + len(said) + len(offsets) + len(rest), correlation_id)
    return head + said + offsets + rest


def _checked(batch: memoryview, rules: RecordRules) -> tuple[BatchHeader, int] | None:
    try:
        header = validate_batch(batch)
        if header.attributes:
            return None
        check = RecordCheck(header, batch[HEADER_BYTES:], rules)
        while not check.is_done:
            check.step(header.record_count)
    except BatchError:
        return None
    return header, check.max_timestamp_ms


def _parts(frame: memoryview) -> SmallProduce | None:
    """As _produce.c."""
    try:
        return _found(frame)
    except (IndexError, struct_error):
        return None


def _found(frame: memoryview) -> SmallProduce | None:
    key, version, correlation_id, client_id_bytes = _HEAD.unpack_from(frame, 0)
    if key or not FIRST_VERSION <= version <= FIRST_VERSION_WITH_IDS or client_id_bytes < -1:
        return None
    is_flexible = version >= FIRST_FLEXIBLE_VERSION
    at = _HEAD.size + max(0, client_id_bytes)
    if bytes(frame[at : at + 2]) != (b"\0\0" if is_flexible else b"\xff\xff"):
        return None  # it has tags, or a transactional id
    acks, timeout_ms = _ACKS.unpack_from(frame, at + 2)
    said_at = at + 2 + _ACKS.size
    count, at = _length(frame, said_at, _I32, is_flexible)
    length = _ID_BYTES
    if version < FIRST_VERSION_WITH_IDS:
        length, at = _length(frame, at, _I16, is_flexible)
        if not 1 <= length <= _NAME_BYTES_MAX:
            return None
    topic = bytes(frame[at : at + length])
    partitions_count, at = _length(frame, at + length, _I32, is_flexible)
    (index,) = _I32.unpack_from(frame, at)
    said_end = at + _I32.size
    records_bytes, at = _length(frame, said_end, _I32, is_flexible)
    end = at + records_bytes
    if acks not in (-1, 1) or count != 1 or partitions_count != 1 or records_bytes < 1:
        return None
    if end > len(frame) or (is_flexible and bytes(frame[end : end + 3]) != bytes(3)):
        return None
    named = topic if version >= FIRST_VERSION_WITH_IDS else topic.decode(errors="replace")
    return version, correlation_id, acks, timeout_ms, named, index, said_at, said_end, at, end


def _length(frame: memoryview, at: int, plain: Struct, is_flexible: bool) -> tuple[int, int]:
    """A length or a number of elements, and the position behind it; -1 where it is not written in
    as few bytes as it needs."""
    if not is_flexible:
        return plain.unpack_from(frame, at)[0], at + plain.size
    found = 0
    for position in range(at, at + _VARINT_BYTES_MAX):
        byte = frame[position]
        found |= (byte & 0x7F) << (7 * (position - at))
        if byte < 0x80:
            return (found - 1 if byte or position == at else -1), position + 1
    return -1, at
