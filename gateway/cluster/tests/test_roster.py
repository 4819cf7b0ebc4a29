"""What is read is what is known: void and unreadable records are as good as none."""

from functools import partial

from gateway.cluster.coordination.base import Change, KeyValue, Snapshot
from gateway.cluster.coordination.records import (
    RELEASED,
    ClaimRecord,
    MoveOrder,
    NodeRecord,
    OwnerRecord,
    PauseOrder,
    Record,
    StandingOrder,
    encode,
    key_of,
)
from gateway.cluster.coordination.sight import Course
from gateway.cluster.ownership import Standing
from gateway.cluster.roster import Roster

ROOT = "/woodpecker/c/"
NODE = NodeRecord(1, "a", "h", 1)
OWNER = OwnerRecord(3, 1, "a", 5)


def changed(record: Record, revision: int) -> Change:
    return Change(key_of(ROOT, record), encode(record), revision)


def gone(record: Record, revision: int) -> Change:
    return Change(key_of(ROOT, record), None, revision)


def snapshot(revision: int, *records: Record) -> Snapshot:
    keys = [KeyValue(key_of(ROOT, r), encode(r), 1, revision) for r in records]
    return Snapshot(1, revision, tuple(keys))


def test_an_owner_counts_while_that_start_of_its_node_lives() -> None:
    roster = Roster(ROOT)
    roster.take_all(snapshot(7, NODE, OWNER), 10.0)
    assert roster.living_owner(3) == OWNER
    assert roster.revision(key_of(ROOT, OWNER)) == 7
    roster.take([gone(NODE, 8)], 11.0)
    assert roster.living_owner(3) is None
    roster.take([changed(NodeRecord(1, "b", "h", 1), 9)], 12.0)
    assert roster.living_owner(3) is None
    assert roster.owners[3] == OWNER


def test_tenure_begins_with_an_owner_and_not_with_what_else_is_said_of_it() -> None:
    roster = Roster(ROOT)
    roster.take_all(snapshot(7, NODE, OWNER), 10.0)
    moving = OwnerRecord(3, 1, "a", 5, next_node_id=1)
    roster.take([changed(moving, 8)], 20.0)
    assert roster.for_s(3, 25.0) == 15
    assert roster.heir(3) == 1
    roster.take([changed(OwnerRecord(3, 1, "a", 5, ended=RELEASED, next_node_id=9), 9)], 30.0)
    assert roster.for_s(3, 31.0) == 1
    assert roster.heir(3) is None  # it is not alive


def test_a_lower_term_is_void_and_known_to_be_there() -> None:
    roster = Roster(ROOT)
    roster.take_all(snapshot(7, NODE, OWNER), 10.0)
    roster.take([changed(OwnerRecord(3, 2, "z", 4), 8)], 11.0)
    assert roster.living_owner(3) == OWNER
    assert roster.void == {3: OwnerRecord(3, 2, "z", 4)}
    assert roster.revision(key_of(ROOT, OWNER)) == 8
    roster.take([changed(OWNER, 9)], 12.0)
    assert roster.void == {}
    ways = partial(roster.take, [gone(OWNER, 11)]), partial(roster.take_all, snapshot(12))
    for gone_by in ways:
        roster.take([changed(OwnerRecord(3, 2, "z", 4), 10)], 13.0)
        assert roster.void
        gone_by(14.0)
        assert roster.void == {}


def test_what_is_older_than_our_own_writing_is_passed_over() -> None:
    roster = Roster(ROOT)
    roster.take_all(snapshot(7, NODE), 10.0)
    roster.wrote([changed(OWNER, 9)], 11.0, readings_count=1)
    roster.take([gone(OWNER, 8)], 12.0)
    assert roster.living_owner(3) == OWNER


def test_an_answer_that_comes_after_the_news_brings_nothing_back() -> None:
    roster = Roster(ROOT)
    claim = ClaimRecord(3, 1, "a")
    roster.take_all(snapshot(7, NODE), 10.0)
    roster.take([changed(claim, 8), gone(claim, 9)], 11.0)  # its lease has ended
    roster.wrote([changed(claim, 8)], 12.0, readings_count=1)
    assert roster.claims == {}
    assert roster.revision(key_of(ROOT, claim)) == 0


def test_an_answer_of_before_a_reading_says_nothing_of_what_was_read() -> None:
    roster = Roster(ROOT)
    claim = ClaimRecord(3, 1, "a")
    roster.take_all(snapshot(7, NODE), 10.0)
    roster.take_all(snapshot(2, NODE), 11.0)  # the store was restored
    roster.wrote([changed(claim, 8)], 12.0, readings_count=1)
    assert roster.claims == {}
    roster.wrote([changed(claim, 3)], 13.0, readings_count=2)
    assert roster.claims == {3: claim}


def test_a_new_reading_replaces_everything_but_the_highest_terms() -> None:
    roster = Roster(ROOT)
    claim = ClaimRecord(4, 1, "a")
    roster.take_all(snapshot(7, NODE, OWNER, claim), 10.0)
    assert roster.claimer(4) == 1
    assert roster.take_all(snapshot(6, NODE, OwnerRecord(3, 2, "z", 4)), 11.0) is Course.BACK
    assert roster.claimer(4) is None
    assert roster.owners == {}


def test_what_cannot_be_read_is_absent() -> None:
    roster = Roster(ROOT)
    roster.take_all(snapshot(7, NODE), 10.0)
    roster.take([Change(f"{ROOT}nodes/2", b"{", 8), Change(f"{ROOT}colours/x", b"", 9)], 11.0)
    roster.take([Change(f"{ROOT}colours/x", None, 10)], 12.0)
    assert list(roster.nodes) == [1]


def test_a_store_that_is_behind_what_a_watch_has_brought_went_back() -> None:
    roster = Roster(ROOT)
    roster.take_all(snapshot(7, NODE), 10.0)
    roster.take([changed(OWNER, 12)], 11.0)
    assert roster.take_all(snapshot(11, NODE), 12.0) is Course.BACK
    assert roster.take_all(snapshot(11, NODE), 12.0) is Course.ON


def test_of_what_a_node_says_and_what_is_ordered_the_stricter_holds() -> None:
    roster = Roster(ROOT)
    draining = NodeRecord(2, "b", "h", 1, standing="draining")
    orders = [StandingOrder(1, "cordoned"), StandingOrder(2, "cordoned")]
    roster.take_all(snapshot(7, NODE, draining, *orders), 10.0)
    assert [roster.standing(n) for n in (NODE, draining)] == [Standing.CORDONED, Standing.DRAINING]
    roster.take([gone(order, 8) for order in orders], 11.0)
    assert [roster.standing(n) for n in (NODE, draining)] == [Standing.OPEN, Standing.DRAINING]
    later = NodeRecord(3, "c", "h", 1, standing="resting")  # of a later release
    assert roster.standing(later) is Standing.CORDONED


def test_orders_hold_until_they_are_taken_back() -> None:
    roster = Roster(ROOT)
    roster.take([changed(PauseOrder(), 8), changed(MoveOrder(3, 1), 9)], 11.0)
    assert (roster.is_paused, roster.moves) == (True, {3: MoveOrder(3, 1)})
    roster.take([gone(PauseOrder(), 10), gone(MoveOrder(3, 1), 11)], 12.0)
    assert (roster.is_paused, roster.moves) == (False, {})
    roster.take([changed(PauseOrder(), 12), changed(MoveOrder(3, 1), 13)], 13.0)
    roster.take_all(snapshot(14), 14.0)
    assert (roster.is_paused, roster.moves) == (False, {})
