"""The model of a catalog and a data log among nodes: claims, catalogs that are behind, tombstones,
and owners that have not noticed that they are none any more.

Two nodes and a controller. The controller makes a topic and deletes it, in a catalog whose newest
record may be written and not durable yet; a power cut takes that away. Nodes read the catalog when
they do. Any node opens the data log at any time, which puts a fence into its next slot; owners
append records of topics that they know, and drop those whose tombstones they have read. A topic
that is gone is made again under its name. Fences are collected once everybody's last look is too
long ago to count. What the coordination store says of the log's owner goes back at any time.

`python -m gateway.testing.cluster_model` explores all of it, then with each rule broken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from wal_core.testing.explorer import explore

NODES = ("a", "b")


class Rule(Enum):
    """What the nodes keep to."""

    READ_DURABLE = "of the catalog nothing is read that a power cut may take away"
    DROP_BY_TOMBSTONE = "a stream is dropped for a tombstone, not for a topic that is not known"
    TOMBSTONE_KEPT = "a tombstone stays until the log's owner has read it and has no such stream"
    READ_AFTER_OPENING = "who opens the log begins no stream before it has read the catalog since"
    HEARD_BEFORE_AGAIN = (
        "a topic is made again when the log's owner has heard of the end of the last"
    )
    LOOK_AGAIN = "what was created long after the last look counts after another look"
    HIGHEST_TERM = "of the terms seen the highest counts, whatever is said later"


class Bounds(NamedTuple):
    topics_max: int = 1
    opens_max: int = 3
    records_max: int = 2
    back_max: int = 0
    """So often the coordination store goes back; nothing is told where it never does."""


RUNS = {
    "a topic": Bounds(),
    "two topics": Bounds(topics_max=2, opens_max=2, records_max=1),
    "claims": Bounds(topics_max=0, back_max=3),
}
BREAKS = {
    Rule.READ_DURABLE: "a topic",
    Rule.DROP_BY_TOMBSTONE: "a topic",
    Rule.TOMBSTONE_KEPT: "a topic",
    Rule.READ_AFTER_OPENING: "a topic",
    Rule.HEARD_BEFORE_AGAIN: "two topics",
    Rule.LOOK_AGAIN: "a topic",
    Rule.HIGHEST_TERM: "claims",
}
"""The run that shows that a rule is needed."""


class Node(NamedTuple):
    known_count: int = 0
    """So many records of the catalog."""
    slot: int | None = None
    """Its next one of the log; None for who does not think it has the log."""
    has_read: bool = False
    """The catalog, since it opened the log."""
    term: int = 0
    is_sure: bool = False
    """Its last look at the manifests is young."""
    seen_term: int = 0
    told_term: int = 0


class State(NamedTuple):
    catalog: tuple[str, ...] = ()
    """Records: +1 a topic, -1 its tombstone."""
    durable_count: int = 0
    made_count: int = 0
    """Topics made at all: what is asked for again after a power cut is another one."""
    forgotten: frozenset[str] = frozenset()
    """Tombstones that are there no more."""
    log: tuple[str, ...] = ()
    """Slots: |1 a fence with its term, 1:0 a record of a topic, -1 a drop."""
    collected: frozenset[int] = frozenset()
    """Slots of fences that were deleted."""
    acked: frozenset[str] = frozenset()
    lost: str = ""
    """A record that was acknowledged for a topic that another one had taken the place of."""
    records_count: int = 0
    published: tuple[int, ...] = (0,)
    """What the coordination store has said of the owner's term, the newest last."""
    back_count: int = 0
    nodes: tuple[Node, ...] = (Node(),) * len(NODES)

    def but(self, number: int, node: Node) -> State:
        nodes = (*self.nodes[:number], node, *self.nodes[number + 1 :])
        return self._replace(nodes=nodes)


class ClusterModel:
    """For `explore`; without the rules in `broken`."""

    def __init__(self, bounds: Bounds, broken: frozenset[Rule] = frozenset()) -> None:
        self._bounds = bounds
        self._broken = broken

    def start(self) -> State:
        return State()

    def _keeps(self, rule: Rule) -> bool:
        return rule not in self._broken

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        yield from self._of_the_controller(state)
        yield from self._of_the_world(state)
        for number, name in enumerate(NODES):
            for step, after in self._of_a_node(state, number):
                yield f"{name} {step}", after

    # -- the controller --------------------------------------------------------------------

    def _of_the_controller(self, state: State) -> Iterator[tuple[str, State]]:
        catalog = state.catalog
        if state.durable_count < len(catalog):  # one record at a time
            yield "the catalog is synced", state._replace(durable_count=len(catalog))
            return
        alive = _alive(catalog)
        is_heard = all(_is_served(state, t) for t in _tombstones(catalog) - state.forgotten)
        may_make = is_heard or not self._keeps(Rule.HEARD_BEFORE_AGAIN)
        if not alive and may_make and state.made_count < self._bounds.topics_max:
            made = state.made_count + 1
            yield (
                f"topic {made} is made",
                state._replace(catalog=(*catalog, f"+{made}"), made_count=made),
            )
        for topic in alive:
            yield f"topic {topic} is deleted", state._replace(catalog=(*catalog, f"-{topic}"))
        for topic in _tombstones(catalog) - state.forgotten:
            if _is_served(state, topic) or not self._keeps(Rule.TOMBSTONE_KEPT):
                forgotten = state.forgotten | {topic}
                yield f"tombstone {topic} is forgotten", state._replace(forgotten=forgotten)

    # -- what nobody decides ---------------------------------------------------------------

    def _of_the_world(self, state: State) -> Iterator[tuple[str, State]]:
        if state.durable_count < len(state.catalog):
            left = state.catalog[: state.durable_count]
            nodes = tuple(
                n._replace(known_count=min(n.known_count, len(left))) for n in state.nodes
            )
            off = tuple(n._replace(slot=None, has_read=False) for n in nodes)
            yield "the power is cut", state._replace(catalog=left, nodes=off)
        for at, slot in enumerate(state.log[:-1]):
            if slot[0] == "|" and at not in state.collected:
                old = tuple(node._replace(is_sure=False) for node in state.nodes)
                collected = state.collected | {at}
                yield f"fence {slot} is collected", state._replace(collected=collected, nodes=old)
        if len(state.published) > 1 and state.back_count < self._bounds.back_max:
            yield (
                "the coordination store goes back",
                state._replace(published=state.published[:-1], back_count=state.back_count + 1),
            )

    # -- nodes -----------------------------------------------------------------------------

    def _of_a_node(self, state: State, number: int) -> Iterator[tuple[str, State]]:
        node = state.nodes[number]
        whole = len(state.catalog)
        end = state.durable_count if self._keeps(Rule.READ_DURABLE) else whole
        has_read = node.slot is not None
        if (node.known_count, node.has_read) != (end, has_read):
            read = node._replace(known_count=end, has_read=has_read)
            yield "reads the catalog", state.but(number, read)
        yield from self._told(state, number)
        term = sum(slot[0] == "|" for slot in state.log) + 1
        if term <= self._bounds.opens_max:
            log = (*state.log, f"|{term}")
            owner = node._replace(
                slot=len(log), has_read=False, term=term, is_sure=True, seen_term=term
            )
            published = (*state.published, *([term] if self._bounds.back_max else []))
            opened = state._replace(log=log, published=published)
            yield "opens the log", opened.but(number, owner)
        if node.slot is not None:
            known = state.catalog[: node.known_count]
            here = _streams(state.log[: node.slot])
            if state.records_count < self._bounds.records_max:
                may_begin = node.has_read or not self._keeps(Rule.READ_AFTER_OPENING)
                for topic in _alive(known) if may_begin else _alive(known) & here:
                    yield from self._write(state, number, f"{topic}:{state.records_count}")
            gone = _tombstones(known) - state.forgotten
            if not self._keeps(Rule.DROP_BY_TOMBSTONE):
                gone = here - _alive(known)
            for topic in gone & here:
                yield from self._write(state, number, f"-{topic}")

    def _told(self, state: State, number: int) -> Iterator[tuple[str, State]]:
        if not self._bounds.back_max:
            return
        node, said = state.nodes[number], state.published[-1]
        heard = max(node.seen_term, said) if self._keeps(Rule.HIGHEST_TERM) else said
        if heard != node.seen_term:
            yield f"hears of term {said}", state.but(number, node._replace(seen_term=heard))
        if node.seen_term != node.told_term:
            told = node._replace(told_term=node.seen_term)
            yield f"tells of term {node.seen_term}", state.but(number, told)

    def _write(self, state: State, number: int, what: str) -> Iterator[tuple[str, State]]:
        node = state.nodes[number]
        assert node.slot is not None
        is_record = ":" in what
        taken = state.but(number, node._replace(slot=None, has_read=False))
        is_free = node.slot == len(state.log) or node.slot in state.collected
        newest = sum(slot[0] == "|" for slot in state.log)
        looks = not node.is_sure and self._keeps(Rule.LOOK_AGAIN)
        if not is_free or (looks and newest > node.term):
            yield f"finds out, about to write {what}", taken
            return
        after = state
        if node.slot == len(state.log):
            after = after._replace(log=(*state.log, what))
        if is_record:
            after = after._replace(
                acked=state.acked | {what}, records_count=state.records_count + 1
            )
            later = _alive(state.catalog[: state.durable_count])
            if any(int(other) > int(what.partition(":")[0]) for other in later):
                after = after._replace(lost=what)
        moved = node._replace(slot=node.slot + 1, is_sure=node.is_sure or looks)
        yield f"writes {what}", after.but(number, moved)

    # -- what must never be ----------------------------------------------------------------

    def violation(self, state: State) -> str | None:
        for record in state.acked:
            if wrong := _wrong_with(record, state):
                return f"{record} was acknowledged, and {wrong}"
        if any(node.seen_term < node.told_term for node in state.nodes):
            return "an older owner is told after a newer one"
        # Where nobody can begin it again: everybody has read of its end.
        have_read = min(node.known_count for node in state.nodes) == len(state.catalog)
        if have_read and state.forgotten & _streams(state.log):
            return "a stream is left that nobody will ever drop"
        return None


def _wrong_with(record: str, state: State) -> str | None:
    """What became of it that must not have become of what was acknowledged."""
    topic = record.partition(":")[0]
    if record == state.lost:
        return "the topic of that name was another one by then"
    if topic not in {known[1:] for known in state.catalog}:
        return f"nobody knows topic {topic}"
    if record not in state.log:
        return "is not in the log"
    is_there = topic in _alive(state.catalog[: state.durable_count])
    if is_there and topic not in _streams(state.log):
        return f"is dropped though topic {topic} is there"
    return None


def _alive(catalog: tuple[str, ...]) -> frozenset[str]:
    return frozenset(r[1:] for r in catalog if r[0] == "+") - _tombstones(catalog)


def _tombstones(catalog: tuple[str, ...]) -> frozenset[str]:
    return frozenset(record[1:] for record in catalog if record[0] == "-")


def _is_served(state: State, topic: str) -> bool:
    """Whether the owner has heard of its end and has nothing of it."""
    newest = sum(slot[0] == "|" for slot in state.log)
    heard = any(
        node.slot is not None
        and node.term == newest
        and topic in _tombstones(state.catalog[: node.known_count])
        for node in state.nodes
    )
    return heard and topic not in _streams(state.log)


def _streams(log: tuple[str, ...]) -> frozenset[str]:
    """The topics that have streams there."""
    found: set[str] = set()
    for slot in log:
        if slot[0] == "-":
            found.discard(slot[1:])
        elif slot[0] != "|":
            found.add(slot.partition(":")[0])
    return frozenset(found)


def main() -> int:
    failed = False
    for name, bounds in RUNS.items():
        found = explore(ClusterModel(bounds))
        failed |= not found.complete
        sys.stdout.write(f"{name}: {found}\n")
    for rule, name in BREAKS.items():
        found = explore(ClusterModel(RUNS[name], frozenset({rule})))
        failed |= found.violation is None
        sys.stdout.write(f'\nwithout "{rule.value}": {found}\n')
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
