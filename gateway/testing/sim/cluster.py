"""A simulated world whose gateways make a cluster: they share a bucket and a coordination store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.broker.membership import MembershipSettings
from gateway.cluster.ownership import MoveRules
from gateway.cluster.view import CATALOG_LOG_ID
from gateway.cluster.view import Node as Address
from gateway.server import Gateway
from gateway.testing.sim.coordination import PREFIX, Coordination
from gateway.testing.sim.node import Holder, Node
from gateway.testing.sim.node_wire import NodeLink, NodeWire, connected
from gateway.testing.sim.world import SUPERVISOR_S, World
from wal_core import Log, Rng, WalError
from wal_core.testing.sim_process import State

if TYPE_CHECKING:
    from gateway.broker.owned_log import OwnedLog
    from gateway.testing.sim.plan import Plan
    from gateway.testing.sim.trace import Trace
    from wal_core.testing.seeds import Random
    from wal_core.testing.sim_loop import SimLoop

LEASE_S = 2
TENURE_MS_MIN = 1_000
STEADY_S = 3.0  # longer than logs stay where they are before they move
STEADY_ROUNDS_MAX_COUNT = 10
CONVERGED_S_MAX = 90.0
"""In so long all logs are served and all nodes know all, once nothing goes wrong any more."""
COPY_EVERY_S = 1.0


class ClusterNode(Node):
    """A node of the cluster, from its start to its end; a restart is a new one with the same id."""

    is_one_of_many = True

    def __init__(self, world: ClusterWorld, number: int, node_id: int) -> None:
        super().__init__(world, number)
        self.address = Address(node_id, f"n{node_id}.test", 9092, f"rack{node_id % 2}")
        self._cluster = world
        self._opened: dict[int, int] = {}
        self._opening: dict[int, None] = {}
        self.told: dict[int, int] = {}
        """Per log the highest term that it has told to be the owner's."""

    async def _start(self, gateway: Gateway, rng: Rng) -> None:
        world, logs = self._cluster, gateway.broker.logs
        gateway.controller.connect = self._connect
        self.gateway, self._catalog, open_one = gateway, None, logs.open_one

        async def opened(log_id: int) -> OwnedLog | None:
            self._opening[log_id] = None
            owned = await open_one(log_id)
            del self._opening[log_id]
            log = gateway.broker.catalog.log if owned is None else owned.log
            self._opened[log_id] = log.term
            world.openings_count += 1
            world.trace.note(self.name, f"has log {log_id}, term {log.term}")
            log.failed.add_done_callback(partial(self._failed, log_id))
            if owned is not None:
                self._watch_log(owned)
            return owned

        logs.open_one = opened  # type: ignore[method-assign]
        way = world.coordination.way(self.node_id)
        rules, waits = MoveRules(tenure_ms_min=TENURE_MS_MIN), world.plan.mode == "quorum"
        settings = MembershipSettings(PREFIX, LEASE_S, rules, waits=waits)
        await gateway.start_in_cluster(way, settings, rng)
        world.coordination.cluster_id = gateway.broker.cluster_id

    async def _connect(self, address: Address) -> NodeWire:
        return await self._cluster.connect(self, address.node_id)

    def _failed(self, log_id: int, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is None:
            return
        self.lost[log_id] = self._world.loop.time()
        self._world.trace.note(self.name, f"has lost log {log_id}: {error}")
        if log_id not in self._opening and not self._has_rivals(log_id):
            self._world.trace.violation(
                "I4 only a later owner fences", f"{self.name}, log {log_id}: {error}"
            )

    def _is_late(self) -> bool:
        """Nobody is taken out of service: it finds out by itself."""
        return False

    def _judge_end(self, gateway: Gateway, error: WalError) -> None:
        self._world.trace.violation("a node goes on without logs", f"{self.name}: {error}")

    @property
    def terms(self) -> Mapping[int, int]:
        """Also of logs that it has let go of."""
        return self._opened

    @property
    def served(self) -> Mapping[int, int]:
        """The terms of the logs that are served here."""
        if self.gateway is None or not self.process.alive:
            return {}
        logs = self.gateway.broker.logs
        found = {log_id: logs.term_of(log_id) for log_id in self._opened}
        return {log_id: term for log_id, term in found.items() if term is not None}

    def is_opening(self, log_id: int) -> bool:
        return log_id in self._opening

    def is_behind(self, other: Holder, log_id: int | None = None) -> bool:
        if log_id is None:
            own = self.served.items()
            return any(term < other.terms.get(log_id, 0) for log_id, term in own)
        return super().is_behind(other, log_id)

    def _is_busy(self, gateway: Gateway) -> bool:
        """Requests of nodes never end, but what was appended is durable in the end."""
        opened = [log for _, log in gateway.broker.logs.opened()]
        return any(log.unconfirmed_bytes for log in opened if not log.failed.done())

    @property
    def is_able(self) -> bool:
        """Whether it takes any log: not if it tried to open one in vain, some minutes ago."""
        member = getattr(getattr(self.gateway, "_membership", None), "_member", None)
        return member is None or not member._registration.record.unable


class ClusterWorld(World):
    """See the module."""

    is_cluster = True
    patience_s = 300.0

    def __init__(self, plan: Plan, loop: SimLoop, trace: Trace) -> None:
        super().__init__(plan, loop, trace)
        is_quorum = plan.mode == "quorum"
        self.coordination = self.quorum.coordination if is_quorum else Coordination(LEASE_S)
        self.openings_count = 0
        self._ids = list(range(1, plan.nodes_count + 1))
        self._restart_after_s: dict[int, float] = {}
        self._dead_since_s: dict[int, float] = {}

    # -- what faults and clients ask -------------------------------------------------------

    @property
    def node_ids(self) -> Sequence[int]:
        return self._ids

    @property
    def living_nodes(self) -> list[ClusterNode]:
        """In the order of their ids."""
        found = [n for n in self.nodes if isinstance(n, ClusterNode) and n.process.alive]
        return sorted(found, key=lambda node: node.node_id)

    def living(self, which: int) -> ClusterNode | None:
        nodes = self.living_nodes
        return nodes[which % len(nodes)] if nodes else None

    def id_of(self, which: int) -> int:
        return self._ids[which % len(self._ids)]

    def restart_after(self, node_id: int, restart_after_s: float) -> None:
        """Once it has died."""
        self._restart_after_s[node_id] = restart_after_s

    def join(self) -> None:
        """A node comes that was never there."""
        self._ids.append(len(self._ids) + 1)

    def some_node(self, rng: Random) -> Node | None:
        found = [node for node in self.living_nodes if node.is_listening]
        return rng.choice(found) if found else None

    def node_with_id(self, node_id: int) -> Node | None:
        for node in self.living_nodes:
            if node.node_id == node_id and node.is_listening:
                return node
        return None

    async def connect(self, asker: ClusterNode, node_id: int) -> NodeWire:
        """Raises OSError."""
        node = self.node_with_id(node_id)
        if node is None:
            raise OSError("nobody listens there")
        link = NodeLink(self.network, asker, node, *self.network.stream_of(asker.name))
        self.network.links.append(link)
        return await connected(link)

    # -- the run ---------------------------------------------------------------------------

    def boot(self) -> None:
        """All that are not there."""
        alive = {node.node_id for node in self.living_nodes}
        for node_id in self._ids:
            if node_id not in alive:
                self._boot(node_id)

    def _boot(self, node_id: int) -> None:
        self._dead_since_s.pop(node_id, None)
        node = ClusterNode(self, len(self.nodes) + 1, node_id)
        self.nodes.append(node)
        self.trace.note(node.name, f"is node {node_id}")
        node.boot()

    async def _supervise(self) -> None:
        """Start the dead again, and look whether anybody tells an older owner after a newer."""
        next_copy_s = 0.0
        while True:
            now_s = self.loop.time()
            if now_s >= next_copy_s:
                self.coordination.keep_copy()
                next_copy_s = now_s + COPY_EVERY_S
            alive = {node.node_id for node in self.living_nodes}
            for node_id in self._ids:
                if node_id in alive:
                    continue
                since_s = self._dead_since_s.setdefault(node_id, now_s)
                if self.is_healed or now_s - since_s >= self._restart_after_s.get(node_id, 0.0):
                    self._boot(node_id)
            self._look_at_views()
            await asyncio.sleep(SUPERVISOR_S)

    def _look_at_views(self) -> None:
        for node in self.living_nodes:
            if node.gateway is None or not node.is_listening:
                continue
            for log_id in range(self.plan.logs_count + 1):
                owner = node.gateway.broker.cluster.owner(log_id)
                if owner is None:
                    continue
                if owner.term < node.told.get(log_id, 0):
                    self.trace.violation(
                        "no older owner is told after a newer",
                        f"{node.name} tells term {owner.term} of log {log_id}, "
                        f"told {node.told[log_id]}",
                    )
                node.told[log_id] = owner.term

    def _replace_stale(self) -> None:
        """They find out by themselves."""

    def heal(self) -> None:
        super().heal()
        self.network.cuts.clear()
        self.coordination.heal()
        self.coordination.hurry()

    async def settle(self) -> None:
        """All logs are served, everybody knows by whom, and nothing moves any more."""
        try:
            async with asyncio.timeout(CONVERGED_S_MAX):
                await self._converge()
        except TimeoutError:
            self.trace.violation("a cluster converges", self._state())

    async def _converge(self) -> None:
        for _ in range(STEADY_ROUNDS_MAX_COUNT):
            while not (  # noqa: ASYNC110 - it belongs to other processes
                self._is_shared_out() and self._know_the_same()
            ):
                await asyncio.sleep(0.1)
            before_count = self.openings_count
            await asyncio.sleep(STEADY_S)
            if self.openings_count == before_count:
                return
        self.trace.violation("logs stay where they are", self._state())

    def _state(self) -> str:
        return "; ".join(
            f"{node.name} (node {node.node_id}): serves {dict(node.served)}, tells "
            f"{self._told_by(node)}, {len(self._topics_of(node))} topics"
            for node in self.living_nodes
        )

    def _told_by(self, node: ClusterNode) -> dict[int, Any]:
        if node.gateway is None:
            return {}
        view = node.gateway.broker.cluster
        told = {log_id: view.owner(log_id) for log_id in range(self.plan.logs_count + 1)}
        return {log_id: None if o is None else (*o,) for log_id, o in told.items()}

    def _is_shared_out(self) -> bool:
        nodes = [node for node in self.living_nodes if node.is_listening]
        true = {log: (node.node_id, term) for node in nodes for log, term in node.served.items()}
        counts = sorted(len(node.served.keys() - {CATALOG_LOG_ID}) for node in nodes)
        return (
            len(nodes) == len(self._ids)
            and sorted(true) == list(range(self.plan.logs_count + 1))
            and sum(len(node.served) for node in nodes) == len(true)
            and (counts[-1] - counts[0] <= 1 or not all(node.is_able for node in nodes))
            and all(self._told_by(node) == true for node in nodes)
        )

    def _topics_of(self, node: ClusterNode) -> dict[str, Any]:
        if node.gateway is None:
            return {}
        return {t.name: (t.id, t.record.placements) for t in node.gateway.broker.topics}

    def _know_the_same(self) -> bool:
        """Followers have caught up, and no tombstone is left."""
        seen = [self._topics_of(node) for node in self.living_nodes]
        gateways = [node.gateway for node in self.living_nodes if CATALOG_LOG_ID in node.served]
        return all(one == seen[0] for one in seen) and not any(
            gateway is not None and gateway.broker.catalog.unserved() for gateway in gateways
        )

    async def restart(self) -> None:
        for node in self.nodes:
            node.kill()
        self.restart_logstores()
        self.boot()
        await self.settle()

    def served_logs(self) -> list[tuple[Node, Log]]:
        found: list[tuple[Node, Log]] = []
        for node in self.living_nodes:
            if node.gateway is not None and node.process.state is State.RUNNING:
                found += [(node, log) for _, log in node.gateway.broker.logs.opened()]
        return found
