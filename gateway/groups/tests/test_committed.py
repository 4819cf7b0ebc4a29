"""The table of committed offsets counts right and forgets empty groups."""

from __future__ import annotations

from gateway.groups.committed import CommittedOffset, CommittedOffsets


def at(offset: int) -> CommittedOffset:
    return CommittedOffset(offset, -1, "", 0)


def test_put_remove_count():
    table = CommittedOffsets()
    table.put("g", {("t", 0): at(1), ("t", 1): at(2)})
    table.put("g", {("t", 1): at(3)})
    table.put("h", {("u", 0): at(4)})
    table.put("empty", {})
    assert (table.count, table.groups_count, set(table.group_ids())) == (3, 2, {"g", "h"})
    assert table.of("g") == {("t", 0): at(1), ("t", 1): at(3)}
    table.remove("g", [("t", 0), ("t", 9)])
    table.remove("nobody", [("t", 0)])
    assert table.count == 2
    table.remove("g", [("t", 1)])
    assert "g" not in table
    assert table.of("g") == {}


def test_of_topic():
    table = CommittedOffsets()
    table.put("g", {("t", 0): at(1), ("u", 1): at(2)})
    table.put("h", {("t", 5): at(4)})
    assert dict(table.of_topic("t")) == {"g": [("t", 0)], "h": [("t", 5)]}
    assert table.of_topic("none") == []
