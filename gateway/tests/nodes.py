"""Several gateways in one loop on one bucket and one coordination store, as `serve --etcd` starts
them."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.broker.membership import MembershipSettings
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.ownership import MoveRules
from gateway.cluster.view import CATALOG_LOG_ID, Node
from gateway.server import Gateway
from gateway.settings.config import Config
from gateway.testing.sim_coordination import SimCoordination
from gateway.tests.client import Client
from gateway.tests.virtual import CountingRng, VirtualClock
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore

LEASE_S = 5
SETTINGS = MembershipSettings("/woodpecker", LEASE_S, MoveRules(tenure_ms_min=20_000))


class OneGateway:
    """A node: its gateway, its way to the bucket, its way to the coordination store."""

    def __init__(self, nodes: Nodes, node_id: int) -> None:
        self.node_id = node_id
        self.objects = FaultyObjectStore(nodes.objects, latency_s=0.01, seed=node_id)
        self.way = SimCoordination(nodes.coordination)
        node = Node(node_id, f"n{node_id}", 9092, f"rack{node_id}")
        store = ObjectSegmentStore(self.objects)
        self.gateway = Gateway(nodes.config, store, node, VirtualClock(), CountingRng())

    async def start(self) -> OneGateway:
        await self.gateway.start_in_cluster(self.way, SETTINGS, CountingRng())
        return self

    def client(self) -> Client:
        return Client(self.gateway.connection())

    @property
    def terms(self) -> dict[int, int]:
        """Of the logs that are served here."""
        logs = self.gateway.broker.logs
        found = {0: logs.term_of(0)} | {owned.log_id: owned.log.term for owned in logs.serving()}
        return {log_id: term for log_id, term in found.items() if term is not None}

    async def die(self) -> None:
        """Nothing is drained, nothing is closed properly, and nobody is told."""
        gateway, membership = self.gateway, self.gateway._membership
        self.way.cut()
        if membership is not None and (member := membership._member) is not None:
            tasks = [*member._tasks, *member._busy.values()]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if membership is not None and membership._news is not None:
            await membership._news.stop()
        for task in tuple(gateway.hub.tasks):
            task.cancel()
        await gateway.retention.stop()
        await gateway.groups.close()
        await gateway.broker.catalog.unfollow()
        for owned in gateway.broker.logs:
            if owned._tidying is not None:
                owned._tidying.cancel()
        for _, log in gateway.broker.logs.opened():
            await log._writer.stop()
            await log._reader.close()
            await log._maintenance.stop()


class Nodes:
    """A bucket and a coordination store, and whoever starts on them."""

    def __init__(self, **config: Any) -> None:
        self.objects = MemoryStore()
        self.coordination = StaticStore()
        self.config = Config(**({"data": "memory:", "logs_count": 4} | config))

    async def start(self, *node_ids: int) -> list[OneGateway]:
        nodes = [OneGateway(self, node_id) for node_id in node_ids]
        await asyncio.gather(*(node.start() for node in nodes))
        return nodes

    def is_shared_out(self, *nodes: OneGateway) -> bool:
        """Whether each log is served by one of these, those with data evenly, and all of them know
        by whom; and its owner has read the catalog since it came, so that all that lies on it is
        served."""
        true = {log: (n.node_id, term) for n in nodes for log, term in n.terms.items()}
        counts = sorted(len(node.terms.keys() - {CATALOG_LOG_ID}) for node in nodes)
        return (
            sorted(true) == list(range(self.config.logs_count + 1))
            and sum(len(node.terms) for node in nodes) == len(true)
            and counts[-1] - counts[0] <= 1
            and all(o.has_read_catalog for n in nodes for o in n.gateway.broker.logs.serving())
            and all(
                {log: node.gateway.broker.cluster.owner(log) for log in true} == true
                for node in nodes
            )
        )
