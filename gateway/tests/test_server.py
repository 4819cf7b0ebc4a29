"""Start and graceful stop of a whole gateway, in virtual time."""

import asyncio

import pytest

from gateway.tests.harness import World, batch_of, fetch_request, loop_ms, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from wal_core import Fenced, Unavailable


@virtual
async def test_stop_acknowledges_what_was_read() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 0.5
    produces = [client.produce("t", batch_of(b"x")) for _ in range(5)]
    await world.stop()
    answers = [r.result().responses[0].partition_responses[0] for r in produces]
    assert [(a.error_code, a.base_offset) for a in answers] == [(0, n) for n in range(5)]
    assert client.transport.lost
    await world.start()
    assert (await world.client().fetched("t", 0)).high_watermark == 5


@virtual
async def test_stop_serves_what_was_read_behind_a_request_that_holds_it_back() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 0.2
    names = [MetadataRequestTopic(name="made-by-metadata")]
    metadata = client.send(ApiKey.METADATA, 9, MetadataRequest(topics=names))
    produces = [client.produce("t", batch_of(b"x")) for _ in range(3)]
    await world.stop()
    assert metadata.result().topics[0].error_code == 0
    assert [r.result().responses[0].partition_responses[0].error_code for r in produces] == [0] * 3
    world.assert_idle()


@virtual
async def test_stop_answers_parked_fetches_at_once() -> None:
    world, client = await started()
    await client.create("t")
    fetch = client.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, wait_ms=100_000))
    await asyncio.sleep(0.1)
    began_ms = loop_ms()
    await world.stop()
    assert fetch.result().responses[0].partitions[0].error_code == 0
    assert loop_ms() - began_ms < 100
    world.assert_idle()


@virtual
async def test_a_parked_join_does_not_hold_up_the_stop() -> None:
    world, client = await started(group_initial_rebalance_delay_ms=60_000)
    join = JoinGroupRequest(
        group_id="g",
        session_timeout_ms=30_000,
        rebalance_timeout_ms=60_000,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"m")],
    )
    reply = client.send(ApiKey.JOIN_GROUP, 2, join)
    behind = client.send(ApiKey.METADATA, 9, MetadataRequest(topics=[]))
    await asyncio.sleep(0.1)
    assert not reply.done()
    began_ms = loop_ms()
    await world.stop()
    assert reply.result().error_code == ErrorCode.NOT_COORDINATOR
    assert behind.done()
    assert loop_ms() - began_ms < 100
    world.assert_idle()


@virtual
async def test_stop_takes_nothing_new() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 0.5
    produced = client.produce("t", batch_of(b"x"))
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(world.stop())
    await asyncio.sleep(0)
    late = client.produce("t", batch_of(b"y"))
    newcomer = world.client()
    await stopping
    assert produced.done()
    assert not late.done()
    assert newcomer.transport.lost
    await world.start()
    assert (await world.client().fetched("t", 0)).high_watermark == 1


@virtual
async def test_stop_gives_up_after_the_drain_time_and_answers_nothing_out_of_turn() -> None:
    """The reply behind one that is given up must not pass for it."""
    world, client = await started(drain_ms=1_000)
    await client.create("t")
    world.objects.latency_s = 20.0
    stuck = client.produce("t", batch_of(b"x"))
    refused = client.produce("missing", batch_of(b"x"))
    began_ms = loop_ms()
    with pytest.raises(Unavailable):  # the log's own patience ends later
        await world.stop()
    assert not stuck.done()
    assert not refused.done()
    assert client.transport.lost
    assert loop_ms() - began_ms < 1_000 + 30_000 + 2_000
    world.assert_idle()


@virtual
async def test_stop_waits_for_a_client_that_is_slow_to_read_but_not_for_ever() -> None:
    world, client = await started(drain_ms=2_000)
    other = world.client()
    await client.create("t")
    await client.produced("t", batch_of(b"x" * (3 << 20)))
    asked = fetch_request({("t", 0): 0}, partition_bytes_max=4 << 20)
    for each in (client, other):
        each.transport.stall()
    fetches = [client.send(ApiKey.FETCH, 12, asked) for _ in range(3)]
    never = other.send(ApiKey.FETCH, 12, asked)
    await asyncio.sleep(0.1)
    began_ms = loop_ms()
    stopping = asyncio.ensure_future(world.stop())
    await asyncio.sleep(1)
    client.transport.take()
    await stopping
    assert fetches[0].done() and fetches[1].done()
    assert not never.done()
    assert other.transport.lost
    assert loop_ms() - began_ms < 2_200


@virtual
async def test_a_gateway_that_lost_its_log_says_so() -> None:
    world, client = await started()
    await client.create("t")
    other = World()
    other.objects, other.store = world.objects, world.store
    await other.start()  # takes the log over
    waiting = asyncio.ensure_future(world.gateway.failed())
    answer = await client.produced("t", batch_of(b"x"))
    assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    with pytest.raises(Fenced):
        await waiting
    await world.stop()
    assert (await other.client().fetched("t", 0)).high_watermark == 0
