"""What the gateway's tests share: one gateway after the other on one store, and all around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.cluster.view import Node
from gateway.server import Gateway
from gateway.settings.config import Config
from gateway.tests.client import Client, Reply, batch_of, fetch_request, produce_request
from gateway.tests.sockets import FakeTransport
from gateway.tests.virtual import EPOCH_MS, CountingRng, VirtualClock, loop_ms, run, virtual
from wal_core import Log
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.segments.base import SegmentStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore

__all__ = [
    "EPOCH_MS",
    "NODE",
    "Client",
    "CountingRng",
    "FakeTransport",
    "Reply",
    "VirtualClock",
    "World",
    "batch_of",
    "fetch_request",
    "loop_ms",
    "produce_request",
    "run",
    "started",
    "virtual",
]

NODE = Node(1, "broker.test", 9092)


class World:
    """A store, and one gateway after the other on it."""

    def __init__(self, *, latency_s: float = 0.0, **config: Any) -> None:
        self.objects = FaultyObjectStore(MemoryStore(), latency_s=latency_s)
        self.store: SegmentStore = ObjectSegmentStore(self.objects)
        self.config = Config(**({"data": "memory:"} | config))
        self.gateway: Gateway = None  # type: ignore[assignment]

    async def start(self) -> World:
        clock, rng = VirtualClock(), CountingRng()
        self.gateway = Gateway(self.config, self.store, NODE, clock, rng)
        await self.gateway.start()
        return self

    @property
    def catalog_log(self) -> Log:
        return self.gateway.broker.catalog.log

    @property
    def log(self) -> Log:
        """The first data log, mostly the only one."""
        return self.gateway.broker.logs[1].log

    def epoch(self, topic: str, index: int = 0) -> int:
        """The leader epoch of a partition."""
        partition = self.gateway.broker.partition(topic, index)
        assert partition is not None
        return partition.leader_epoch

    def client(self) -> Client:
        return Client(self.gateway.connection())

    async def stop(self) -> None:
        await self.gateway.stop()

    async def crash(self) -> None:
        """The process dies: nothing is drained, nothing is closed properly."""
        for task in tuple(self.gateway.hub.tasks):
            task.cancel()
        await self.gateway.retention.stop()
        for owned in self.gateway.broker.logs:
            if owned._tidying is not None:
                owned._tidying.cancel()
        for log in (self.catalog_log, *(owned.log for owned in self.gateway.broker.logs)):
            await log._writer.stop()
            await log._reader.close()

    async def restart(self) -> Client:
        """Crash, recover; a client of the new gateway."""
        await self.crash()
        await self.start()
        return self.client()

    async def append_group_records(
        self, number: int, records: Sequence[tuple[bytes, bytes | None]]
    ) -> None:
        """What a coordinator does, for a group that hashes to `number`."""
        broker = self.gateway.broker
        await broker.offsets_topic.ready()
        partition = broker.offsets_topic.partition(number)
        assert partition is not None
        await broker.offsets_topic.append(partition, records)

    def assert_idle(self) -> None:
        """Everything that was taken has been given back."""
        hub = self.gateway.hub
        assert hub.budget.used_bytes == 0
        assert hub.frames.used_bytes == 0
        assert hub.replies.used_bytes == 0
        assert not hub.budget._waiting
        assert not hub.tasks


async def started(**config: Any) -> tuple[World, Client]:
    world = await World(**config).start()
    return world, world.client()
