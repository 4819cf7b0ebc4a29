"""Single logs of a node are opened, released and lost while it serves the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.cluster.view import CATALOG_LOG_ID, Node
from gateway.groups.coordinators import group_hash
from gateway.server import Gateway
from gateway.tests.client import Client
from gateway.tests.harness import CountingRng, VirtualClock, World, batch_of, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.heartbeat import HeartbeatRequest
from protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from protocol.messages.sync_group import SyncGroupRequest
from wal_core import Fenced

GONE = ErrorCode.NOT_LEADER_OR_FOLLOWER


class Moving(World):
    """A node that opens what a test tells it to, on a store that it shares."""

    def __init__(self, number: int, shared: World | None = None, **config: Any) -> None:
        super().__init__(**({"logs_count": 2} | config))
        if shared is not None:
            self.objects, self.store = shared.objects, shared.store
        self.lost: list[int] = []
        node = Node(number, f"n{number}", 9092)
        self.gateway = Gateway(self.config, self.store, node, VirtualClock(), CountingRng())
        self.gateway.join(lambda log_id, error: self.lost.append(log_id))

    async def take(self, *log_ids: int) -> None:
        for log_id in log_ids:
            await self.gateway.broker.open_log(log_id)

    async def give(self, *log_ids: int) -> None:
        for log_id in log_ids:
            await self.gateway.broker.release_log(log_id)

    async def codes(self, client: Client) -> list[int]:
        """Of a produce to each partition of `t`, one a log."""
        return [
            (await client.produced("t", batch_of(b"x"), index=index)).error_code
            for index in range(2)
        ]


async def two() -> tuple[Moving, Moving]:
    """The first has both data logs, with a topic on them that the second knows as well."""
    first = Moving(1)
    await first.take(CATALOG_LOG_ID, 1, 2)
    assert await first.client().create("t", partitions=2) == [0]
    await first.gateway.broker.offsets_topic.ready()
    await first.give(CATALOG_LOG_ID)
    second = Moving(2, first)
    await second.take(CATALOG_LOG_ID)
    return first, second


async def end(*nodes: Moving) -> None:
    for node in nodes:
        await node.stop()
        node.assert_idle()


@virtual
async def test_a_log_that_moves_takes_its_records_along_and_leaves_the_others_alone() -> None:
    first, second = await two()
    here, there = first.client(), second.client()
    assert await first.codes(here) == [0, 0]
    assert await second.codes(there) == [GONE, GONE]
    await first.give(1)
    await second.take(1)
    assert await first.codes(here) == [GONE, 0]
    assert await second.codes(there) == [0, GONE]
    assert (await here.fetched("t", 0)).error_code == GONE
    assert (await there.fetched("t", 0)).high_watermark == 2
    await second.give(1)
    await first.take(1)  # what was here before
    assert await first.codes(here) == [0, 0]
    assert (await here.fetched("t", 0)).high_watermark == 3
    assert (first.lost, second.lost) == ([], [])
    await end(first, second)


@virtual
async def test_what_was_taken_before_a_release_is_acknowledged_and_stays() -> None:
    first, second = await two()
    first.objects.latency_s = 0.3
    client = first.client()
    produces = [client.produce("t", batch_of(b"x")) for _ in range(3)]
    await asyncio.sleep(0.01)
    releasing = asyncio.ensure_future(first.gateway.broker.release_log(1))
    await asyncio.sleep(0.01)
    late = client.produce("t", batch_of(b"late"))
    await releasing
    answers = [p.result().responses[0].partition_responses[0] for p in (*produces, late)]
    assert [(a.error_code, a.base_offset) for a in answers[:3]] == [(0, n) for n in range(3)]
    assert answers[3].error_code == GONE
    first.objects.latency_s = 0.0
    await second.take(1)
    assert (await second.client().fetched("t", 0)).high_watermark == 3
    await end(first, second)


@virtual
async def test_whoever_waits_at_a_log_is_told_at_once_that_it_goes() -> None:
    first, second = await two()
    fetch = asyncio.ensure_future(first.client().fetched("t", 0, wait_ms=60_000))
    await asyncio.sleep(0.1)
    await first.give(1)
    await asyncio.sleep(0.1)
    assert fetch.done()
    assert fetch.result().error_code == GONE
    await end(first, second)


@virtual
async def test_a_repeated_batch_is_known_after_a_move() -> None:
    """The end of the segment remembers producers."""
    first, second = await two()
    batch = batch_of(b"x", producer_id=7, producer_epoch=0, base_sequence=0)
    assert (await first.client().produced("t", batch)).base_offset == 0
    await first.give(1)
    await second.take(1)
    there = second.client()
    assert (await there.produced("t", batch)).base_offset == 0
    assert (await there.fetched("t", 0)).high_watermark == 1
    await end(first, second)


async def joined(client: Client, member_id: str = "") -> Any:
    body = JoinGroupRequest(
        group_id="g",
        member_id=member_id,
        session_timeout_ms=30_000,
        rebalance_timeout_ms=30_000,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"m")],
    )
    return await client.call(ApiKey.JOIN_GROUP, 5, body)


@virtual
async def test_a_group_moves_with_its_members_and_offsets() -> None:
    first, second = await two()
    here = first.client()
    log_id = first.gateway.broker.offsets_topic.log_of(group_hash("g"))
    assert log_id is not None
    member = await joined(here, (await joined(here)).member_id)
    assert member.error_code == 0
    sync = SyncGroupRequest(
        group_id="g", generation_id=member.generation_id, member_id=member.member_id
    )
    assert (await here.call(ApiKey.SYNC_GROUP, 3, sync)).error_code == 0
    commit = OffsetCommitRequest(
        group_id="g",
        generation_id_or_member_epoch=member.generation_id,
        member_id=member.member_id,
        topics=[
            OffsetCommitRequestTopic(
                name="t",
                partitions=[OffsetCommitRequestPartition(partition_index=0, committed_offset=5)],
            )
        ],
    )
    committed = await here.call(ApiKey.OFFSET_COMMIT, 7, commit)
    assert committed.topics[0].partitions[0].error_code == 0
    beat = HeartbeatRequest(
        group_id="g", generation_id=member.generation_id, member_id=member.member_id
    )
    await first.give(log_id)
    assert (await here.call(ApiKey.HEARTBEAT, 3, beat)).error_code == ErrorCode.NOT_COORDINATOR
    await second.take(log_id)
    there = second.client()
    assert (await there.call(ApiKey.HEARTBEAT, 3, beat)).error_code == 0
    asked = OffsetFetchRequest(
        group_id="g", topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0])]
    )
    told = await there.call(ApiKey.OFFSET_FETCH, 7, asked)
    assert told.topics[0].partitions[0].committed_offset == 5
    await end(first, second)


@virtual
async def test_a_node_that_loses_its_last_logs_goes_on_and_may_be_given_them_again() -> None:
    first, second = await two()
    assert await first.codes(first.client()) == [0, 0]
    await second.take(1, 2)  # as from one that is thought to be dead
    client = first.client()
    assert await first.codes(client) == [GONE, GONE]
    await asyncio.sleep(1)
    assert sorted(first.lost) == [1, 2]
    assert [*first.gateway.broker.logs] == []
    await second.give(1, 2)
    await first.take(1, 2)
    assert await first.codes(client) == [0, 0]
    assert (await client.fetched("t", 0)).high_watermark == 2
    await end(first, second)


@virtual
async def test_a_node_that_loses_the_catalog_goes_on() -> None:
    first, second = await two()
    await first.take(CATALOG_LOG_ID)
    with pytest.raises(Fenced):
        await second.gateway.broker.catalog.log.check_owner()
    await asyncio.sleep(1)
    assert second.lost == [CATALOG_LOG_ID]
    assert not second.gateway.broker.catalog.is_open
    await first.give(1)
    await second.take(1)
    assert await second.codes(second.client()) == [0, GONE]
    await end(first, second)


@virtual
async def test_an_opening_that_fails_leaves_the_node_without_the_log() -> None:
    first, second = await two()
    await first.give(1)
    second.objects.latency_s = 0.2
    opening = asyncio.ensure_future(second.gateway.broker.open_log(1))
    await asyncio.sleep(0.3)
    opening.cancel()
    await asyncio.wait((opening,))
    second.objects.latency_s = 0.0
    assert second.gateway.broker.logs.term_of(1) is None
    assert await second.codes(second.client()) == [GONE, GONE]
    await second.take(1)
    assert await second.codes(second.client()) == [0, GONE]
    await end(first, second)
