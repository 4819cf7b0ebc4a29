"""Footers: the searches against brute force, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wal_core import Corrupt, Entry
from wal_core.format.footer import Footer, encode_trailer, parse_trailer
from wal_core.format.segment_index import SegmentIndex
from wal_core.format.stream_tables import NO_TIMESTAMP_MS, Run, StreamRow
from wal_core.state.streams import Stream

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
    streams: dict[int, Stream] = {}
    flat: dict[int, list[Run]] = {}
    for number, block in enumerate(blocks):
        index.add_block(100 + number, 50 + number)
        for stream_id, count, timestamp in block:
            stream = streams.setdefault(stream_id, Stream())
            base = stream.confirmed
            entry = Entry(stream_id, base, count, count, timestamp, b"x" * (number + count))
            before = stream.recover(entry.end_offset, entry.max_timestamp_ms, len(entry.payload))
            index.note_entry(stream_id, base, timestamp, before)
            runs = flat.setdefault(stream_id, [])
            if runs and runs[-1].block == number:
                maximum = max(runs[-1].max_timestamp_ms, timestamp)
                runs[-1] = runs[-1]._replace(max_timestamp_ms=maximum)
            else:
                runs.append(Run(stream_id, number, base, timestamp, before))
    rows = [stream.row(stream_id) for stream_id, stream in streams.items()]
    rows.append(StreamRow(77, 5, 9, 4, 12, NO_TIMESTAMP_MS))  # alive, but not in this segment
    footer = Footer(2, 3, 1, index.encode_footer(rows, b"check", 12))
    rows = [
        row._replace(
            segment_max_timestamp_ms=max(
                (run.max_timestamp_ms for run in flat.get(row.stream_id, [])),
                default=NO_TIMESTAMP_MS,
            )
        )
        for row in rows
    ]
    assert (footer.changes, footer.created_ms, footer.segment) == (b"check", 12, 3)
    assert list(footer.streams()) == sorted(rows)
    assert list(footer.all_runs()) == [run for _, own in sorted(flat.items()) for run in own]
    for row in rows:
        assert footer.stream(row.stream_id) == row
    assert footer.stream(76) is None
    assert footer.stream(78) is None
    for view in (index, footer):
        for number in range(len(blocks)):
            position = sum(100 + earlier for earlier in range(number))
            assert view.extent(number) == (position, 100 + number, 50 + number)
        for stream_id in range(6):
            own = flat.get(stream_id, [])
            assert list(view.runs(stream_id)) == own
            assert view.runs(stream_id)[1:3] == own[1:3] or not own
            maxima = [run.max_timestamp_ms for run in own]
            assert list(view.runs(stream_id).maxima(1)) == maxima[1:]
            assert view.max_timestamp_ms(stream_id) == max(maxima, default=NO_TIMESTAMP_MS)


def test_sizes_that_do_not_fit_are_corrupt():
    index = SegmentIndex(0)
    index.add_block(10, 7)
    index.note_entry(1, 0, 5, 0)
    payload = index.encode_footer([StreamRow(1, 0, 1, 5, 7, 5)], b"checkpoint", 0)
    for cut in range(len(payload)):
        with pytest.raises(Corrupt):
            Footer(2, 0, 1, payload[:cut])
    with pytest.raises(Corrupt):
        Footer(2, 0, 1, payload + b"x")
    with pytest.raises(Corrupt):
        Footer(2, 0, 1, b"XXXX" + payload[4:])
    with pytest.raises(Corrupt):
        Footer(2, 0, 1, payload).extent(1)


def test_trailers():
    trailer = encode_trailer(1 << 40, 99)
    assert parse_trailer(trailer) == (1 << 40, 99)
    for at in range(len(trailer)):
        damaged = bytearray(trailer)
        damaged[at] ^= 1
        assert parse_trailer(damaged) is None
        assert parse_trailer(trailer[:at]) is None
