"""Whether the records of a batch are what its header says, and what their times are.

Every record is looked at, none becomes an object: its length, its offset delta (0, 1, 2 ...), its
timestamp, and that key, value and record headers fill it exactly. Compiled help (_records.c), where
it was built, goes ahead up to the first record with anything wrong about it. Without it, records of
the same sizes, as most producers send them one behind the other, are compared by columns
(record_runs); each other one takes about half a microsecond. The work is done in steps, so that a
caller on an event loop can do other things between them. Layout: see record_batch. What is refused,
and with which codes, follows Kafka's LogValidator and DefaultRecord.
"""

from typing import NamedTuple

from protocol.batch_header import HEADER_BYTES, BatchError, BatchHeader
from protocol.compiled import compiled
from protocol.compression import NONE, CompressionError, PlainTooLarge, decompress
from protocol.error_codes import ErrorCode
from protocol.pieces import Buffer
from protocol.record_runs import RUN_COUNT_MIN, Layout, room_for_run, run_at

RECORD_BYTES_MIN = 7
"""Length, attributes, timestamp, offset, key, value and headers: at least a byte each."""
FAULTS_TOLD_COUNT = 100
"""Records that a refusal names one by one."""
NO_TIMESTAMP = -1
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
COMPILED = compiled("protocol._records")
"""None: all is done here."""

# Smaller ones on average are copied first: bytes are read faster than a view.
_COPIED_RECORD_BYTES_MAX = 512
_COPIED_BYTES_MAX = 4 << 20  # a millisecond or two
_VARINT_BYTES_MAX = 5
_VARLONG_BYTES_MAX = 10
_NEVER_FITS = 1 << 80  # what a longer varint is read as
_PAUSE_MAX_COUNT = 64  # records without a try, where no try has been successful
_RUN_RECORDS_A_UNIT = 32  # a record of a run costs so much less
_COMPILED_RECORDS_A_UNIT = 32  # one that compiled code looks at, likewise


class RecordRules(NamedTuple):
    """What a topic asks of each record. One without a time (-1) is taken whatever these say."""

    timestamp_min_ms: int = INT64_MIN
    timestamp_max_ms: int = INT64_MAX
    needs_keys: bool = False


ANY_RECORDS = RecordRules()


class _Unsound(Exception):
    """Of a record; the index is added where it is known."""

    is_of_record = False


class _WrongOffset(_Unsound):
    is_of_record = True  # the rest of the batch can be read: Kafka names the record (KIP-467)


def check_records(
    batch: Buffer, header: BatchHeader, bytes_max: int, rules: RecordRules = ANY_RECORDS
) -> int:
    """The greatest timestamp of the records of a batch that `validate_batch` took, at least -1.

    In one go; a RecordCheck does the same in steps. Raises BatchError: CORRUPT_MESSAGE for what
    does not decompress, MESSAGE_TOO_LARGE for more than `bytes_max` decompressed, INVALID_RECORD
    for records that are not what they say or have no key where one is needed, INVALID_TIMESTAMP
    when all that is wrong are times that the rules exclude.
    """
    check = RecordCheck(header, plain_records(batch, header, bytes_max), rules)
    while not check.is_done:
        check.step(header.record_count)
    return check.max_timestamp_ms


def plain_records(batch: Buffer, header: BatchHeader, bytes_max: int) -> Buffer:
    """What follows the header, decompressed. Raises BatchError as `check_records` does."""
    packed = memoryview(batch)[HEADER_BYTES : header.total_bytes]
    if header.codec == NONE:
        return packed
    if header.record_count > bytes_max // RECORD_BYTES_MIN:
        raise BatchError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"{header.record_count} records take more than {bytes_max} bytes decompressed",
        )
    try:
        return decompress(header.codec, packed, bytes_max)
    except PlainTooLarge:
        raise BatchError(
            ErrorCode.MESSAGE_TOO_LARGE, f"more than {bytes_max} bytes decompressed"
        ) from None
    except CompressionError as error:
        raise BatchError(ErrorCode.CORRUPT_MESSAGE, f"does not decompress: {error}") from None


class RecordCheck:
    """One batch under check. All records below `_index` are sound, the next one begins at `_at`."""

    def __init__(self, header: BatchHeader, plain: Buffer, rules: RecordRules) -> None:
        """Raises BatchError for a count that cannot be."""
        self._count = header.record_count
        if self._count * RECORD_BYTES_MIN > len(plain):
            raise BatchError(
                ErrorCode.INVALID_RECORD, f"{self._count} records do not fit {len(plain)} bytes"
            )
        self._base_ms = header.base_timestamp_ms
        self._rules = rules
        copied_bytes_max = min(_COPIED_BYTES_MAX, self._count * _COPIED_RECORD_BYTES_MAX)
        is_copied = COMPILED is None and len(plain) < copied_bytes_max
        self._plain = bytes(plain) if is_copied else memoryview(plain)
        self._index = self._at = 0
        self._layout = Layout(*[0] * len(Layout._fields))  # of the last record
        self._pause_count = 1
        self._faults: list[tuple[int, str]] = []
        self._faults_count = self._keyless_count = 0
        self.max_timestamp_ms = NO_TIMESTAMP
        self.is_done = False

    def step(self, units: int) -> int:
        """Look at about as many records, many more where that is cheap; returns the units it took.
        Raises BatchError as `check_records` does.
        """
        used = 0
        while self._index < self._count and used < units:
            if COMPILED is not None:
                used += self._take_sound((units - used) * _COMPILED_RECORDS_A_UNIT)
                continue
            count = min(units - used, self._pause_count, self._count - self._index)
            self._walk(self._index + count)
            used += count
            used += self._take_runs(units - used)
        if self._index == self._count:
            self._end()
        return used

    def _take_sound(self, count_max: int) -> int:
        """Have compiled code go ahead. Where it stops is a fault, or what it leaves to others."""
        assert COMPILED is not None
        first, stop = self._index, min(self._index + count_max, self._count)
        self._index, self._at, self.max_timestamp_ms = COMPILED.sound(
            self._plain, self._at, first, stop, self._base_ms, *self._rules, self.max_timestamp_ms
        )
        used = 1 + (self._index - first) // _COMPILED_RECORDS_A_UNIT
        if self._index < stop:
            self._walk(self._index + 1)
            used += 1
        return used

    def _end(self) -> None:
        if self._at != len(self._plain):
            raise BatchError(
                ErrorCode.INVALID_RECORD,
                f"{len(self._plain) - self._at} bytes lie behind the last of {self._count} records",
            )
        if self._faults_count:
            raise self._refused()
        self.is_done = True

    # One after the other

    def _walk(self, stop: int) -> None:  # noqa: PLR0912, PLR0915 - calls would double its time
        """The hot loop: most varints of one and two bytes are read in place."""
        plain, index, at = self._plain, self._index, self._at
        size_bytes = len(plain)
        needs_keys = self._rules.needs_keys
        last_time = None
        try:
            while index < stop:
                start = at
                raw, body = plain[at], at + 1
                if raw > 0x7F:
                    more = plain[body]
                    if more > 0x7F:
                        raw, body = _uvarint(plain, at)
                    else:
                        raw, body = raw + (more << 7) - 0x80, body + 1
                end = body + (raw >> 1)
                if raw & 1 or end > size_bytes:
                    raise _Unsound(f"a length of {_signed(raw)} does not fit")
                time = body + 1  # behind the attributes, which mean nothing yet
                raw, offset = plain[time], time + 1
                if raw > 0x7F:
                    raw, offset = _uvarint(plain, time, _VARLONG_BYTES_MAX)
                if raw != last_time:
                    last_time = self._note_time(raw, index)
                raw, key = plain[offset], offset + 1
                if raw > 0x7F:
                    more = plain[key]
                    if more > 0x7F:
                        raw, key = _uvarint(plain, offset)
                    else:
                        raw, key = raw + (more << 7) - 0x80, key + 1
                if raw != index << 1:
                    raise _WrongOffset(f"its offset delta is {_signed(raw)}")
                raw, key_end = plain[key], key + 1
                if raw > 0x7F:
                    raw, key_end = _uvarint(plain, key)
                value = key_end + (raw >> 1)
                if raw & 1:
                    value = key_end if raw == 1 else _null(raw, key_end)
                    if needs_keys:
                        self._note_keyless(index)
                raw, value_end = plain[value], value + 1
                if raw > 0x7F:
                    more = plain[value_end]
                    if more > 0x7F:
                        raw, value_end = _uvarint(plain, value)
                    else:
                        raw, value_end = raw + (more << 7) - 0x80, value_end + 1
                headers = _null(raw, value_end) if raw & 1 else value_end + (raw >> 1)
                at = _behind_headers(plain, headers, end) if plain[headers] else headers + 1
                if at != end:
                    raise _Unsound(f"its fields end {at - end} bytes behind its own end")
                index += 1
        except IndexError:
            raise _refusal(index, "the batch ends inside of it") from None
        except _Unsound as error:
            raise _refusal(index, str(error), is_of_record=error.is_of_record) from None
        self._index, self._at = index, at
        self._layout = Layout(
            body - start,
            time - start,
            offset - start,
            key - start,
            key_end - start,
            value - start,
            value_end - start,
            headers - start,
            at - start,
        )

    def _note_time(self, raw: int, index: int) -> int | None:
        """Returns what needs no further look in the next record."""
        timestamp_ms = self._base_ms + _signed(raw)
        if not INT64_MIN <= timestamp_ms <= INT64_MAX:
            raise _Unsound(f"its timestamp {timestamp_ms} is not an int64")
        self.max_timestamp_ms = max(self.max_timestamp_ms, timestamp_ms)
        if timestamp_ms == NO_TIMESTAMP or self._takes(timestamp_ms):
            return raw
        least_ms, most_ms, _ = self._rules
        self._note_fault(index, f"timestamp {timestamp_ms} is not between {least_ms} and {most_ms}")
        return None

    def _takes(self, timestamp_ms: int) -> bool:
        return self._rules.timestamp_min_ms <= timestamp_ms <= self._rules.timestamp_max_ms

    # Many at once

    def _take_runs(self, units: int) -> int:
        """Go on by runs as long as there are any; returns the units it took."""
        used = 0
        while used < units and self._layout.may_repeat:
            count = min(room_for_run(self._layout, self._index), self._count - self._index)
            if count < RUN_COUNT_MIN:
                self._pause_count = max(1, count + 1)  # up to where the layout changes
                return used
            taken_count = self._take_run(count)
            used += 1 + taken_count // _RUN_RECORDS_A_UNIT
            if not taken_count:
                self._pause_count = min(2 * self._pause_count, _PAUSE_MAX_COUNT)
                return used
            self._pause_count = 1
        return used

    def _take_run(self, count: int) -> int:
        layout = self._layout
        if self._rules.needs_keys and layout.value == layout.key_end:
            return 0
        run = run_at(self._plain, self._at, layout, self._index, count)
        if run is None:
            return 0
        high_ms = self._base_ms + (run.time_high >> 1)
        if not (self._takes(self._base_ms + (run.time_low >> 1)) and self._takes(high_ms)):
            return 0  # each of them is named
        self.max_timestamp_ms = max(self.max_timestamp_ms, high_ms)
        self._index += run.records_count
        self._at += run.records_count * layout.size
        return run.records_count

    # What is wrong

    def _note_keyless(self, index: int) -> None:
        self._keyless_count += 1
        self._note_fault(index, "a compacted topic takes no record without a key")

    def _note_fault(self, index: int, reason: str) -> None:
        self._faults_count += 1
        if len(self._faults) < FAULTS_TOLD_COUNT:
            self._faults.append((index, reason))

    def _refused(self) -> BatchError:
        code = ErrorCode.INVALID_RECORD if self._keyless_count else ErrorCode.INVALID_TIMESTAMP
        index, reason = self._faults[0]
        return BatchError(
            code,
            f"{self._faults_count} records are refused, record {index} first: {reason}",
            self._faults,
        )


def _refusal(index: int, reason: str, *, is_of_record: bool = False) -> BatchError:
    faults = ((index, reason),) if is_of_record else ()
    return BatchError(ErrorCode.INVALID_RECORD, f"record {index}: {reason}", faults)


def _uvarint(plain: Buffer, at: int, bytes_max: int = _VARINT_BYTES_MAX) -> tuple[int, int]:
    """The number, and the position behind it. IndexError where the bytes end."""
    raw = shift = 0
    for position in range(at, at + bytes_max):
        byte = plain[position]
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            return raw, position + 1
        shift += 7
    return _NEVER_FITS, at + bytes_max


def _signed(raw: int) -> int:
    return (raw >> 1) ^ -(raw & 1)


def _null(raw: int, end: int) -> int:
    """The end of a field whose length is negative."""
    if raw != 1:
        raise _Unsound(f"a length of {_signed(raw)}")
    return end


def _behind_headers(plain: Buffer, at: int, end: int) -> int:
    raw, at = _uvarint(plain, at)
    if raw & 1 or raw >> 1 > end - at:
        raise _Unsound(f"{_signed(raw)} record headers do not fit")
    for _ in range(raw >> 1):
        name, at = _uvarint(plain, at)
        if name & 1:
            raise _Unsound("a record header has no name")
        content, at = _uvarint(plain, at + (name >> 1))
        at = _null(content, at) if content & 1 else at + (content >> 1)
        if at > end:
            raise _Unsound("its record headers reach beyond its end")
    return at
