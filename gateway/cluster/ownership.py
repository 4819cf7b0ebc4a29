"""Which node should own which log: a pure function of what all nodes see alike.

Rules: every node holds at least its weighted share rounded down and at most that rounded up (its
cap), and no log moves that need not for that. Who has to move goes where rendezvous hashing likes
it best among the nodes with room, so whoever computes it finds the same. A log without a living
owner is placed at once. All else is an automatic move: one that leaves a log alone for its minimum
tenure, and is left out while moves are paused; only what these two hold back can leave a node above
its cap. A cordoned node keeps what it has and gets nothing; a draining one gives everything away,
paused or not, for somebody has asked for it. Racks get even shares as far as nodes' shares allow.

Integers alone: a logarithm may differ from machine to machine in its last bit. Safety rests on
fences, never on this: two nodes that disagree for a moment cost a take-over too many.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b


class Standing(enum.Enum):
    """What may be given to a node."""

    OPEN = "open"
    CORDONED = "cordoned"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class LiveNode:
    """A node whose lease is good."""

    node_id: int
    weight: int = 1
    rack: str | None = None
    standing: Standing = Standing.OPEN
    unable: Collection[int] = ()
    """Logs that it could not open: another gets them, if there is one that has not said so."""

    def __post_init__(self) -> None:
        if self.weight < 1:
            raise ValueError(f"weight of node {self.node_id} is {self.weight}; it must be >= 1")


@dataclass(frozen=True, slots=True)
class Holding:
    """A log's present owner, and for how long it has been that."""

    node_id: int
    tenure_ms: int


@dataclass(frozen=True, slots=True)
class MoveRules:
    """When automatic moves may be made."""

    tenure_ms_min: int = 60_000
    """Larger: fewer moves while nodes come and go; smaller: even load sooner."""
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Who should own what."""

    owners: Mapping[int, int]
    """Node by log; a log that nobody may take is missing."""
    claims: tuple[int, ...]
    """Logs without a living owner that are to get one."""
    moves: tuple[int, ...]
    """Logs that their living owner should hand over."""


def shares(logs_count: int, nodes: Collection[LiveNode]) -> dict[int, tuple[int, int]]:
    """For each node the fewest and the most logs that it should own."""
    total = sum(node.weight for node in nodes)
    return {
        node.node_id: (
            logs_count * node.weight // total,
            -(-logs_count * node.weight // total),
        )
        for node in nodes
    }


def plan_owners(
    logs: Iterable[int],
    nodes: Iterable[LiveNode],
    present: Mapping[int, Holding],
    rules: MoveRules,
) -> Plan:
    """Who should own each log, given who does now. Raises ValueError for a node id given twice."""
    by_id: dict[int, LiveNode] = {}
    for node in sorted(nodes, key=lambda node: node.node_id):
        if by_id.setdefault(node.node_id, node) is not node:
            raise ValueError(f"node {node.node_id} is there twice; node ids must differ")
    planning = _Planning(sorted(set(logs)), by_id, present, rules)
    planning.share_out()
    return planning.plan()


def plan_apart(
    kinds: Iterable[Collection[int]],
    nodes: Collection[LiveNode],
    present: Mapping[int, Holding],
    rules: MoveRules,
) -> Plan:
    """The same for logs of several kinds, each shared out as if there were no others."""
    plans = [plan_owners(logs, nodes, present, rules) for logs in kinds]
    return Plan(
        owners={log: node_id for plan in plans for log, node_id in plan.owners.items()},
        claims=tuple(log for plan in plans for log in plan.claims),
        moves=tuple(log for plan in plans for log in plan.moves),
    )


@dataclass(slots=True)
class _Planning:
    logs: list[int]
    nodes: Mapping[int, LiveNode]
    present: Mapping[int, Holding]
    rules: MoveRules
    held: dict[int, set[int]] = field(init=False)
    homeless: set[int] = field(init=False)
    bounds: dict[int, tuple[int, int]] = field(init=False)
    racks_max: dict[str | None, int] = field(init=False)

    def __post_init__(self) -> None:
        self.held = {node_id: set() for node_id in self.nodes}
        self.homeless = set()
        open_nodes = [node for node in self.nodes.values() if node.standing is Standing.OPEN]
        for log in self.logs:
            owner = self._living_owner(log)
            drained = owner is not None and owner.standing is Standing.DRAINING
            if owner is None or (drained and open_nodes):
                self.homeless.add(log)
            else:
                self.held[owner.node_id].add(log)
        to_share = len(self.homeless) + sum(len(self.held[node.node_id]) for node in open_nodes)
        self.bounds = shares(to_share, open_nodes)
        total = sum(node.weight for node in open_nodes)
        self.racks_max = {
            rack: -(-to_share * sum(n.weight for n in open_nodes if n.rack == rack) // total)
            for rack in {node.rack for node in open_nodes}
        }

    def _living_owner(self, log: int) -> LiveNode | None:
        holding = self.present.get(log)
        return None if holding is None else self.nodes.get(holding.node_id)

    def share_out(self) -> None:
        if not self.bounds:
            return  # nobody may take anything
        for node_id, (_, most) in self.bounds.items():
            surplus = len(self.held[node_id]) - most
            for log in self._movable(node_id)[: max(surplus, 0)]:
                self.held[node_id].remove(log)
                self.homeless.add(log)
        self._fill_least()
        for log in sorted(self.homeless):
            self._give(log, min(self._takers(log), key=lambda node_id: self._liking(log, node_id)))
        self._pull()

    def _movable(self, node_id: int) -> list[int]:
        """What it might hand over by itself, what it is liked by least first."""
        if self.rules.is_paused:
            return []
        old = [
            log
            for log in self.held[node_id]
            if (holding := self.present.get(log)) is not None
            and holding.node_id == node_id
            and holding.tenure_ms >= self.rules.tenure_ms_min
        ]
        return sorted(old, key=lambda log: (score(log, node_id), log))

    def _short_of_least(self) -> list[int]:
        return [
            node_id
            for node_id, (least, _) in self.bounds.items()
            if len(self.held[node_id]) < least
        ]

    def _with_room(self) -> list[int]:
        return [
            node_id for node_id, (_, most) in self.bounds.items() if len(self.held[node_id]) < most
        ]

    def _able(self, log: int, node_ids: Iterable[int]) -> list[int]:
        return [node_id for node_id in node_ids if log not in self.nodes[node_id].unable]

    def _takers(self, log: int) -> list[int]:
        """Who has room for it; who has none, if of those that do nobody can open it."""
        roomy = self._with_room()
        return self._able(log, roomy) or self._able(log, self.bounds) or roomy

    def _fill_least(self) -> None:
        """The homeless go first to nodes that are short of their least share."""
        for log in sorted(self.homeless):
            if short := self._able(log, self._short_of_least()):
                self._give(log, max(short, key=lambda node_id: (score(log, node_id), node_id)))

    def _give(self, log: int, node_id: int) -> None:
        self.homeless.remove(log)
        self.held[node_id].add(log)

    def _liking(self, log: int, node_id: int) -> tuple[bool, int, int]:
        rack = self.nodes[node_id].rack
        return self._rack_count(rack) >= self.racks_max[rack], -score(log, node_id), node_id

    def _rack_count(self, rack: str | None) -> int:
        return sum(len(self.held[other]) for other in self.bounds if self.nodes[other].rack == rack)

    def _pull(self) -> None:
        """Who still lacks something of the least share gets it from those above theirs."""
        while lacking := self._short_of_least():
            givers = [
                (least - len(self.held[node_id]), movable[0], node_id)
                for node_id, (least, _) in self.bounds.items()
                if len(self.held[node_id]) > least
                and (movable := [i for i in self._movable(node_id) if self._able(i, lacking)])
            ]
            if not givers:
                return  # what could move is too young, or they cannot open it
            _, log, giver = min(givers)
            self.held[giver].remove(log)
            self.homeless.add(log)
            able = self._able(log, lacking)
            self._give(log, max(able, key=lambda node_id: (score(log, node_id), node_id)))

    def plan(self) -> Plan:
        owners = {log: node_id for node_id, logs in self.held.items() for log in logs}
        living = {log: self._living_owner(log) for log in self.logs}
        return Plan(
            owners=dict(sorted(owners.items())),
            claims=tuple(log for log in sorted(owners) if living[log] is None),
            moves=tuple(
                log
                for log in sorted(owners)
                if (owner := living[log]) is not None and owner.node_id != owners[log]
            ),
        )


def score(log: int, node_id: int) -> int:
    """How much a log likes a node, the same on every machine."""
    digest = blake2b(b"%d/%d" % (log, node_id), digest_size=8).digest()
    return int.from_bytes(digest, "big")
