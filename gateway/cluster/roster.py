"""What a node has read of its cluster's keys: who is alive, who owns what, who is about to.

Rules: it changes by what is read alone; a record that cannot be read is absent, one of a lower term
than seen is void. While the coordination store is away it stays as it was last known.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from gateway.cluster.coordination.base import Change, Snapshot
from gateway.cluster.coordination.records import (
    RELEASED,
    ClaimRecord,
    LogstoreRecord,
    MoveOrder,
    NewsRecord,
    NodeRecord,
    OwnerRecord,
    PauseOrder,
    StandingOrder,
    UnreadableRecord,
    decode,
)
from gateway.cluster.coordination.sight import Course, Sight
from gateway.cluster.ownership import Standing
from gateway.observe.logger import log_event

logger = logging.getLogger(__name__)


class Roster:
    """`take_all`, then `take` what a watch brings, and what one `wrote`."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.sight = Sight()
        self.nodes: dict[int, NodeRecord] = {}
        self.claims: dict[int, ClaimRecord] = {}
        self.owners: dict[int, OwnerRecord] = {}
        """By log, those that are not void, ended ones and those of dead nodes included."""
        self.void: dict[int, OwnerRecord] = {}
        """By log, those of a lower term than seen: as good as none here, maybe not elsewhere."""
        self.moves: dict[int, MoveOrder] = {}
        self.is_paused = False
        """Whether somebody wants no log to move that need not."""
        self._standings: dict[int, StandingOrder] = {}
        self.readings_count = 0
        """So often all was read anew."""
        self._seen_revision = 0
        """All that was changed up to then is in here, by the last reading and the watch since."""
        self._since_s: dict[int, float] = {}
        self._revisions: dict[str, int] = {}

    def take_all(self, snapshot: Snapshot, now_s: float) -> Course:
        """These keys, and no others."""
        course = self.sight.course(snapshot)
        before = self.owners
        self.nodes, self.claims, self.owners, self.void, self._revisions = {}, {}, {}, {}, {}
        self.moves, self._standings, self.is_paused = {}, {}, False
        self.readings_count += 1
        self._seen_revision = snapshot.revision
        for pair in snapshot.keys:
            self._put(pair.key, pair.value, pair.changed_revision, now_s, before)
        return course

    def take(self, changes: Sequence[Change], now_s: float) -> None:
        """What a watch has brought."""
        for change in changes:
            self._seen_revision = max(self._seen_revision, change.revision)
            self._take(change, now_s)

    def wrote(self, changes: Sequence[Change], now_s: float, *, readings_count: int) -> None:
        """What was written here and asked for when so many readings were done. An answer may come
        late: what a reading or the watch has overtaken may be gone again."""
        if readings_count == self.readings_count:
            for change in changes:
                if change.revision > self._seen_revision:
                    self._take(change, now_s)

    def _take(self, change: Change, now_s: float) -> None:
        self.sight.saw_revision(change.revision)
        if change.revision < self.revision(change.key):
            return  # before what we have written there ourselves
        if change.value is None:
            self._delete(change.key)
        else:
            self._put(change.key, change.value, change.revision, now_s, self.owners)

    def _put(
        self, key: str, value: bytes, revision: int, now_s: float, before: dict[int, OwnerRecord]
    ) -> None:
        self._revisions[key] = revision
        try:
            record = decode(self.root, key, value)
        except UnreadableRecord as error:
            log_event(logger, logging.WARNING, "coordination record left out", reason=error)
            return
        if isinstance(record, NodeRecord):
            self.nodes[record.node_id] = record
        elif isinstance(record, ClaimRecord):
            self.claims[record.log] = record
        elif isinstance(record, MoveOrder):
            self.moves[record.log] = record
        elif isinstance(record, StandingOrder):
            self._standings[record.node_id] = record
        elif isinstance(record, PauseOrder):
            self.is_paused = True
        elif isinstance(record, NewsRecord | LogstoreRecord):
            pass  # that news came is the news; logstores are no cluster's
        elif self.sight.holds(record):
            if _tenure(before.get(record.log)) != _tenure(record):
                self._since_s[record.log] = now_s
            self.owners[record.log] = record
            self.void.pop(record.log, None)
        else:
            self.void[record.log] = record

    def _delete(self, key: str) -> None:
        self._revisions.pop(key, None)
        folder, _, number = key.removeprefix(self.root).partition("/")
        kept: dict[str, dict[int, Any]] = {
            "nodes": self.nodes,
            "claims": self.claims,
            "owners": self.owners,
            "moves": self.moves,
            "standings": self._standings,
        }
        if folder == "pause":
            self.is_paused = False
        elif folder in kept and number.isdecimal():
            kept[folder].pop(int(number), None)
            if folder == "owners":
                self.void.pop(int(number), None)

    def revision(self, key: str) -> int:
        """When the key was last changed; 0: it is not there."""
        return self._revisions.get(key, 0)

    def heir(self, log: int) -> int | None:
        """The living node that the owner gives it to, or has given it."""
        record = self.owners.get(log)
        is_going = record is not None and record.ended in (None, RELEASED)
        heir = record.next_node_id if record is not None and is_going else None
        return heir if heir in self.nodes else None

    def standing(self, node: NodeRecord) -> Standing:
        """What may be given to it: what it says itself, or what is ordered, if that is less."""
        order = self._standings.get(node.node_id)
        said = [_standing(node.standing), *([_standing(order.standing)] if order else [])]
        return max(said, key=list(Standing).index)

    def is_alive(self, node_id: int, incarnation: str) -> bool:
        """Whether that start of the node has a lease."""
        node = self.nodes.get(node_id)
        return node is not None and node.incarnation == incarnation

    def living_owner(self, log: int) -> OwnerRecord | None:
        """Who serves the log, as far as is known."""
        record = self.owners.get(log)
        if record is None or record.ended is not None:
            return None
        return record if self.is_alive(record.node_id, record.incarnation) else None

    def claimer(self, log: int) -> int | None:
        """The living node that is about to open it."""
        claim = self.claims.get(log)
        if claim is None or not self.is_alive(claim.node_id, claim.incarnation):
            return None
        return claim.node_id

    def taker(self, log: int, node_id: int) -> str:
        """Who has taken the log from that node, for people."""
        record, claimer = self.owners.get(log), self.claimer(log)
        node = None if record is None else self.nodes.get(record.node_id)
        if node is not None and node.node_id != node_id:
            return f"node {node.node_id} at {node.host}:{node.port}"
        if claimer is not None and claimer != node_id:
            return f"node {claimer}"
        return "a process that is not registered in this coordination store"

    def for_s(self, log: int, now_s: float) -> float:
        """Since when the owner has it, or since when it has ended."""
        return now_s - self._since_s.get(log, now_s)


def _standing(word: str) -> Standing:
    """One that a later release knows is as good as none: the node gets nothing."""
    try:
        return Standing(word)
    except ValueError:
        return Standing.CORDONED


def _tenure(record: OwnerRecord | None) -> tuple[object, ...]:
    return () if record is None else (record.incarnation, record.term, record.ended)
