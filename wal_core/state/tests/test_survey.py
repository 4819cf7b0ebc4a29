"""What is alive of a segment: runs that reach beyond the start of their stream."""

from __future__ import annotations

import pytest

from wal_core.errors import Corrupt
from wal_core.format.stream_tables import (
    Run,
    StreamRow,
    StreamTables,
    encode_runs,
    encode_streams,
)
from wal_core.state.survey import LiveRun, live_runs, runs_with_ends

RUNS = [Run(1, 0, 0, 0, 0), Run(1, 2, 10, 0, 40), Run(4, 0, 7, 0, 100), Run(4, 1, 8, 0, 130)]
ROWS = [StreamRow(1, 0, 25, 0, 90, 0), StreamRow(4, 7, 9, 0, 150, 0)]


def tables(rows: list[StreamRow]) -> StreamTables:
    buffer = encode_streams(rows) + encode_runs(RUNS)
    return StreamTables(buffer, 0, len(rows), len(RUNS))


def test_a_run_ends_where_the_next_of_its_stream_begins_or_the_stream_ended():
    assert list(runs_with_ends(tables(ROWS))) == [
        LiveRun(RUNS[0], 10, 40),
        LiveRun(RUNS[1], 25, 50),
        LiveRun(RUNS[2], 8, 30),
        LiveRun(RUNS[3], 9, 20),
    ]


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ({1: 0, 4: 0}, {0: [0, 2], 1: [3], 2: [1]}),
        ({1: 9, 4: 9}, {0: [0], 2: [1]}),  # the last record of the first run is left
        ({1: 10, 4: 8}, {1: [3], 2: [1]}),
        ({4: 0}, {0: [2], 1: [3]}),  # stream 1 was dropped
        ({}, {}),
    ],
)
def test_what_is_alive_goes_by_the_starts(starts: dict[int, int], expected: dict[int, list[int]]):
    found = live_runs(tables(ROWS), starts)
    assert {block: [live.run for live in lives] for block, lives in found.items()} == {
        block: [RUNS[n] for n in numbers] for block, numbers in expected.items()
    }
    assert list(found) == sorted(found)


def test_runs_of_a_stream_without_a_row_are_damage():
    with pytest.raises(Corrupt, match="stream 4 has runs, but no row"):
        list(runs_with_ends(tables(ROWS[:1])))
