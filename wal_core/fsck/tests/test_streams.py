"""Offsets over all segments: gaps, overlaps, and what nobody misses."""

import pytest

from wal_core.fsck.findings import Finding, Kind, LogReport, Records
from wal_core.fsck.streams import StreamCheck


def check(starts: dict[int, int]) -> tuple[StreamCheck, LogReport]:
    report = LogReport(1)
    return StreamCheck(starts, report), report


def told(report: LogReport) -> list[tuple[Kind, str, list[Records]]]:
    return [(found.kind, found.place, found.records) for found in report.findings]


def test_runs_that_follow_each_other_are_sound() -> None:
    streams, report = check({1: 5, 2: 0})
    streams.run(1, 3, 7, "a")  # what lies below the start may still be there
    streams.run(2, 0, 1, "a")
    streams.run(1, 7, 9, "b")
    streams.end(1, 9, "b")
    assert told(report) == []
    assert streams.streams() == {1: Records(1, 5, 9), 2: Records(2, 0, 1)}


def test_a_gap_is_told_where_the_next_records_are() -> None:
    streams, report = check({1: 0})
    streams.run(1, 0, 4, "a")
    streams.run(1, 6, 8, "b")
    streams.end(1, 9, "c")
    assert told(report) == [
        (Kind.GAP, "b", [Records(1, 4, 6)]),
        (Kind.GAP, "c", [Records(1, 8, 9)]),
    ]
    assert streams.streams() == {1: Records(1, 0, 9)}


def test_records_below_the_start_are_missed_by_nobody() -> None:
    streams, report = check({1: 5})
    streams.run(1, 0, 2, "a")
    streams.run(1, 5, 8, "b")
    assert told(report) == []


def test_an_overlap_names_what_is_there_twice() -> None:
    streams, report = check({1: 0})
    streams.run(1, 0, 4, "a")
    streams.run(1, 2, 3, "b")
    streams.run(1, 4, 5, "c")
    streams.end(1, 3, "d")
    assert told(report) == [
        (Kind.OVERLAP, "b", [Records(1, 2, 3)]),
        (Kind.OVERLAP, "d", [Records(1, 3, 5)]),
    ]


def test_what_is_missing_is_put_down_to_the_first_hole_since() -> None:
    streams, report = check({1: 0, 2: 0})
    streams.run(1, 0, 2, "a")
    holes = [Finding(Kind.DAMAGED, place, "") for place in ("h1", "h2")]
    streams.hole(holes[0])
    streams.run(2, 3, 5, "b")
    streams.hole(holes[1])
    streams.run(1, 4, 5, "c")
    streams.run(2, 6, 7, "c")
    assert told(report) == []
    assert holes[0].records == [Records(2, 0, 3), Records(1, 2, 4)]
    assert holes[1].records == [Records(2, 5, 6)]
    streams.run(1, 9, 10, "d")  # behind both: they are no excuse any more
    assert told(report) == [(Kind.GAP, "d", [Records(1, 5, 9)])]


def test_a_stream_that_a_sealed_segment_forgot_was_dropped() -> None:
    streams, report = check({1: 0, 2: 0})
    streams.run(1, 0, 4, "a")
    streams.alive({2})
    streams.run(1, 9, 10, "b")
    streams.run(1, 20, 21, "c", known=False)
    assert told(report) == []
    assert streams.streams() == {2: Records(2, 0, 0)}


@pytest.mark.parametrize(("first", "alive"), [(0, True), (3, False)])
def test_one_that_a_sealed_segment_never_knew_is_younger_or_gone(first: int, alive: bool) -> None:
    streams, report = check({1: 0})
    streams.alive(())
    streams.run(1, first, 5, "a")
    assert told(report) == []
    assert streams.streams() == ({1: Records(1, 0, 5)} if alive else {})


def test_a_stream_that_is_newer_than_every_table() -> None:
    streams, report = check({})
    streams.run(7, 0, 2, "a")  # a table knows it not: it was dropped
    assert streams.streams() == {}
    streams.run(8, 0, 2, "a", known=False)
    streams.run(8, 3, 4, "b", known=False)
    assert told(report) == [(Kind.GAP, "b", [Records(8, 2, 3)])]


def test_clients_miss_what_lies_above_the_start_of_streams_that_live() -> None:
    streams, _ = check({1: 5, 2: 0})
    records = [Records(2, 4, 6), Records(1, 0, 5), Records(2, 0, 4), Records(1, 3, 7)]
    records += [Records(2, 9, 10), Records(3, 0, 1)]
    expected = [Records(1, 5, 7), Records(2, 0, 6), Records(2, 9, 10)]
    assert streams.readable(records) == expected
