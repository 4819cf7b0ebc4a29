"""Runs of records that have all their sizes in common, compared a column at a time.

The bytes of one field of all records of a run lie a record's length apart, so one slice with a
step picks them out, and comparing two slices is a single call however many records there are:
some 20 ns a record, where a loop needs thirty times as long. Exact: a record belongs to a run only
if each byte that says a size, and its offset delta, is the one that the record before it leads to.
"""

import sys
from typing import NamedTuple

from protocol.pieces import Buffer

RUN_COUNT_MIN = 16
"""Fewer are quicker looked at one by one."""

_BLOCK = 8_192  # offsets whose deltas have all bytes but the two lowest in common
_LOW_COUNT = 64  # zigzag doubles: the seven bits of a varint's byte are 64 offsets
# The lowest and the second byte of an offset delta, by its place in a block: with a byte behind it,
# or as the last one.
_LOWEST_OF_MORE = bytes(0x80 | (2 * i) & 0x7F for i in range(_BLOCK))
_LOWEST_LAST = bytes(2 * i for i in range(_LOW_COUNT))
_SECOND_OF_MORE = bytes(0x80 | i // _LOW_COUNT for i in range(_BLOCK))
_SECOND_LAST = bytes(i // _LOW_COUNT for i in range(_BLOCK))

_TIME_BYTES_MAX = 4  # of a timestamp delta: up to a day and a half
_EVEN_LAST = bytes(range(0, 0x80, 2))  # zigzag: even is not negative
_LAST = bytes(range(0x80))
_EVEN_OF_MORE = bytes(range(0x80, 0x100, 2))
_OF_MORE = bytes(range(0x80, 0x100))
_ALL = bytes(range(0x100))


class Layout(NamedTuple):
    """Where the fields of a record lie that was found sound, counted from its own beginning."""

    body: int  # behind the length
    time: int
    offset: int
    key: int  # the length of the key
    key_end: int  # behind that length
    value: int
    value_end: int
    headers: int
    size: int

    @property
    def may_repeat(self) -> bool:
        """Whether a run can follow: no record headers, and a timestamp delta that is not long."""
        return self.headers + 1 == self.size and self.offset - self.time <= _TIME_BYTES_MAX


class Run(NamedTuple):
    """Timestamp deltas are as zigzag has them: even numbers, none negative."""

    records_count: int
    time_low: int
    time_high: int


def room_for_run(layout: Layout, index: int) -> int:
    """How many records from `index` on may be laid out as the one before them: as long as their
    offset deltas take as many bytes, and have all but two of them in common.
    """
    offset_bytes = layout.key - layout.offset
    if (index < _LOW_COUNT) != (offset_bytes == 1) or (index < _BLOCK) != (offset_bytes <= 2):
        return 0
    block = _LOW_COUNT if index < _LOW_COUNT else _BLOCK
    return block - index % block


def run_at(plain: Buffer, at: int, layout: Layout, index: int, count: int) -> Run | None:
    """As many of the `count` records at `at` as are laid out like the one before them and whose
    offset deltas count on from `index`; None if those are few, or a timestamp delta is negative.

    `count` is at most `room_for_run`, `layout.may_repeat` holds.
    """
    step = layout.size
    count = min(count, (len(plain) - at) // step)
    # Most often the length alone shows that there is none.
    few = bytes(plain[at : at + RUN_COUNT_MIN * step : step])
    if few != bytes(plain[at - step : at - step + 1]) * RUN_COUNT_MIN:
        return None
    for first, end in (
        (0, layout.body),
        (layout.key, layout.key_end),
        (layout.value, layout.value_end),
        (layout.headers, step),
    ):
        for position in range(first, end):
            byte = bytes(plain[at - step + position : at - step + position + 1])
            column = bytes(plain[at + position : at + count * step : step])
            if column != byte * count:
                count -= len(column.lstrip(byte))
            if count < RUN_COUNT_MIN:
                return None
    stop = at + count * step
    for position, expected in enumerate(_offset_columns(index, count), layout.offset):
        if bytes(plain[at + position : stop : step]) != expected:
            return None
    columns = [bytes(plain[at + p : stop : step]) for p in range(layout.time, layout.offset)]
    times = _times_range(columns)
    return None if times is None else Run(count, *times)


def _offset_columns(index: int, count: int) -> list[bytes]:
    """The bytes of the varints of `count` offset deltas from `index` on, of one block."""
    if index < _LOW_COUNT:
        return [_LOWEST_LAST[index : index + count]]
    at = index % _BLOCK
    lowest, here = _LOWEST_OF_MORE[at : at + count], slice(at, at + count)
    if index < _BLOCK:
        return [lowest, _SECOND_LAST[here]]
    columns = [lowest, _SECOND_OF_MORE[here]]
    rest = index // _BLOCK
    while rest > 0x7F:
        columns.append(bytes((0x80 | rest & 0x7F,)) * count)
        rest >>= 7
    return [*columns, bytes((rest,)) * count]


def _times_range(columns: list[bytes]) -> tuple[int, int] | None:
    """The least and the greatest of varints of one width, given by their bytes: first the lowest
    of each.
    """
    if len(columns) == 1:
        allowed = [_EVEN_LAST]
    else:
        allowed = [_EVEN_OF_MORE, *[_OF_MORE] * (len(columns) - 2), _LAST]
    if any(c.translate(None, good) for c, good in zip(columns, allowed, strict=True)):
        return None
    low = _extreme(columns, 0)
    high = _extreme(columns, -1)
    if low is None or high is None:
        low, high = _extremes_in_any_order(columns)
    return low, high


def _extreme(columns: list[bytes], which: int) -> int | None:
    """The least (0) or greatest (-1) of them, if all that begin like it lie side by side: as they
    do when times rise. A byte at a time from the highest on, no number is made of the others.
    """
    first, end, value = 0, len(columns[0]), 0
    for column in reversed(columns):
        part = column[first:end]
        byte = _ALL.translate(None, _ALL.translate(None, part))[which]
        at, last = part.index(byte), part.rindex(byte)
        if part.count(byte) != last + 1 - at:
            return None
        first, end = first + at, first + last + 1
        value = value << 7 | byte & 0x7F
    return value


def _extremes_in_any_order(columns: list[bytes]) -> tuple[int, int]:
    """With the last byte as the highest, varints of one width compare as their values do."""
    side_by_side = bytearray(_TIME_BYTES_MAX * len(columns[0]))
    for number, column in enumerate(columns):
        at = number if sys.byteorder == "little" else _TIME_BYTES_MAX - 1 - number
        side_by_side[at::_TIME_BYTES_MAX] = column
    distinct = set(memoryview(side_by_side).cast("I"))
    return _value(min(distinct)), _value(max(distinct))


def _value(varint: int) -> int:
    """Of a varint whose first byte is the lowest of a number."""
    value = shift = 0
    while varint:
        value |= (varint & 0x7F) << shift
        varint >>= 8
        shift += 7
    return value
