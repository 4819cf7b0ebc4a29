"""Who is there and who owns which log, as one node of a cluster knows it at this moment.

It is asked on every request, so it answers from memory. What it says may be late by as much as the
way to the coordination store; an owner that has lost a log says so itself. It never goes back: of a
log's owners the one of the highest term seen counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

CATALOG_LOG_ID = 0
"""Its owner is the controller."""


class Node(NamedTuple):
    """A node as clients see it: its id, the advertised address, where it stands."""

    node_id: int
    host: str
    port: int
    rack: str | None = None


class LogOwner(NamedTuple):
    """Which node has opened a log, and under which of its terms."""

    node_id: int
    term: int


class ClusterView(Protocol):
    """What a node knows of its cluster."""

    @property
    def me(self) -> Node:
        """This node."""
        ...

    @property
    def nodes(self) -> Sequence[Node]:
        """All that are alive, this one included, in the order of their ids."""
        ...

    def node(self, node_id: int) -> Node | None:
        """None for one that is not alive, as far as is known."""
        ...

    def owner(self, log_id: int) -> LogOwner | None:
        """None while nobody alive is known to have it: its node died, or it is being opened."""
        ...

    @property
    def controller(self) -> Node | None:
        """The node that owns the catalog; None while nobody does."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Call this after every change of what the others answer."""
        ...


class SingleNode:
    """A gateway by itself: it is the controller, and owns what it has open."""

    def __init__(self, me: Node, term_of: Callable[[int], int | None]) -> None:
        self._me = me
        self._term_of = term_of

    @property
    def me(self) -> Node:
        return self._me

    @property
    def nodes(self) -> Sequence[Node]:
        return (self._me,)

    def node(self, node_id: int) -> Node | None:
        return self._me if node_id == self._me.node_id else None

    def owner(self, log_id: int) -> LogOwner | None:
        term = self._term_of(log_id)
        return None if term is None else LogOwner(self._me.node_id, term)

    @property
    def controller(self) -> Node | None:
        return self._me

    def watch(self, changed: Callable[[], None]) -> None:
        """There are no others. What is lost here ends the process, or is seen in its logs."""
