"""Runs of records by their columns, against each record by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.record_runs import RUN_COUNT_MIN, Layout, Run, room_for_run, run_at

KEY, VALUE = b"key", b"some value"


def varint(number: int) -> bytes:
    """Zigzag, of a number that is not negative or a small one that is."""
    left, out = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        out.append(0x80 | left & 0x7F)
        left >>= 7
    return bytes((*out, left))


def record(index: int, time_delta: int, value: bytes = VALUE) -> bytes:
    body = b"\0" + varint(time_delta) + varint(index)
    body += varint(len(KEY)) + KEY + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def layout_of(index: int, time_delta: int) -> Layout:
    whole = record(index, time_delta)
    time = 2  # behind a length of one byte and the attributes
    offset = time + len(varint(time_delta))
    key = offset + len(varint(index))
    value = key + 1 + len(KEY)
    headers = value + 1 + len(VALUE)
    return Layout(1, time, offset, key, key + 1, value, value + 1, headers, len(whole))


def run_of(first: int, times: list[int]) -> tuple[Run | None, int]:
    """Of the records behind the one at `first`, and how many there may be."""
    plain = b"".join(record(first + n, time) for n, time in enumerate(times))
    layout = layout_of(first, times[0])
    assert layout.may_repeat
    count = min(room_for_run(layout, first + 1), len(times) - 1)
    return run_at(plain, layout.size, layout, first + 1, count), count


@given(
    st.sampled_from([0, 5, 62, 64, 1_000, 8_190, 8_192, 100_000, 3_000_000]),
    st.lists(st.integers(64, 8_191), min_size=RUN_COUNT_MIN + 1, max_size=120),
)
def test_a_run_is_as_long_as_there_is_room_and_knows_its_times(first: int, times: list[int]):
    run, count = run_of(first, times)
    if count < RUN_COUNT_MIN:
        assert run is None or run.records_count == count
        return
    wanted = [2 * time for time in times[1 : count + 1]]
    assert run == Run(count, min(wanted), max(wanted))


@pytest.mark.parametrize("time_delta", [0, 63, 64, 8_192, 1 << 20])
def test_times_of_any_width_that_may_repeat(time_delta: int):
    run, count = run_of(100, [time_delta] * 60)
    assert run == Run(count, 2 * time_delta, 2 * time_delta)


def test_a_time_before_that_of_the_batch_ends_it():
    times = [5] * 40
    times[20] = -1
    assert run_of(100, times)[0] is None


def test_any_other_byte_that_says_a_size_ends_the_run_there():
    count = 60
    plain = b"".join(record(100 + n, 70) for n in range(count))
    layout = layout_of(100, 70)
    for position in (0, layout.key, layout.value, layout.headers):
        changed = bytearray(plain)
        changed[40 * layout.size + position] ^= 1
        run = run_at(bytes(changed), layout.size, layout, 101, count - 1)
        assert run is not None
        assert run.records_count == 39
    # What is in keys and values is nobody's business.
    changed = bytearray(plain)
    changed[40 * layout.size + layout.key_end] ^= 1
    run = run_at(bytes(changed), layout.size, layout, 101, count - 1)
    assert run is not None
    assert run.records_count == count - 1


@pytest.mark.parametrize("wrong", [20, 59])
def test_an_offset_that_does_not_count_on_is_no_run(wrong: int):
    records = [record(100 + n, 70) for n in range(60)]
    records[wrong] = record(100 + wrong + 1, 70)
    layout = layout_of(100, 70)
    assert run_at(b"".join(records), layout.size, layout, 101, 59) is None


@pytest.mark.parametrize(
    ("index", "room"), [(1, 63), (63, 1), (64, 8_128), (8_191, 1), (8_192, 8_192), (20_000, 4_576)]
)
def test_there_is_room_while_all_but_two_bytes_of_the_offset_stay(index: int, room: int):
    assert room_for_run(layout_of(index, 0), index) == room


def test_where_the_width_of_the_offset_changes_there_is_none():
    assert room_for_run(layout_of(63, 0), 64) == 0
    assert room_for_run(layout_of(8_191, 0), 8_192) == 0
