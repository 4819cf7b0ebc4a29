"""What this node makes of what it sees: who should have each log, and which ones it may take.

Nothing is done here, and no safety rests on it: see `ownership.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Protocol

from gateway.cluster.coordination.records import RELEASED
from gateway.cluster.ownership import Holding, LiveNode, MoveRules, Plan, plan_apart
from gateway.cluster.roster import Roster
from gateway.cluster.settling import Settling
from gateway.cluster.view import CATALOG_LOG_ID

FOREIGN_S = 30.0
"""For so long nobody takes back a log that somebody unknown has taken. Longer: two clusters on one
bucket disturb each other less; shorter: a log whose taker died at once is served sooner."""


class KnownLogs(Protocol):
    """The logs that this node knows, and which of them it serves."""

    def log_ids(self) -> Collection[int]:
        """All that the cluster has, as far as this node knows."""
        ...

    def term_of(self, log_id: int) -> int | None:
        """None for one that is not served here."""
        ...


class Allotment:
    """Reads the roster; `plan` first, then `may_claim` for each log by it."""

    def __init__(
        self,
        node_id: int,
        roster: Roster,
        own: KnownLogs,
        settling: Settling,
        *,
        rules: MoveRules,
        ttl_s: int,
    ) -> None:
        self._node_id = node_id
        self._roster = roster
        self._own = own
        self._settling = settling
        self._rules = rules
        self._ttl_s = ttl_s

    def logs(self) -> set[int]:
        """All that anybody here or elsewhere knows."""
        return {*self._own.log_ids(), *self._roster.owners}

    def plan(self, now_s: float) -> Plan:
        """Who should have each log."""
        nodes = [
            LiveNode(n.node_id, max(n.weight, 1), n.rack, self._roster.standing(n), n.unable)
            for n in self._roster.nodes.values()
        ]
        logs, catalog = self.logs(), {CATALOG_LOG_ID}
        held = {log: self._holding(log, now_s) for log in logs}
        present = {log: holding for log, holding in held.items() if holding is not None}
        rules = self._rules
        rules = dataclasses.replace(rules, is_paused=rules.is_paused or self._roster.is_paused)
        # The catalog is little work, and no reason to have less of the data.
        return plan_apart([logs & catalog, logs - catalog], nodes, present, rules)

    def _holding(self, log: int, now_s: float) -> Holding | None:
        """Who has the log, or is about to."""
        roster = self._roster
        is_mine = self._own.term_of(log) is not None
        owner = roster.living_owner(log)
        if (heir := self._heir(log, now_s)) is not None:
            return Holding(heir, 0)
        if is_mine or (owner is not None and owner.node_id != self._node_id):
            node_id = self._node_id if is_mine or owner is None else owner.node_id
            return Holding(node_id, round(roster.for_s(log, now_s) * 1_000))
        claimer = roster.claimer(log)
        return None if claimer is None else Holding(claimer, 0)

    def _heir(self, log: int, now_s: float) -> int | None:
        """Who is to have it by its owner's will, unless that is not done in time."""
        record, heir = self._roster.owners.get(log), self._roster.heir(log)
        if record is None or record.ended is None:
            return heir
        return heir if self._roster.for_s(log, now_s) < self._ttl_s else None

    def may_claim(self, log: int, plan: Plan, now_s: float) -> bool:
        """Whether this node may take a log that it has not: the plan gives it to us, and nobody who
        lives has it, or is likely to."""
        record = self._roster.owners.get(log)
        if plan.owners.get(log) != self._node_id or self._roster.living_owner(log) is not None:
            return False
        if record is None:
            return self._settling.is_over(now_s)
        if record.ended is None:
            return record.node_id == self._node_id or self._settling.is_over(now_s)
        return record.ended == RELEASED or self._roster.for_s(log, now_s) >= FOREIGN_S
