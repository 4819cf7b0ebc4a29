"""The catalog: a map that is the sum of its records, and tombstones until all have served them."""

from __future__ import annotations

import pytest

from gateway.broker.catalog import CatalogState
from gateway.broker.metadata_records import (
    ClusterCreated,
    MetadataRecord,
    PartitionsAdded,
    TopicDeleted,
    TopicForgotten,
    consecutive,
)
from gateway.broker.tests.test_topics import _created
from gateway.broker.topics import TopicRegistry
from gateway.tests.harness import World, virtual
from wal_core import Corrupt


@pytest.mark.parametrize("key", [b"?", b"\xff" * 17])
def test_a_key_of_a_newer_release_is_refused(key: bytes) -> None:
    with pytest.raises(Corrupt):
        CatalogState(TopicRegistry(1_000)).restore(key, b"")


@virtual
async def test_a_tombstone_is_unserved_until_every_log_of_the_topic_has_said_so() -> None:
    world = await World(logs_count=2).start()
    broker, catalog = world.gateway.broker, world.gateway.broker.catalog
    topic = broker.create_topic("t", 2)
    await broker.settled(topic)
    await catalog.write(TopicDeleted(topic_id=topic.id))
    assert catalog.unserved() == {topic.id: [1, 2]}
    catalog.tombstone_served(topic.id, 2)
    assert catalog.unserved() == {topic.id: [1]}
    catalog.tombstone_served(topic.id, 2)  # said again
    catalog.tombstone_served(b"another topic's", 1)
    assert catalog.unserved() == {topic.id: [1]}
    catalog.tombstone_served(topic.id, 1)
    assert catalog.unserved() == {}
    assert topic.id in broker.topics.tombstones  # its end costs no write of its own
    await broker.settled(broker.create_topic("u"))
    assert topic.id not in broker.topics.tombstones
    await world.stop()


@virtual
async def test_a_new_cluster_gets_its_id_once() -> None:
    world = await World().start()
    first = world.gateway.broker.cluster_id
    written = world.objects.count("create", "logs/0/")
    await world.gateway.broker.catalog.be_somebody(1)
    assert len(first) == 22
    assert world.gateway.broker.cluster_id == first
    assert world.objects.count("create", "logs/0/") == written
    await world.stop()


def test_the_records_rebuild_the_registry() -> None:
    registry = TopicRegistry(1_000)
    history: list[MetadataRecord] = [
        ClusterCreated(cluster_id="c" * 22),
        _created("a", 1, 1),
        _created("b", 2, 3),
        PartitionsAdded(topic_id=b"\x02" * 16, placements=consecutive(1, 3, 3)),
        TopicDeleted(topic_id=b"\x01" * 16),
    ]
    for record in history:
        registry.apply(record)
    again = TopicRegistry(1_000)
    state, keys = CatalogState(again), registry.changes.keys()
    values = dict(CatalogState(registry).values(keys))
    for key in reversed(keys):
        state.restore(key, values[key])
    assert dict(state.values(keys)) == values
    assert [topic.name for topic in again] == ["b"]
    assert again.next_stream_id(1) == registry.next_stream_id(1) == 6
    assert again.partitions_count == registry.partitions_count == 3
    assert again.tombstones == {b"\x01" * 16: [1]}
    assert again.cluster_id == "c" * 22
    again.apply(TopicForgotten(topic_id=b"\x01" * 16))
    assert not again.tombstones
