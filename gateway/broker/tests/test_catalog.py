"""The catalog: a map that is the sum of its records, and tombstones until all have served them."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.broker.metadata_records import (
    TopicDeleted,
)
from gateway.broker.tests.catalog_world import CatalogWorld, Node, created
from gateway.tests.harness import World, virtual
from wal_core import Fenced, Unavailable
from wal_core.testing.faulty_object_store import Fault, Planned


@virtual
async def test_a_tombstone_is_unserved_until_every_log_of_the_topic_has_said_so() -> None:
    world = await World(logs_count=2).start()
    broker, catalog = world.gateway.broker, world.gateway.broker.catalog
    topic = broker.creations.create("t", 2)
    await broker.creations.settled(topic)
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
    await broker.creations.settled(broker.creations.create("u"))
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


async def _fenced(node: Node) -> None:
    """It has lost the catalog: what the node's runtime does then."""
    with contextlib.suppress(Fenced):
        await node.catalog.close()


@virtual
async def test_who_followed_owns_and_follows_again_and_nothing_known_is_lost() -> None:
    world = CatalogWorld()
    first = world.node().follow()
    second = world.node().follow()
    await first.own()
    await first.create("a", 1)
    await second.look()
    topic = second.catalog.topics.named("a")
    await first.create("b", 2)
    await second.own()  # a take-over: the first has not heard of it
    assert second.topics() == {"a": 1, "b": 1}
    assert second.catalog.topics.named("a") is topic
    assert [t.name for t in second.merged[-1].shown] == ["b"]
    late = first.catalog.write(created("c", 3))
    with pytest.raises(Fenced):
        await late
    assert first.topics() == {"a": 1, "b": 1, "c": 1}
    await _fenced(first)
    assert not first.catalog.is_open
    assert await first.look() == {"a": 1, "b": 1}, "it kept what was never durable"
    await second.create("c", 4)
    await second.delete(1)
    assert await first.look() == {"b": 1, "c": 1}
    await first.own()
    await _fenced(second)
    await first.create("d", 5)
    assert await second.look() == {"b": 1, "c": 1, "d": 1}
    assert second.said() == first.said()


@virtual
async def test_what_changes_after_a_change_over_is_remembered_by_a_later_start() -> None:
    """The checkpoint goes on from what the log had, though other objects hold it now."""
    world = CatalogWorld(latency_s=0.001)
    nodes = [world.node().follow(), world.node().follow()]
    for number in range(1, 31):
        owner = nodes[number % 2]
        await owner.own()
        await _fenced(nodes[1 - number % 2])
        await owner.create(f"t{number}", number)
        if number % 3 == 0:
            await owner.delete(number - 1)
        owner.catalog.log.complete_segment()
        await asyncio.sleep(30)
    fresh = await world.node().own()
    assert fresh.said() == nodes[0].said()
    assert len(fresh.topics()) == 20


@virtual
async def test_a_catalog_that_cannot_be_opened_is_followed_on() -> None:
    world = CatalogWorld()
    owner = await world.node().own()
    await owner.create("a", 1)
    other = world.node().follow()
    await other.look()
    opening = asyncio.ensure_future(other.own())
    world.objects.plan += [Planned("list", "logs/0/", Fault.HANG)] * 100
    await asyncio.sleep(1.0)
    with pytest.raises(Unavailable):
        await other.catalog.look(1.0)
    opening.cancel()
    await asyncio.wait((opening,))
    world.objects.plan.clear()
    assert other.topics() == {"a": 1}
    await owner.create("b", 2)
    assert await other.look() == {"a": 1, "b": 1}


@virtual
async def test_a_start_that_fails_halfway_leaves_what_was_known() -> None:
    """What is read while the log is opened is apart, until all of it is there."""
    world = CatalogWorld()
    owner = await world.node().follow().own()
    await owner.create("a", 1)
    other = world.node().follow()
    await other.look()
    await owner.create("b", 2)
    opening = asyncio.ensure_future(other.own())
    while not opening.done():
        assert other.catalog.is_open or other.topics() == {"a": 1}
        await asyncio.sleep(0.001)
    await _fenced(owner)
    await owner.look()
    await other.create("c", 3)
    for steps in range(1, 60):
        opening = asyncio.ensure_future(owner.own())
        await asyncio.sleep(0.001 * steps)
        opening.cancel()
        await asyncio.wait((opening,))
        assert {**owner.topics(), "c": 1} == {"a": 1, "b": 1, "c": 1}
        if owner.catalog.is_open:
            break
        assert await owner.look() == {"a": 1, "b": 1, "c": 1}
    assert steps > 10
