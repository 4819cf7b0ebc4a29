"""Several gateways in one loop on one store: who owns what is said by the test, not found out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gateway.cluster.view import CATALOG_LOG_ID, LogOwner, Node
from gateway.server import Gateway
from gateway.settings.config import Config
from gateway.testing.conversation import cut_frames
from gateway.tests.client import Client
from gateway.tests.sockets import FakeTransport
from gateway.tests.virtual import CountingRng, VirtualClock
from protocol import Buffer
from wal_core import SegmentStore
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore

WAY_S = 0.001


class Table:
    """What everybody sees of the cluster, at the same moment."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.owners: dict[int, LogOwner] = {}


class View:
    """A `ClusterView` of one node: the table."""

    def __init__(self, me: Node, table: Table) -> None:
        self.me = me
        self._table = table

    @property
    def nodes(self) -> Sequence[Node]:
        return sorted(self._table.nodes.values())

    def node(self, node_id: int) -> Node | None:
        return self._table.nodes.get(node_id)

    def owner(self, log_id: int) -> LogOwner | None:
        return self._table.owners.get(log_id)

    @property
    def controller(self) -> Node | None:
        owner = self.owner(CATALOG_LOG_ID)
        return None if owner is None else self.node(owner.node_id)

    def watch(self, changed: Callable[[], None]) -> None:
        """Nobody is told: the tests wait for what they want to see."""


class GatewayWire:
    """A connection of one gateway to another one, without a network."""

    def __init__(self, gateway: Gateway, delay_s: float) -> None:
        connection = gateway.connection()
        self._transport = FakeTransport(connection)
        self._transport.on_taken = self._taken
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self._delay_s = delay_s
        connection.connection_made(self._transport)

    def _taken(self) -> None:
        for frame in cut_frames(self._transport.taken):
            self._frames.put_nowait(frame)

    def write(self, pieces: Iterable[Buffer]) -> None:
        self._transport.send(b"".join(pieces))

    async def read_frame(self) -> bytes:
        frame = await self._frames.get()
        await asyncio.sleep(self._delay_s)
        return frame

    def close(self) -> None:
        self._transport.lose()


class ClusterWorld:
    """`start`, then `give` logs to nodes."""

    def __init__(self, nodes_count: int = 3, *, latency_s: float = 0.005, **config: Any) -> None:
        self.objects = FaultyObjectStore(MemoryStore(), latency_s=latency_s)
        self.table = Table()
        settings: dict[str, Any] = {"data": "memory:", "logs_count": nodes_count}
        self.config = Config(**(settings | config))
        self._rng = CountingRng()
        self._nodes_count = nodes_count
        self.gateways: dict[int, Gateway] = {}
        self.cut: set[int] = set()
        """Nodes that the others do not reach; the store they do."""

    async def start(self) -> ClusterWorld:
        """Node n has data log n, and node 1 the catalog."""
        for node_id in range(1, self._nodes_count + 1):
            self.add(node_id)
        await self.give(CATALOG_LOG_ID, 1)
        for node_id in self.gateways:
            await self.give(node_id, node_id)
        return self

    def add(self, node_id: int) -> Gateway:
        node = Node(node_id, f"node{node_id}.test", 9092, f"rack{node_id}")
        gateway = Gateway(self.config, self.store(), node, VirtualClock(), self._rng)
        self.table.nodes[node_id] = node
        self.gateways[node_id] = gateway
        gateway.broker.cluster = View(node, self.table)
        gateway.controller.connect = self._connect
        gateway.join(lambda log_id, error: self._lost(node_id, log_id))
        return gateway

    def store(self) -> SegmentStore:
        """What one more node has of the place that all of them share."""
        return ObjectSegmentStore(self.objects)

    async def _connect(self, node: Node) -> GatewayWire:
        await asyncio.sleep(WAY_S)
        if node.node_id in self.cut:
            raise OSError("no way to it")
        return GatewayWire(self.gateways[node.node_id], WAY_S)

    def _lost(self, node_id: int, log_id: int) -> None:
        owner = self.table.owners.get(log_id)
        if owner is not None and owner.node_id == node_id:
            del self.table.owners[log_id]

    async def give(self, log_id: int, node_id: int) -> None:
        """It claims the log, fences whoever has it, and tells everybody once it is open."""
        term = await self.gateways[node_id].broker.open_log(log_id)
        self.table.owners[log_id] = LogOwner(node_id, term)

    async def move(self, log_id: int, node_id: int) -> None:
        """Its owner releases it first."""
        owner = self.table.owners.pop(log_id)
        await self.gateways[owner.node_id].broker.release_log(log_id)
        await self.give(log_id, node_id)

    def client(self, node_id: int) -> Client:
        return Client(self.gateways[node_id].connection())

    async def look(self, *node_ids: int) -> None:
        """These nodes, or all, know the catalog as it is now."""
        for node_id in node_ids or self.gateways:
            await self.gateways[node_id].broker.catalog.look(60.0)

    async def stop(self) -> None:
        for gateway in self.gateways.values():
            with contextlib.suppress(Exception):
                await gateway.stop()
