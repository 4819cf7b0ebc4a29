"""Offsets of a stream, and taking entries from a run of them."""

from __future__ import annotations

import pytest

from wal_core import Entry, Invalid
from wal_core.format.stream_tables import Run
from wal_core.state.streams import Stream, take


def test_take_gives_one_at_least_and_no_more_than_fits():
    entries = [Entry(0, n, 1, 1, 0, bytes(10)) for n in range(5)]
    for bytes_max, count in ((0, 1), (9, 1), (10, 1), (19, 1), (20, 2), (35, 3), (1000, 5)):
        assert len(take(entries, 0, bytes_max, 5)) == count
    assert take(entries, 3, 1000, 5) == entries[3:]
    assert take(entries, 1, 1000, 2) == entries[1:3]


def test_take_stops_where_entries_lie_elsewhere():
    entries = [Entry(0, n, 2, 2, 0, bytes(10)) for n in (0, 2, 6, 8)]
    assert take(entries, 0, 1000, 5) == entries[:2]
    assert take(entries, 2, 1000, 5) == entries[2:]


def test_offsets_are_assigned_in_order_and_confirmed_up_to_there():
    stream = Stream()
    stream.assign(Entry(0, 0, 3, 2, 7, b"x"))
    assert (stream.confirmed, stream.end) == (0, 3)
    for base_offset, span, count in ((2, 1, 1), (4, 1, 1), (3, 0, 0), (3, 1, 2), (3, 1 << 32, 1)):
        with pytest.raises(Invalid):
            stream.assign(Entry(0, base_offset, span, count, 7, b"x"))
    assert stream.end == 3
    with pytest.raises(AssertionError):
        stream.confirm(4, 7, 1)  # was never appended
    assert stream.confirm(3, 7, 1) == 0
    with pytest.raises(AssertionError):
        stream.confirm(3, 7, 1)  # was confirmed
    assert (stream.confirmed, stream.payload_bytes, stream.max_ts_ms) == (3, 1, 7)
    stream.skip(9)
    assert (stream.confirmed, stream.end) == (9, 9)
    with pytest.raises(AssertionError):
        stream.skip(9)


def test_what_is_known_of_the_first_run_is_of_the_start_it_was_looked_up_for():
    stream = Stream(0, 10)
    run = Run(0, 0, 0, 5, 0)
    stream.note_first_run(0, run)
    stream.note_first_max(0, 5)
    assert (stream.first_run, stream.first_max_ms) == (run, 5)
    stream.truncate(4)
    assert (stream.first_run, stream.first_max_ms) == (None, None)
    stream.note_first_run(0, run)
    stream.note_first_max(0, 5)
    assert (stream.first_run, stream.first_max_ms) == (None, None)
