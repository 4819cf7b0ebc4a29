"""What a node does that has not heard yet what another one has written into the catalog.

Each of these keeps what would be lost, or shown to the wrong, if what a node knows were taken for
what is.
"""

from __future__ import annotations

import asyncio

import pytest

from gateway.broker.metadata_records import ConfigsChanged
from gateway.broker.topics import Topic
from gateway.groups.coordinators import group_hash
from gateway.server import Gateway
from gateway.tests.cluster_world import ClusterWorld
from gateway.tests.harness import batch_of, fetch_request, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from wal_core import Fenced
from wal_core.testing.faulty_object_store import Fault, Planned


def _topic(gateway: Gateway, name: str) -> Topic:
    topic = gateway.broker.topics.named(name)
    assert topic is not None
    return topic


def _away(world: ClusterWorld) -> None:
    """Nobody can read the catalog, for a while."""
    world.objects.plan += [Planned("list", "logs/0/", Fault.HANG)] * 1_000


@virtual
async def test_retention_does_not_act_on_settings_of_yesterday() -> None:
    """They were made longer; the owner of the partition has not heard of it when it looks."""
    world = await ClusterWorld(2).start()
    assert await world.client(1).create("t", partitions=2, configs={"retention.ms": "1000"}) == [0]
    await world.look()
    owner = world.gateways[2]
    batch = batch_of(b"old", times=[owner.broker.now_ms() - 5_000])
    assert (await world.client(2).produced("t", batch, index=1)).error_code == 0
    owner.broker.logs[2].log.complete_segment()
    await asyncio.sleep(1)
    controller = world.gateways[1].broker
    await controller.change_configs(_topic(world.gateways[1], "t"), {"retention.ms": "-1"})
    assert _topic(owner, "t").configs == {"retention.ms": "1000"}
    partition = _topic(owner, "t").partitions[1]
    _away(world)
    with pytest.raises(TimeoutError):
        await owner.retention.sweep()
    world.objects.plan.clear()
    await asyncio.sleep(60)  # what hangs is given up
    await controller.change_configs(_topic(world.gateways[1], "t"), {"retention.ms": "90000"})
    assert await owner.retention.sweep() == 0
    assert partition.log_start_offset == 0
    await controller.change_configs(_topic(world.gateways[1], "t"), {"retention.ms": "1000"})
    assert await owner.retention.sweep() == 1
    await world.stop()


@virtual
async def test_a_controller_that_was_taken_over_without_hearing_of_it_expires_nothing() -> None:
    world = await ClusterWorld(2).start()
    assert await world.client(1).create("t", configs={"retention.ms": "1000"}) == [0]
    old = world.gateways[1]
    batch = batch_of(b"old", times=[old.broker.now_ms() - 5_000])
    assert (await world.client(1).produced("t", batch)).error_code == 0
    await world.give(0, 2)
    await world.look(2)
    await world.gateways[2].broker.change_configs(_topic(world.gateways[2], "t"), {})
    assert old.broker.catalog.is_ours  # as far as it knows
    with pytest.raises(Fenced):
        await old.retention.sweep()
    assert _topic(old, "t").partitions[0].log_start_offset == 0
    await world.stop()


@virtual
async def test_a_take_over_with_a_stale_catalog_keeps_what_it_does_not_know() -> None:
    world = await ClusterWorld(3).start()
    await world.look()
    assert await world.client(1).create("t", partitions=3) == [0]
    await world.look(2)
    for value in (b"a", b"b"):
        assert (await world.client(2).produced("t", batch_of(value), index=1)).error_code == 0
    _away(world)
    await world.give(2, 3)  # node 2 has not heard of it, and node 3 nothing of t
    assert world.gateways[3].broker.topics.named("t") is None
    world.gateways[3].broker.logs[2].log.complete_segment()
    await asyncio.sleep(60)
    assert world.gateways[3].broker.topics.named("t") is None
    world.objects.plan.clear()
    await world.look(3)
    fetched = await world.client(3).call(ApiKey.FETCH, 11, fetch_request({("t", 1): 0}))
    answer = fetched.responses[0].partitions[0]
    assert (answer.error_code, answer.high_watermark) == (0, 2)
    appended = await world.client(3).produced("t", batch_of(b"c"), index=1)
    assert (appended.error_code, appended.base_offset) == (0, 2)
    await world.stop()


@virtual
async def test_a_topic_is_not_made_again_before_its_owners_have_heard_of_its_end() -> None:
    """What they acknowledge until then is for the one that is gone, and goes with it."""
    world = await ClusterWorld(3).start()
    assert await world.client(1).create("t", partitions=3) == [0]
    await world.look()
    index = next(p.index for p in _topic(world.gateways[2], "t").partitions if p.log_id == 2)
    owner = world.client(2)
    assert (await owner.produced("t", batch_of(b"old"), index=index)).error_code == 0
    _away(world)
    assert await world.client(1).deleted_topics("t") == [0]
    again = asyncio.ensure_future(world.client(1).create("t", partitions=3))
    await asyncio.sleep(1)
    assert (await owner.produced("t", batch_of(b"old"), index=index)).base_offset == 1
    assert not again.done()
    world.objects.plan.clear()
    assert await again == [0]
    await world.look()
    for gateway in world.gateways.values():
        partition = _topic(gateway, "t").partitions[index]
        if partition.is_served:
            client = world.client(partition.log_id)
            appended = await client.produced("t", batch_of(b"new"), index=index)
            assert (appended.error_code, appended.base_offset) == (0, 0)
    await world.stop()


@virtual
async def test_who_makes_a_topic_again_that_its_owner_cannot_hear_of_is_told_to_come_again() -> (
    None
):
    world = await ClusterWorld(2).start()
    assert await world.client(1).create("t", partitions=2) == [0]
    await world.look()
    assert (await world.client(2).produced("t", batch_of(b"old"), index=1)).error_code == 0
    _away(world)
    assert await world.client(1).deleted_topics("t") == [0]
    assert await world.client(1).create("t", partitions=2) == [ErrorCode.REQUEST_TIMED_OUT]
    assert await world.client(1).create("u", partitions=2) == [0]
    world.objects.plan.clear()
    await world.look()
    assert await world.client(1).create("t", partitions=2) == [0]
    await world.stop()


class _Group:
    """What a group commits for partition 0 of t at whoever has it."""

    def __init__(self, world: ClusterWorld) -> None:
        self.world = world
        self.home = 0

    async def settle(self) -> None:
        broker = self.world.gateways[1].broker
        await broker.offsets_topic.ready()
        await self.world.look()
        node = broker.offsets_topic.node_of(group_hash("g"))
        assert node is not None
        self.home = node.node_id

    async def commit(self, offset: int) -> int:
        partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
        asked = OffsetCommitRequest(
            group_id="g",
            topics=[OffsetCommitRequestTopic(name="t", partitions=[partition])],
        )
        reply = await self.world.client(self.home).call(ApiKey.OFFSET_COMMIT, 2, asked)
        code: int = reply.topics[0].partitions[0].error_code
        return code

    async def fetched(self) -> int:
        asked = OffsetFetchRequest(
            group_id="g", topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0])]
        )
        reply = await self.world.client(self.home).call(ApiKey.OFFSET_FETCH, 5, asked)
        assert reply.error_code == 0
        offset: int = reply.topics[0].partitions[0].committed_offset
        return offset


async def _made_again(world: ClusterWorld) -> None:
    client = world.client(1)
    assert await client.deleted_topics("t") == [0]
    assert await client.create("t") == [0]


@virtual
async def test_what_was_committed_for_a_topic_is_none_of_the_one_that_has_its_name() -> None:
    world = await ClusterWorld(3).start()
    assert await world.client(1).create("t") == [0]
    group = _Group(world)
    await group.settle()
    assert await group.commit(5) == 0
    await _made_again(world)
    # The coordinator has heard of neither: who commits now means the topic that it knows.
    assert await group.commit(7) == 0
    assert await group.fetched() == 7
    await world.look()
    assert await group.fetched() == -1
    assert await group.commit(1) == 0
    await asyncio.sleep(10)
    assert await group.fetched() == 1
    await world.stop()


@virtual
async def test_the_news_of_a_deletion_takes_no_commit_of_the_topic_that_came_after() -> None:
    """It was committed at a coordinator that knew more; this one hears of both topics later."""
    world = await ClusterWorld(3).start()
    assert await world.client(1).create("t") == [0]
    group = _Group(world)
    await group.settle()
    assert await group.commit(5) == 0
    heir = next(node_id for node_id in (2, 3) if node_id != group.home)
    await _made_again(world)
    await world.look(group.home)
    assert await group.commit(1) == 0
    log_id = next(
        log_id
        for log_id, owner in world.table.owners.items()
        if log_id and owner.node_id == group.home
    )
    _away(world)
    before = _topic(world.gateways[heir], "t").id
    await world.give(log_id, heir)
    group.home = heir
    assert _topic(world.gateways[heir], "t").id == before
    world.objects.plan.clear()
    await world.look()
    await asyncio.sleep(10)
    assert await group.fetched() == 1
    await world.stop()


@virtual
async def test_quotas_and_settings_of_brokers_hold_at_every_node() -> None:
    world = await ClusterWorld(2).start()
    await world.look()
    other = world.gateways[2].broker
    before = other.topics.defaults.values["max.message.bytes"]
    record = ConfigsChanged(kind="broker", name="", configs={"message.max.bytes": "5000"})
    await world.gateways[1].broker.catalog.write(record)
    await world.look(2)
    assert before != "5000"
    assert other.topics.defaults.values["max.message.bytes"] == "5000"
    await world.stop()
