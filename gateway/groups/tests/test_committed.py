"""The table of committed offsets counts right and forgets empty groups."""

from __future__ import annotations

from gateway.groups.budget import StateBudget
from gateway.groups.committed import CommittedOffset, CommittedOffsets, offset_bytes


def at(offset: int) -> CommittedOffset:
    return CommittedOffset(offset, -1, "", 0)


def make() -> tuple[CommittedOffsets, StateBudget]:
    budget = StateBudget(1_000_000)
    return CommittedOffsets(budget), budget


def test_put_remove_count():
    table, _ = make()
    table.put("g", "h", {("t", 0): at(1), ("t", 1): at(2)})
    table.put("g", "h", {("t", 1): at(3)})
    table.put("h", "h", {("u", 0): at(4)})
    table.put("empty", "h", {})
    assert (table.count, table.groups_count, set(table.group_ids())) == (3, 2, {"g", "h"})
    assert dict(table.of("g")) == {("t", 0): at(1), ("t", 1): at(3)}
    assert (table.get("g", "t", 1), table.get("g", "t", 2)) == (at(3), None)
    table.remove("g", [("t", 0), ("t", 9), ("v", 0)])
    table.remove("nobody", [("t", 0)])
    assert (table.count, table.count_of("g")) == (2, 1)
    table.remove("g", [("t", 1)])
    assert "g" not in table
    assert list(table.of("g")) == []


def test_topics_know_their_groups():
    table, _ = make()
    table.put("g", "h", {("t", 0): at(1), ("u", 1): at(2)})
    table.put("h", "h", {("t", 5): at(4)})
    assert (table.groups_of("t"), table.groups_of("u"), table.groups_of("none")) == (
        ["g", "h"],
        ["g"],
        [],
    )
    assert (table.partitions_of("h", "t"), table.partitions_of("x", "t")) == ([5], [])
    assert table.topics() == ["t", "u"]
    table.remove("g", [("t", 0)])
    table.remove("h", [("t", 5)])
    assert (table.groups_of("t"), table.topics()) == ([], ["u"])


def test_whoever_committed_first_answers_for_a_groups_memory():
    table, budget = make()
    table.put("g", "one", {("t", 0): at(1)})
    table.put("g", "two", {("t", 0): CommittedOffset(1, -1, "text", 0), ("t", 1): at(2)})
    used_bytes = 2 * offset_bytes("g", "t", at(1)) + 2 * len("text")
    assert (budget.used_bytes, table.bytes_of("g")) == (used_bytes, used_bytes)
    assert budget._used_by == {"one": used_bytes}
    table.remove("g", [("t", 0), ("t", 1)])
    assert (budget.used_bytes, budget._used_by, table.bytes_of("g")) == (0, {}, 0)
