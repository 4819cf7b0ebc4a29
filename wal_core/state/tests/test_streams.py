"""Taking entries from a run of them."""

from __future__ import annotations

from wal_core import Entry
from wal_core.state.streams import take


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
