"""A node takes a data log over with a catalog of yesterday: a topic that it knows was deleted, the
log's last owner has dropped its streams, and the tombstone, which everybody had served, is
forgotten. What is begun for that topic now is nobody's for ever."""

from __future__ import annotations

import asyncio

from gateway.broker.topics import Topic
from gateway.server import Gateway
from gateway.tests.cluster_world import ClusterWorld
from gateway.tests.harness import batch_of, virtual
from protocol import ErrorCode
from wal_core import SegmentStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned


class _World(ClusterWorld):
    """Each node with a way of its own to the bucket."""

    def __init__(self) -> None:
        super().__init__(3)
        self.ways: list[FaultyObjectStore] = []

    def store(self) -> SegmentStore:
        self.ways.append(FaultyObjectStore(self.objects))
        return ObjectSegmentStore(self.ways[-1])

    def lose_catalog(self, node_id: int) -> None:
        """It cannot read it, for a while."""
        self.ways[node_id - 1].plan += [Planned("list", "logs/0/", Fault.BEFORE)] * 1_000

    def find_catalog(self, node_id: int) -> None:
        self.ways[node_id - 1].plan.clear()

    async def made_again(self, controller: int, name: str, owner: int) -> None:
        """A topic is deleted, its tombstone is served and forgotten, and its name has another."""
        client = self.client(controller)
        assert await client.deleted_topics(name) == [0]
        await self.look(owner)
        await asyncio.sleep(1)
        assert await client.create("another") == [0]
        assert not self.gateways[controller].broker.topics.tombstones
        assert await client.create(name, partitions=2) == [0]
        await self.look(owner)


def _topic(gateway: Gateway, name: str) -> Topic:
    topic = gateway.broker.topics.named(name)
    assert topic is not None
    return topic


async def _index(world: ClusterWorld, name: str, log_id: int) -> int:
    """The partition of the topic that lies there; all nodes know it."""
    await world.look()
    placed = _topic(world.gateways[1], name).partitions
    return next(p.index for p in placed if p.log_id == log_id)


@virtual
async def test_a_new_owner_begins_nothing_before_it_has_read_the_catalog_since() -> None:
    world = _World()
    await world.start()
    assert await world.client(1).create("t", partitions=2) == [0]
    assert await world.client(1).create("kept", partitions=3) == [0]
    index, kept = await _index(world, "t", 2), await _index(world, "kept", 2)
    for name, at in (("t", index), ("kept", kept)):
        assert (await world.client(2).produced(name, batch_of(b"old"), index=at)).error_code == 0
    heir = world.gateways[3]
    gone = _topic(heir, "t")
    world.lose_catalog(3)
    await world.made_again(1, "t", owner=2)
    await world.give(2, 3)
    assert _topic(heir, "t") is gone, "that is what it knows"

    answer = await world.client(3).produced("t", batch_of(b"lost"), index=index)
    assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    read = await world.client(3).fetched("t", 1, index=index)
    assert read.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER, "its end may be further on"
    # What has begun was not dropped: it is served on, whoever can read the catalog.
    appended = await world.client(3).produced("kept", batch_of(b"new"), index=kept)
    assert (appended.error_code, appended.base_offset) == (0, 1)
    assert (await world.client(3).fetched("kept", 0, index=kept)).high_watermark == 2

    world.find_catalog(3)
    await world.look(3)
    await asyncio.sleep(1)
    assert _topic(heir, "t") is not gone
    assert heir.broker.logs[2].streams_of({gone.id}) == {}
    new = next(p.index for p in _topic(heir, "t").partitions if p.log_id in (2, 3))
    appended = await world.client(3).produced("t", batch_of(b"new"), index=new)
    assert (appended.error_code, appended.base_offset) == (0, 0)
    await world.stop()


@virtual
async def test_a_topic_that_nobody_has_deleted_begins_when_the_catalog_is_read_at_last() -> None:
    world = _World()
    await world.start()
    assert await world.client(1).create("t", partitions=2) == [0]
    index = await _index(world, "t", 2)
    world.lose_catalog(3)
    await world.give(2, 3)
    refused = await world.client(3).produced("t", batch_of(b"x"), index=index)
    assert refused.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    world.find_catalog(3)
    await asyncio.sleep(10)
    taken = await world.client(3).produced("t", batch_of(b"x"), index=index)
    assert (taken.error_code, taken.base_offset) == (0, 0)
    await world.stop()


@virtual
async def test_a_controller_that_was_taken_over_unheard_begins_nothing_for_what_it_believes() -> (
    None
):
    """It takes a data log over, and asks itself alone what is in the catalog."""
    world = _World()
    await world.start()
    assert await world.client(1).create("first", partitions=2) == [0]
    assert await world.client(1).create("t") == [0]
    index = await _index(world, "t", 3)
    old = world.gateways[1]
    gone = _topic(old, "t")
    await world.give(0, 2)
    await world.made_again(2, "t", owner=3)
    assert old.broker.catalog.is_ours, "as far as it knows"
    assert _topic(old, "t") is gone
    await world.give(3, 1)
    answer = await world.client(1).produced("t", batch_of(b"lost"), index=index)
    assert _topic(old, "t") is not gone or answer.error_code != 0
    assert old.broker.logs[3].streams_of({gone.id}) == {}
    await world.stop()


@virtual
async def test_a_controller_that_never_heard_a_deleted_topics_name_makes_none_in_its_place() -> (
    None
):
    """It has started since: what is left of the topic in the catalog is a tombstone with an id."""
    world = _World()
    await world.start()
    assert await world.client(1).create("t", partitions=2) == [0]
    index = await _index(world, "t", 2)
    assert (await world.client(2).produced("t", batch_of(b"old"), index=index)).error_code == 0
    world.lose_catalog(2)
    assert await world.client(1).deleted_topics("t") == [0]
    world.add(4)
    await world.move(0, 4)
    topics = world.gateways[4].broker.topics
    assert topics.named("t") is topics.gone.last("t") is None
    assert len(topics.tombstones) == 1
    client = world.client(4)
    assert await client.create("t", partitions=2) == [ErrorCode.REQUEST_TIMED_OUT]
    assert (await world.client(2).produced("t", batch_of(b"old"), index=index)).base_offset == 1
    world.find_catalog(2)
    await world.look()
    assert await client.create("t", partitions=2) == [0]
    await world.stop()
