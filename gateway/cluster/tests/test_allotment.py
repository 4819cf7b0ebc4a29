"""Which logs a node may take, by what it sees."""

from __future__ import annotations

from collections.abc import Collection

from gateway.cluster.allotment import FOREIGN_S, Allotment
from gateway.cluster.coordination.base import KeyValue, Snapshot
from gateway.cluster.coordination.records import (
    FENCED,
    RELEASED,
    NodeRecord,
    OwnerRecord,
    Record,
    encode,
    key_of,
)
from gateway.cluster.ownership import MoveRules
from gateway.cluster.roster import Roster
from gateway.cluster.settling import Settling

ROOT = "/woodpecker/c/"
ME, OTHER = NodeRecord(1, "a", "h", 1), NodeRecord(2, "b", "h", 1)
LOG = 3
SETTLE_S = 10.0


class _NothingServed:
    def log_ids(self) -> Collection[int]:
        return [LOG]

    def term_of(self, log_id: int) -> int | None:
        return None


def _may_claim(now_s: float, *records: Record) -> bool:
    """Node 1, which has seen these since 0."""
    roster, settling = Roster(ROOT), Settling(SETTLE_S)
    keys = [KeyValue(key_of(ROOT, r), encode(r), 1, 7) for r in records]
    roster.take_all(Snapshot(1, 7, tuple(keys)), 0.0)
    settling.begin(0.0)
    allotment = Allotment(
        1, roster, _NothingServed(), settling, rules=MoveRules(tenure_ms_min=0), ttl_s=5
    )
    return allotment.may_claim(LOG, allotment.plan(now_s), now_s)


def test_a_log_nobody_is_written_down_for_may_have_an_owner_until_the_view_settles() -> None:
    assert not _may_claim(SETTLE_S - 1, ME)
    assert _may_claim(SETTLE_S, ME)


def test_a_dead_owner_s_log_waits_as_well_and_our_own_of_an_earlier_start_does_not() -> None:
    assert not _may_claim(SETTLE_S - 1, ME, OwnerRecord(LOG, 2, "b", 5))
    assert _may_claim(SETTLE_S, ME, OwnerRecord(LOG, 2, "b", 5))
    assert _may_claim(0, ME, OwnerRecord(LOG, 1, "earlier", 5))


def test_what_was_released_is_taken_at_once_and_what_a_stranger_took_only_later() -> None:
    assert _may_claim(0, ME, OwnerRecord(LOG, 2, "b", 5, ended=RELEASED))
    fenced = OwnerRecord(LOG, 2, "b", 5, ended=FENCED)
    assert not _may_claim(FOREIGN_S - 1, ME, fenced)
    assert _may_claim(FOREIGN_S, ME, fenced)


def test_a_living_owner_keeps_its_log() -> None:
    assert not _may_claim(1_000, ME, OTHER, OwnerRecord(LOG, 2, "b", 5))


def test_what_is_released_to_an_heir_is_its_for_a_lease() -> None:
    released = OwnerRecord(LOG, 1, "earlier", 5, ended=RELEASED, next_node_id=2)
    assert not _may_claim(1, ME, OTHER, released)
