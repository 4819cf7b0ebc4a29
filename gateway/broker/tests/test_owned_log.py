"""Several logs in a process: what lies where, who loses what, what a crash in between leaves."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from gateway.broker.journal_records import StreamOpened
from gateway.broker.metadata_records import Placement, TopicCreated, TopicForgotten
from gateway.broker.topics import Topic
from gateway.tests.harness import Client, World, batch_of, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from wal_core import Fenced, Log
from wal_core.testing.no_salvage import NoSalvage
from wal_core.types import Changes


class _Nobody:
    """The state of whoever takes a log away."""

    def __init__(self) -> None:
        self.changes = Changes()

    def restore(self, key: bytes, value: Any) -> None: ...
    def restored(self) -> None: ...
    def apply(self, entry: Any) -> None: ...
    def confirmed(self, ends: Any) -> None: ...
    def values(self, keys: Any) -> list[Any]:
        return []

    def salvage(self) -> NoSalvage:
        return NoSalvage()


async def take_away(world: World, log_id: int) -> Log:
    """Another process opens one log."""
    gateway = world.gateway
    config = dataclasses.replace(gateway.log_config, log_id=log_id)
    clock, rng = gateway.broker._clock, gateway.broker._rng
    return await Log.open(world.store, _Nobody(), config, clock=clock, rng=rng)


def topic_of(world: World, name: str = "t") -> Topic:
    topic = world.gateway.broker.topics.named(name)
    assert topic is not None
    return topic


async def commit(client: Client, group: str, topic: str, offset: int) -> int:
    part = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
    body = OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=-1,
        topics=[OffsetCommitRequestTopic(name=topic, partitions=[part])],
    )
    reply = await client.call(ApiKey.OFFSET_COMMIT, 8, body)
    code: int = reply.topics[0].partitions[0].error_code
    return code


async def committed(client: Client, group: str, topic: str) -> int:
    body = OffsetFetchRequest(
        group_id=group, topics=[OffsetFetchRequestTopic(name=topic, partition_indexes=[0])]
    )
    reply = await client.call(ApiKey.OFFSET_FETCH, 7, body)
    offset: int = reply.topics[0].partitions[0].committed_offset
    return offset


@virtual
async def test_partitions_go_round_the_logs_and_stay_where_they_are() -> None:
    world, client = await started(logs_count=3)
    await client.create("t", "u", partitions=4)
    places = {name: topic_of(world, name).record.placements for name in "tu"}
    assert [place.log_id for place in (*places["t"], *places["u"])] == [1, 2, 3, 1, 2, 3, 1, 2]
    for name in "tu":
        for index in range(4):
            assert (await client.produced(name, batch_of(b"x"), index=index)).error_code == 0
    await commit(client, "g", "t", 1)
    await world.crash()
    world.config = dataclasses.replace(world.config, logs_count=1)
    await world.start()
    client = world.client()
    assert {name: topic_of(world, name).record.placements for name in "tu"} == places
    assert (await client.produced("u", batch_of(b"x"), index=3)).base_offset == 1
    assert await committed(client, "g", "t") == 1
    await client.create("v", partitions=3)
    assert {place.log_id for place in topic_of(world, "v").record.placements} == {1}
    await world.stop()


@virtual
async def test_a_log_of_three_is_lost_alone() -> None:
    world, client = await started(logs_count=3)
    await client.create("t", partitions=3)
    for index in range(3):
        await client.produced("t", batch_of(b"x"), index=index)
    await commit(client, "g", "t", 1)
    lost = topic_of(world).partitions[1]
    for number in range(20):
        await commit(client, f"g{number}", "t", 1)
    groups = [*world.gateway.groups][lost.log_id - 1]
    assert groups.snapshot()
    parked = asyncio.ensure_future(
        world.client().fetched("t", 1, index=1, wait_ms=60_000, min_bytes=1)
    )
    await asyncio.sleep(0.1)
    other = await take_away(world, lost.log_id)
    gone = ErrorCode.NOT_LEADER_OR_FOLLOWER
    for _ in range(2):
        assert (await client.produced("t", batch_of(b"y"), index=1)).error_code == gone
        await asyncio.sleep(0.1)
    assert parked.done()
    assert parked.result().error_code == gone
    assert (await client.fetched("t", 0, index=1)).error_code == gone
    for index in (0, 2):
        assert (await client.produced("t", batch_of(b"y"), index=index)).error_code == 0
        assert (await client.fetched("t", 1, index=index)).records
    asked = MetadataRequest(topics=[MetadataRequestTopic(name="t")])
    reply = await client.call(ApiKey.METADATA, 9, asked)
    told = {p.partition_index: (p.error_code, p.leader_id) for p in reply.topics[0].partitions}
    assert told == {0: (0, 1), 1: (ErrorCode.LEADER_NOT_AVAILABLE, -1), 2: (0, 1)}
    codes = {await commit(client, f"g{number}", "t", 1) for number in range(20)}
    assert codes == {0, ErrorCode.NOT_COORDINATOR}
    assert groups.snapshot() == []  # nobody asks for them here any more
    await world.gateway.retention.sweep()
    assert await client.create("u", partitions=4) == [0]
    assert lost.log_id not in {place.log_id for place in topic_of(world, "u").record.placements}
    await other.close()
    await world.stop()


@pytest.mark.parametrize("log_ids", [(0,), (1, 2)])
def test_without_catalog_or_any_data_log_a_process_ends(log_ids: tuple[int, ...]) -> None:
    @virtual
    async def body() -> None:
        world, client = await started(logs_count=2)
        await client.create("t", partitions=2)
        failed = asyncio.ensure_future(world.gateway.failed())
        others = []
        for log_id in log_ids:
            assert not failed.done()
            others.append(await take_away(world, log_id))
            await client.create(f"u{log_id}")
            for index in range(2):
                await client.produced("t", batch_of(b"x"), index=index)
            await asyncio.sleep(0.1)
        with pytest.raises(Fenced):
            await asyncio.wait_for(failed, 1)
        for other in others:
            await other.close()
        await world.stop()

    body()


@virtual
async def test_a_process_whose_data_logs_are_all_lost_at_once_ends() -> None:
    world, _ = await started(logs_count=3)
    failed = asyncio.ensure_future(world.gateway.failed())
    for owned in world.gateway.broker.logs:
        owned.log._writer.fail(Fenced("another writer has it", log_id=owned.log_id))
    with pytest.raises(Fenced):
        await asyncio.wait_for(failed, 1)
    await world.stop()


@virtual
async def test_streams_of_a_topic_that_the_catalog_has_lost_are_kept_and_served_again() -> None:
    """An older copy of the catalog, for one."""
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"whole"))
    record, broker = topic_of(world).record, world.gateway.broker
    broker.topics.forget(record.topic_id)  # as if it had never been there
    await broker.catalog.write(TopicForgotten(topic_id=record.topic_id))
    await world.stop()
    await world.start()
    assert world.gateway.broker.topics.named("t") is None
    stream_id = record.placements[0].stream_id
    assert stream_id in world.log.stream_ids()
    client = world.client()
    await client.create("new")
    assert topic_of(world, "new").partitions[0].stream_id > stream_id
    await world.gateway.broker.catalog.write(record)
    client = await world.restart()
    assert b"whole" in bytes((await client.fetched("t", 0)).records)


@virtual
async def test_a_stream_of_another_topic_is_not_served() -> None:
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"secret"))
    place = topic_of(world).record.placements[0]
    false = TopicCreated(name="false", topic_id=b"f" * 16, placements=[place])
    await world.gateway.broker.catalog.write(false)
    client = await world.restart()
    for name, code in (("false", ErrorCode.NOT_LEADER_OR_FOLLOWER), ("t", ErrorCode.NONE)):
        assert (await client.fetched(name, 0)).error_code == code
    assert (await client.produced("false", batch_of(b"x"))).error_code != 0


@virtual
async def test_a_commit_of_a_topic_that_is_gone_is_no_commit() -> None:
    """A crash may fall between the end of a topic and that of its commits."""
    world, client = await started()
    await client.create("t")
    assert await commit(client, "g", "t", 7) == 0
    assert await committed(client, "g", "t") == 7
    broker = world.gateway.broker
    await broker.deletions.delete(topic_of(world))
    await broker.creations.settled(broker.creations.create("t"))
    client = await world.restart()
    assert await committed(client, "g", "t") == -1
    assert await commit(client, "g", "t", 2) == 0
    assert await committed(client, "g", "t") == 2


@virtual
async def test_an_idle_log_writes_nothing_and_a_topic_costs_one_write() -> None:
    world, client = await started(logs_count=3)
    written = world.objects.count("create")
    await asyncio.sleep(600)
    assert world.objects.count("create") == written
    client = world.client()
    await client.create("t", partitions=9)
    assert world.objects.count("create") == written + 1
    await client.produced("t", batch_of(b"x"), index=5)
    assert world.objects.count("create") == written + 2  # with the beginning of its stream
    opened = world.gateway.broker.logs[3].state.known(2)
    assert opened is not None
    assert isinstance(opened.opened, StreamOpened)
    assert Placement(3, 2) == topic_of(world).record.placements[5]
