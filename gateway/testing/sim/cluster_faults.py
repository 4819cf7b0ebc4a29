"""What can go wrong where several nodes make a cluster, besides what can go wrong with one.

`which` names a node by its place among those that are there, or that live, as the fault needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wal_core.testing.faulty_object_store import Fault as StoreFaultKind
from wal_core.testing.seeds import Random
from wal_core.testing.sim_bucket import StoreFault

if TYPE_CHECKING:
    from gateway.testing.sim.cluster import ClusterWorld

STEPS_MAX_COUNT = 200
ALL_OPERATIONS = frozenset(("create", "get_range", "list", "size", "delete"))


@dataclass(frozen=True, slots=True)
class KillNode:
    """kill -9 before the step number `steps` after `at_s`."""

    at_s: float
    which: int
    steps: int
    restart_after_s: float

    def begin(self, world: ClusterWorld) -> None:
        node = world.living(self.which)
        if node is not None:
            world.restart_after(node.node_id, self.restart_after_s)
            node.process.after_steps(self.steps, node.kill)


@dataclass(frozen=True, slots=True)
class DrainNode:
    """SIGTERM: it hands over what it has, and comes again later."""

    at_s: float
    which: int
    restart_after_s: float

    def begin(self, world: ClusterWorld) -> None:
        node = world.living(self.which)
        if node is not None:
            world.restart_after(node.node_id, self.restart_after_s)
            node.terminate()


@dataclass(frozen=True, slots=True)
class PauseNode:
    """SIGSTOP before a step, SIGCONT later: with its lease over it awakes as a zombie."""

    at_s: float
    which: int
    steps: int
    for_s: float

    def begin(self, world: ClusterWorld) -> None:
        node = world.living(self.which)
        if node is None:
            return

        def pause() -> None:
            node.pause()
            world.later(self.for_s, node.resume)

        node.process.after_steps(self.steps, pause)


@dataclass(frozen=True, slots=True)
class JoinNode:
    """One that was never there before."""

    at_s: float

    def begin(self, world: ClusterWorld) -> None:
        world.join()


@dataclass(frozen=True, slots=True)
class CutFromStore:
    """A node does not reach the bucket: its calls hang, or fail at once."""

    at_s: float
    which: int
    for_s: float
    kind: str  # a name of faulty_object_store.Fault

    def begin(self, world: ClusterWorld) -> None:
        node = world.living(self.which)
        if node is not None:
            world.bucket.faults.append(
                StoreFault(
                    fault=StoreFaultKind[self.kind],
                    operations=ALL_OPERATIONS,
                    count=math.inf,
                    until_s=world.loop.time() + self.for_s,
                    process=node.name,
                )
            )


@dataclass(frozen=True, slots=True)
class CutFromCoordination:
    """One node, or all of them, do not reach the coordination store; `which` < 0: all."""

    at_s: float
    which: int
    for_s: float

    def begin(self, world: ClusterWorld) -> None:
        world.coordination.cut(world.node_ids if self.which < 0 else [world.id_of(self.which)])
        world.later(self.for_s, world.coordination.heal)


@dataclass(frozen=True, slots=True)
class CutNodes:
    """Two nodes do not reach each other; both reach everything else."""

    at_s: float
    which: int
    for_s: float

    def begin(self, world: ClusterWorld) -> None:
        pair = frozenset((world.id_of(self.which), world.id_of(self.which + 1)))
        world.network.cuts.append(pair)

        def end() -> None:
            if pair in world.network.cuts:
                world.network.cuts.remove(pair)

        world.later(self.for_s, end)


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """The coordination store ends the lease of a node that lives."""

    at_s: float
    which: int

    def begin(self, world: ClusterWorld) -> None:
        world.coordination.end_lease(world.id_of(self.which))


@dataclass(frozen=True, slots=True)
class LateWatch:
    """What changes is told one node late, and changes are forgotten meanwhile."""

    at_s: float
    which: int
    for_s: float
    late_s: float

    def begin(self, world: ClusterWorld) -> None:
        world.coordination.delay(world.id_of(self.which), self.late_s)
        world.later(self.for_s / 2, world.coordination.compact)
        world.later(self.for_s, world.coordination.hurry)


@dataclass(frozen=True, slots=True)
class OldCoordination:
    """The coordination store is restored from a copy made `age_s` ago, or comes back empty."""

    at_s: float
    age_s: float
    is_wiped: bool

    def begin(self, world: ClusterWorld) -> None:
        if self.is_wiped:
            world.coordination.wipe()
        else:
            world.coordination.restore(self.age_s)


@dataclass(frozen=True, slots=True)
class OrderMove:
    """Somebody orders a log to another node."""

    at_s: float
    which: int
    log_id: int

    def begin(self, world: ClusterWorld) -> None:
        world.coordination.order_move(self.log_id, world.id_of(self.which))


def _pause(rng: Random, at_s: float) -> PauseNode:
    for_s = rng.choice((0.5, 3.0, 8.0, 15.0))
    return PauseNode(at_s, rng.randrange(4), rng.randrange(STEPS_MAX_COUNT), for_s)


def _cut_from_coordination(rng: Random, at_s: float) -> CutFromCoordination:
    return CutFromCoordination(at_s, rng.choice((-1, 0, 1, 2, 3)), rng.choice((0.5, 3.0, 10.0)))


def _cut_from_store(rng: Random, at_s: float) -> CutFromStore:
    kind = rng.choice(("BEFORE", "AFTER", "HANG", "HANG_AFTER"))
    return CutFromStore(at_s, rng.randrange(4), rng.choice((0.5, 3.0, 10.0)), kind)


DRAW: dict[str, Callable[[Random, float], object]] = {
    "kill_node": lambda rng, at_s: KillNode(
        at_s, rng.randrange(4), rng.randrange(STEPS_MAX_COUNT), rng.choice((0.0, 1.0, 6.0))
    ),
    "drain_node": lambda rng, at_s: DrainNode(at_s, rng.randrange(4), rng.choice((0.0, 1.0, 6.0))),
    "pause_node": _pause,
    "join_node": lambda rng, at_s: JoinNode(at_s),
    "cut_from_store": _cut_from_store,
    "cut_from_coordination": _cut_from_coordination,
    "cut_nodes": lambda rng, at_s: CutNodes(at_s, rng.randrange(4), rng.choice((1.0, 5.0, 12.0))),
    "lease_lost": lambda rng, at_s: LeaseLost(at_s, rng.randrange(4)),
    "late_watch": lambda rng, at_s: LateWatch(
        at_s, rng.randrange(4), rng.choice((1.0, 6.0)), rng.choice((0.3, 2.0))
    ),
    "old_coordination": lambda rng, at_s: OldCoordination(
        at_s, rng.choice((1.0, 5.0, 60.0)), rng.random() < 0.3
    ),
    "order_move": lambda rng, at_s: OrderMove(at_s, rng.randrange(4), rng.randrange(4)),
}
