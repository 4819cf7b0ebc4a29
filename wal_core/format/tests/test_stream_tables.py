"""The packed tables of streams and runs, searched where they lie, against plain lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wal_core.format.stream_tables import (
    NO_RUNS,
    NO_TIMESTAMP_MS,
    Run,
    StreamRow,
    StreamTables,
    encode_runs,
    encode_streams,
    with_maxima,
)

ids = st.sampled_from([0, 1, 5, 1 << 40, (1 << 64) - 1])
contents = st.dictionaries(ids, st.lists(st.integers(-1, 9), max_size=4))


def tables_of(found: dict[int, list[int]]) -> tuple[list[StreamRow], list[Run], StreamTables]:
    """Of each stream the timestamps of its runs, one in each block."""
    runs = [
        Run(stream_id, block, block * 10, time_ms, block * 7)
        for stream_id, times in sorted(found.items())
        for block, time_ms in enumerate(times)
    ]
    rows = [StreamRow(n, 0, 100, 9, 70, 0) for n in sorted(found)]
    rows = with_maxima(rows, runs)
    buffer = b"head" + encode_streams(rows) + encode_runs(runs) + b"rest"
    return rows, runs, StreamTables(buffer, 4, len(rows), len(runs))


@given(contents)
def test_they_answer_as_lists_would(found):
    rows, runs, tables = tables_of(found)
    assert list(tables.streams()) == rows
    assert list(tables.all_runs()) == runs
    assert tables.total_bytes == tables.tables_end + 4
    for stream_id in (0, 1, 2, 5, 1 << 40, (1 << 64) - 1):
        own = [run for run in runs if run.stream_id == stream_id]
        assert tables.stream(stream_id) == next((r for r in rows if r.stream_id == stream_id), None)
        assert list(tables.runs(stream_id)) == own
        assert list(tables.runs(stream_id).maxima(1)) == [r.max_timestamp_ms for r in own][1:]
        most = max((run.max_timestamp_ms for run in own), default=NO_TIMESTAMP_MS)
        assert tables.max_timestamp_ms(stream_id) == most


def test_runs_are_a_sequence():
    _, runs, tables = tables_of({1: [4, 2, 8], 2: [5]})
    found = tables.runs(1)
    assert (len(found), found[2], found[1:]) == (3, runs[2], runs[1:3])
    for wrong in (3, -1):
        with pytest.raises(IndexError):
            found[wrong]
    assert list(NO_RUNS) == []
