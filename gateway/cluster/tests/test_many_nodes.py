"""The view of one node among others: what it knows better of itself counts."""

from gateway.cluster.coordination.base import Change, KeyValue, Snapshot
from gateway.cluster.coordination.records import (
    NodeRecord,
    OwnerRecord,
    Record,
    encode,
    key_of,
)
from gateway.cluster.many_nodes import ManyNodes
from gateway.cluster.roster import Roster
from gateway.cluster.view import LogOwner, Node

ROOT = "/woodpecker/c/"
ME, OTHER = Node(2, "me", 1), Node(1, "other", 2, "rack")


def view_of(terms: dict[int, int], *records: Record) -> ManyNodes:
    roster = Roster(ROOT)
    keys = [KeyValue(key_of(ROOT, r), encode(r), 1, 1) for r in records]
    roster.take_all(Snapshot(1, 1, tuple(keys)), 0.0)
    return ManyNodes(ME, "me", roster, terms.get)


def test_nodes_are_those_alive_and_this_one() -> None:
    view = view_of({}, NodeRecord(1, "a", "other", 2, rack="rack"))
    assert view.nodes == [OTHER, ME]
    assert (view.me, view.node(2), view.node(1), view.node(3)) == (ME, ME, OTHER, None)
    assert view.controller is None


def test_owners_are_those_alive_unless_this_node_knows_of_a_higher_term() -> None:
    node = NodeRecord(1, "a", "other", 2, rack="rack")
    owners = [OwnerRecord(log, 1, "a", 5) for log in (0, 1, 2)]
    view = view_of({1: 4, 2: 6, 3: 1}, node, *owners, OwnerRecord(4, 2, "me", 9))
    assert view.owner(0) == LogOwner(1, 5)
    assert view.controller == OTHER
    assert view.owner(1) == LogOwner(1, 5)  # ours is fenced, and does not know it yet
    assert view.owner(2) == LogOwner(2, 6)  # the other is, and does not know it yet
    assert view.owner(3) == LogOwner(2, 1)  # not written down yet
    assert view.owner(4) is None  # written down, and not open any more
    assert view.owner(5) is None


def test_who_has_told_its_own_term_tells_no_older_owner_once_it_has_lost_the_log() -> None:
    """It was fenced before it could write down that it had the log: a fourth has it by now."""
    terms = {0: 3}
    view = view_of(terms, NodeRecord(1, "a", "other", 2, rack="rack"))
    assert view.owner(0) == LogOwner(2, 3)
    del terms[0]
    late, next_one = OwnerRecord(0, 1, "a", 2), OwnerRecord(0, 1, "a", 4)
    view._roster.take([Change(key_of(ROOT, late), encode(late), 2)], 0.0)
    assert view.owner(0) is None
    view._roster.take([Change(key_of(ROOT, next_one), encode(next_one), 3)], 0.0)
    assert view.owner(0) == LogOwner(1, 4)


def test_an_owner_that_was_read_before_ones_own_term_was_told_is_not_told_after_it() -> None:
    terms: dict[int, int] = {}
    view = view_of(terms, NodeRecord(1, "a", "other", 2, rack="rack"), OwnerRecord(0, 1, "a", 2))
    assert view.owner(0) == LogOwner(1, 2)
    terms[0] = 3
    assert view.owner(0) == LogOwner(2, 3)
    del terms[0]
    assert view.owner(0) is None


def test_whoever_watches_is_told() -> None:
    view, told = view_of({}), []
    view.watch(lambda: told.append(1))
    view.changed()
    assert told == [1]
