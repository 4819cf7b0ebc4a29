"""Topics deleted by one node whose records lie on the logs of others: dropped there, and their
tombstones go once all have said so, whoever is the controller by then."""

from __future__ import annotations

import asyncio

from gateway.tests.cluster_world import ClusterWorld
from gateway.tests.harness import batch_of, virtual
from wal_core import Fenced
from wal_core.testing.faulty_object_store import Fault, Planned

SWEEP_S = 400.0


async def _world() -> ClusterWorld:
    """Partition n of t, with a record, lies on log n + 1, which node n + 1 has."""
    world = await ClusterWorld(3).start()
    assert await world.client(1).create("t", partitions=3) == [0]
    await world.look()
    for node_id in world.gateways:
        batch = batch_of(b"x")
        produced = await world.client(node_id).produced("t", batch, index=node_id - 1)
        assert produced.error_code == 0
    return world


async def _deleted(world: ClusterWorld) -> bytes:
    topic = world.gateways[1].broker.topics.named("t")
    assert topic is not None
    assert await world.client(2).deleted_topics("t") == [0]
    return topic.id


def _unserved(world: ClusterWorld, node_id: int = 1) -> list[list[int]]:
    return list(world.gateways[node_id].broker.catalog.unserved().values())


def _left(world: ClusterWorld, topic_id: bytes) -> list[int]:
    """The logs that have streams of the topic."""
    return [
        owned.log_id
        for gateway in world.gateways.values()
        for owned in gateway.broker.logs.serving()
        if owned.streams_of({topic_id})
    ]


async def _forgotten(world: ClusterWorld, node_id: int, name: str) -> bool:
    """The end of a tombstone is written with what the catalog is told next."""
    assert await world.client(node_id).create(name) == [0]
    return not world.gateways[node_id].broker.topics.tombstones


@virtual
async def test_all_owners_drop_what_they_have_and_the_tombstone_goes() -> None:
    world = await _world()
    topic_id = await _deleted(world)
    await world.look()
    await asyncio.sleep(1)
    assert _left(world, topic_id) == []
    assert _unserved(world) == []
    assert await _forgotten(world, 1, "u")
    await world.look()
    assert all(not g.broker.topics.tombstones for g in world.gateways.values())
    await world.stop()


@virtual
async def test_a_tombstone_stays_until_the_last_owner_has_written_it_down() -> None:
    world = await _world()
    world.objects.plan += [Planned("create", "logs/3/", Fault.HANG)] * 2
    topic_id = await _deleted(world)
    await world.look()
    await asyncio.sleep(2)
    assert _unserved(world) == [[3]]
    assert not await _forgotten(world, 1, "u")
    await asyncio.sleep(60)  # it is written at last
    assert _unserved(world) == []
    assert _left(world, topic_id) == []
    assert await _forgotten(world, 1, "v")
    await world.stop()


@virtual
async def test_the_next_controller_is_told_again() -> None:
    world = await _world()
    world.cut = {1}
    topic = world.gateways[1].broker.topics.named("t")
    assert topic is not None
    await world.gateways[1].broker.deletions.delete(topic)
    await world.look()
    await asyncio.sleep(10)
    assert _unserved(world) == [[2, 3]]  # they have dropped it, and reach nobody
    assert _left(world, topic.id) == []
    world.cut = set()
    await asyncio.sleep(10)  # each look tries again
    assert _unserved(world) == []
    await world.move(0, 2)
    await world.look()
    await asyncio.sleep(10)
    assert _unserved(world, 2) == []
    assert await _forgotten(world, 2, "u")
    await world.stop()


@virtual
async def test_who_was_overtaken_while_writing_a_tombstone_serves_that_of_the_next() -> None:
    world = await _world()
    topic = world.gateways[1].broker.topics.named("t")
    assert topic is not None
    world.objects.plan += [Planned("create", "logs/0/", Fault.HANG)]
    deletions = world.gateways[1].broker.deletions
    overtaken = deletions.delete(topic)
    await asyncio.sleep(0.1)
    deletions.serve_tombstones()
    assert 1 in _left(world, topic.id)  # what may come back is not given up
    await world.give(0, 2)
    await asyncio.sleep(20)
    assert isinstance(overtaken.exception(), Fenced)
    assert await world.client(2).deleted_topics("t") == [0]  # asked again
    await world.look()
    await asyncio.sleep(10)
    assert _left(world, topic.id) == []
    assert _unserved(world, 2) == []
    await world.stop()


@virtual
async def test_what_cannot_be_told_now_is_told_later_and_nothing_twice() -> None:
    world = await _world()
    world.cut = {1}
    topic = world.gateways[1].broker.topics.named("t")
    assert topic is not None
    await world.gateways[1].broker.deletions.delete(topic)
    await world.look()
    await asyncio.sleep(10)
    world.cut = set()
    await asyncio.sleep(SWEEP_S)
    assert _unserved(world) == []
    asked = [g.controller._correlation_id for g in world.gateways.values()]
    await asyncio.sleep(SWEEP_S)
    assert [g.controller._correlation_id for g in world.gateways.values()] == asked
    assert topic.id in world.gateways[2].broker.topics.tombstones
    await world.stop()


@virtual
async def test_an_owner_that_took_a_log_over_finds_what_is_left_there() -> None:
    """The one before it had not heard of the deletion."""
    world = await _world()
    topic = world.gateways[1].broker.topics.named("t")
    assert topic is not None
    await world.gateways[1].broker.deletions.delete(topic)
    await world.give(3, 2)
    await world.look(2)
    await asyncio.sleep(10)
    assert _unserved(world) == []
    assert world.gateways[2].broker.logs[3].streams_of({topic.id}) == {}
    await world.stop()


@virtual
async def test_a_log_that_comes_back_is_looked_through_again() -> None:
    """Whoever had it meanwhile may not have known of the deletion, and have begun a stream."""
    world = await _world()
    topic_id = await _deleted(world)
    await world.look()
    await asyncio.sleep(1)
    catalog = world.gateways[3].broker.catalog
    assert (topic_id, 3) in list(catalog.served())
    catalog.look_again_at(3)
    assert (topic_id, 3) not in list(catalog.served())
    await world.move(3, 2)
    await world.move(3, 3)
    await asyncio.sleep(1)
    assert (topic_id, 3) in list(catalog.served())
    await world.stop()


@virtual
async def test_streams_of_topics_that_nobody_has_heard_of_are_kept() -> None:
    """Without a tombstone nothing is dropped, however long the catalog does not show the topic."""
    world = await _world()
    broker = world.gateways[3].broker
    topic = broker.topics.named("t")
    assert topic is not None
    broker.topics.forget(topic.id)
    broker.deletions.serve_tombstones()
    await world.gateways[3].retention.sweep()
    await asyncio.sleep(SWEEP_S)
    assert broker.logs[3].streams_of({topic.id})
    assert _left(world, topic.id) == [1, 2, 3]
    await world.stop()
