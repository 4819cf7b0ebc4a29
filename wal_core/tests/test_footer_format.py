"""Footers: the searches against brute force, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wal_core import Corrupt
from wal_core.footer_format import (
    NO_TIMESTAMP_MS,
    Footer,
    StreamRow,
    encode_trailer,
    parse_trailer,
)
from wal_core.segment_index import SegmentIndex

# Per block: (stream, record count, timestamp) of each entry.
segments = st.lists(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(-1, 9)), min_size=1, max_size=6
    ),
    max_size=8,
)


@given(segments)
def test_index_and_footer_answer_as_a_scan_would(blocks):
    index = SegmentIndex(3)
    ends: dict[int, int] = {}
    maxima: dict[int, int] = {}
    flat = []  # (stream, base, end, running maximum, block)
    for number, block in enumerate(blocks):
        index.add_block(100 + number)
        for stream, count, timestamp in block:
            base = ends.get(stream, 0)
            ends[stream] = base + count
            maxima[stream] = max(maxima.get(stream, NO_TIMESTAMP_MS), timestamp)
            index.note_entry(stream, base, ends[stream], maxima[stream])
            flat.append((stream, base, ends[stream], maxima[stream], number))
    rows = [StreamRow(stream, 0, end, maxima[stream]) for stream, end in ends.items()]
    rows.append(StreamRow(77, 5, 9, 4))  # alive, but not in this segment
    footer = Footer(3, 1, index.encode_footer(rows, b"check", 12))
    assert (footer.checkpoint, footer.created_ms, footer.segment) == (b"check", 12, 3)
    assert list(footer.streams()) == sorted(rows)
    assert footer.end_offset(77) == 9
    for view in (index, footer):
        for number in range(len(blocks)):
            position = sum(100 + earlier for earlier in range(number))
            assert view.extent(number) == (position, 100 + number)
        for stream in range(6):
            own = [row for row in flat if row[0] == stream]
            assert view.end_offset(stream) == ends.get(stream, 0)
            assert view.max_timestamp_ms(stream) == maxima.get(stream, NO_TIMESTAMP_MS)
            for offset in range(ends.get(stream, 0)):
                first = next(row[4] for row in own if row[2] > offset)
                expected = sorted({row[4] for row in own if row[4] >= first})
                assert list(view.blocks_from(stream, offset)) == expected
            for timestamp in range(-1, 11):
                expected = next((row[4] for row in own if row[3] >= timestamp), None)
                assert view.block_of_timestamp(stream, timestamp) == expected


def test_sizes_that_do_not_fit_are_corrupt():
    index = SegmentIndex(0)
    index.add_block(10)
    index.note_entry(1, 0, 1, 5)
    payload = index.encode_footer([StreamRow(1, 0, 1, 5)], b"checkpoint", 0)
    for cut in range(len(payload)):
        with pytest.raises(Corrupt):
            Footer(0, 1, payload[:cut])
    with pytest.raises(Corrupt):
        Footer(0, 1, payload + b"x")
    with pytest.raises(Corrupt):
        Footer(0, 1, b"XXXX" + payload[4:])
    with pytest.raises(Corrupt):
        Footer(0, 1, payload).extent(1)


def test_trailers():
    trailer = encode_trailer(1 << 40, 99)
    assert parse_trailer(trailer) == (1 << 40, 99)
    for at in range(len(trailer)):
        damaged = bytearray(trailer)
        damaged[at] ^= 1
        assert parse_trailer(damaged) is None
        assert parse_trailer(trailer[:at]) is None
