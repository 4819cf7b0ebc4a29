"""The view of a node among others: what its roster says, and what it knows better of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.cluster.coordination.records import NodeRecord
from gateway.cluster.roster import Roster
from gateway.cluster.view import CATALOG_LOG_ID, LogOwner, Node


def address_of(record: NodeRecord) -> Node:
    """As clients see it."""
    return Node(record.node_id, record.host, record.port, record.rack)


class ManyNodes:
    """A `ClusterView`. `changed` tells its watchers."""

    def __init__(
        self, me: Node, incarnation: str, roster: Roster, term_of: Callable[[int], int | None]
    ) -> None:
        self._me = me
        self._incarnation = incarnation
        self._roster = roster
        self._term_of = term_of
        self._watchers: list[Callable[[], None]] = []

    @property
    def me(self) -> Node:
        return self._me

    @property
    def nodes(self) -> Sequence[Node]:
        others = [n for n in self._roster.nodes.values() if n.node_id != self._me.node_id]
        return sorted([self._me, *map(address_of, others)])

    def node(self, node_id: int) -> Node | None:
        if node_id == self._me.node_id:
            return self._me
        found = self._roster.nodes.get(node_id)
        return None if found is None else address_of(found)

    def owner(self, log_id: int) -> LogOwner | None:
        term = self._term_of(log_id)
        if term is not None and term >= self._roster.sight.term_of(log_id):
            # What was told counts from now on, though the log be lost before it is written down.
            self._roster.sight.saw_term(log_id, term, self._incarnation)
            return LogOwner(self._me.node_id, term)
        record = self._roster.living_owner(log_id)
        if record is None or record.node_id == self._me.node_id:
            return None
        if record.term < self._roster.sight.term_of(log_id):
            return None  # read before that term was told
        return LogOwner(record.node_id, record.term)

    @property
    def controller(self) -> Node | None:
        owner = self.owner(CATALOG_LOG_ID)
        return None if owner is None else self.node(owner.node_id)

    def watch(self, changed: Callable[[], None]) -> None:
        self._watchers.append(changed)

    def changed(self) -> None:
        """Tell everybody who watches."""
        for tell in self._watchers:
            tell()
