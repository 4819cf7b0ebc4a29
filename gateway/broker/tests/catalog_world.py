"""Several nodes that have one catalog, without what is around it."""

from __future__ import annotations

import dataclasses

from gateway.broker.catalog import Catalog
from gateway.broker.catalog_merge import Merged
from gateway.broker.metadata_records import (
    MetadataRecord,
    Placement,
    TopicCreated,
    TopicDeleted,
    consecutive,
)
from gateway.settings.config import Config
from gateway.settings.log_settings import log_config
from gateway.tests.virtual import CountingRng, VirtualClock
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore

TIMEOUT_S = 60.0


def topic_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def created(name: str, number: int, *places: Placement) -> TopicCreated:
    return TopicCreated(
        name=name,
        topic_id=topic_id(number),
        placements=list(places) or consecutive(1, 10 * number, 1),
    )


class CatalogWorld:
    """A store with a latency, and the catalog at any number of nodes."""

    def __init__(self, latency_s: float = 0.01, segment_age_s: float = 3_600.0) -> None:
        self.objects = FaultyObjectStore(MemoryStore(), latency_s=latency_s)
        config = log_config(Config(data="memory:"))
        self.config = dataclasses.replace(config, log_id=0)
        self._rng = CountingRng()

    def node(self) -> Node:
        return Node(self, self._rng)


class Node:
    """The catalog at one node, and what it was told of it."""

    def __init__(self, world: CatalogWorld, rng: CountingRng) -> None:
        self._world = world
        self.store = ObjectSegmentStore(world.objects)
        self.catalog = Catalog(1_000_000, VirtualClock(), rng)
        self.merged: list[Merged] = []

    async def own(self) -> Node:
        await self.catalog.open(self.store, self._world.config)
        await self.catalog.be_somebody(TIMEOUT_S)
        return self

    def follow(self) -> Node:
        self.catalog.follow(self.store, self._world.config, self.merged.append)
        return self

    async def write(self, *records: MetadataRecord) -> None:
        for record in records:
            confirmation = self.catalog.write(record)
        await confirmation

    async def create(self, name: str, number: int, *places: Placement) -> None:
        await self.write(created(name, number, *places))

    async def delete(self, number: int) -> None:
        await self.write(TopicDeleted(topic_id=topic_id(number)))

    async def look(self) -> dict[str, int]:
        """The topics, and how many partitions each has, as of now."""
        await self.catalog.look(TIMEOUT_S)
        return self.topics()

    def topics(self) -> dict[str, int]:
        return {topic.name: len(topic.partitions) for topic in self.catalog.topics}

    def said(self) -> dict[bytes, bytes | None]:
        """All that is known."""
        state = self.catalog._state
        return dict(state.values(state.keys()))
