"""Quotas on the way of a request: what is charged, what replies say, when the next is read."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.api import API_TABLE
from gateway.fairness.quotas import CONSUMED, PRODUCED, WORKED
from gateway.tests.harness import (
    Client,
    World,
    batch_of,
    fetch_request,
    loop_ms,
    produce_request,
    run,
    started,
    virtual,
)
from protocol import ApiKey, Message, message_classes
from protocol.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    EntryData,
    OpData,
)
from protocol.messages.metadata import MetadataRequest

VALUE = bytes(1_000)
CLIENT_ID = "test"  # of the tests' client


async def limit(client: Client, quotas: Mapping[str, float], client_id: str = CLIENT_ID) -> None:
    entry = EntryData(
        entity=[EntityData("client-id", client_id)],
        ops=[OpData(key, value, False) for key, value in quotas.items()],
    )
    request = AlterClientQuotasRequest(entries=[entry])
    frame, reply = client.prepare(ApiKey.ALTER_CLIENT_QUOTAS, 1, request, client_id="admin")
    client.transport.send(frame)
    assert (await reply).entries[0].error_code == 0


def _together(client: Client, *asked: tuple[ApiKey, Message]) -> list[asyncio.Future[Any]]:
    """Requests that come in one read."""
    prepared = [client.prepare(key, 9, body) for key, body in asked]
    client.transport.send(b"".join(frame for frame, _ in prepared))
    return [reply for _, reply in prepared]


def _produce() -> tuple[ApiKey, Message]:
    return ApiKey.PRODUCE, produce_request({("t", 0): batch_of(VALUE)})


METADATA = ApiKey.METADATA, MetadataRequest(topics=[])


async def _metadata(client: Client) -> Any:
    return await client.call(ApiKey.METADATA, 9, MetadataRequest(topics=[]))


@virtual
async def test_a_producer_above_its_quota_is_answered_at_once_and_then_not_read() -> None:
    world, client = await started()
    await client.create("t")
    await limit(client, {PRODUCED: 1_000})
    reply = await client.produce("t", batch_of(VALUE * 5))
    assert reply.throttle_time_ms == 0  # it has ten seconds' worth
    began_ms = loop_ms()
    reply = await client.produce("t", batch_of(VALUE * 10))
    assert loop_ms() - began_ms < 100
    # Some hundred bytes are the requests' own.
    assert reply.throttle_time_ms == pytest.approx(5_000, rel=0.1)
    waiting = client.produce("t", batch_of(b"x"))
    await asyncio.sleep((reply.throttle_time_ms - 1) / 1_000)
    assert not waiting.done()
    assert client.transport.inbox
    assert (await waiting).responses[0].partition_responses[0].error_code == 0
    assert loop_ms() - began_ms == pytest.approx(reply.throttle_time_ms, abs=100)
    await world.stop()


@virtual
async def test_another_client_is_not_slowed_down() -> None:
    world, client = await started()
    await client.create("t")
    await limit(client, {PRODUCED: 10, CONSUMED: 10}, client_id="another")
    for _ in range(3):
        assert (await client.produce("t", batch_of(VALUE * 10))).throttle_time_ms == 0
    await limit(client, {PRODUCED: 10})
    other = world.client()
    assert (await client.produce("t", batch_of(VALUE))).throttle_time_ms > 0
    assert (await _metadata(other)).throttle_time_ms == 0
    await world.stop()


@virtual
async def test_requests_sent_ahead_wait_as_well() -> None:
    """They are in memory when the first is found to be too much."""
    world, client = await started()
    await client.create("t")
    await limit(client, {PRODUCED: 1_000})
    large = ApiKey.PRODUCE, produce_request({("t", 0): batch_of(VALUE * 20)})
    first, *later = _together(client, large, METADATA, _produce(), METADATA)
    assert not client.transport.inbox
    began_ms = loop_ms()
    first_ms = (await first).throttle_time_ms
    assert first_ms > 9_000
    await later[0]
    assert loop_ms() - began_ms == pytest.approx(first_ms, abs=100)
    second_ms = (await later[1]).throttle_time_ms
    assert second_ms > 9_000
    await later[2]
    assert loop_ms() - began_ms == pytest.approx(first_ms + second_ms, abs=200)
    await world.stop()


@virtual
async def test_over_a_long_time_a_producer_gets_its_quota_whatever_it_tries() -> None:
    world, client = await started()
    await client.create("t")
    await limit(client, {PRODUCED: 2_000})
    began_ms, count = loop_ms(), 60
    for reply in [client.produce("t", batch_of(VALUE)) for _ in range(count)]:
        assert (await reply).responses[0].partition_responses[0].error_code == 0
    used = count * (len(VALUE) + 60)
    assert loop_ms() - began_ms >= (used / 2_000 - 10) * 1_000
    await world.stop()


@virtual
async def test_a_producer_that_wants_no_answers_is_not_read_either() -> None:
    world, client = await started()
    await client.create("t")
    await limit(client, {PRODUCED: 1_000})
    for _ in range(2):
        request = produce_request({("t", 0): batch_of(VALUE * 10)}, acks=0)
        frame, reply = client.prepare(ApiKey.PRODUCE, 9, request)
        reply.cancel()
        client.transport.send(frame)
    await asyncio.sleep(1)
    assert client.transport.is_paused
    partition = world.gateway.broker.partition("t", 0)
    assert partition is not None
    assert partition.high_watermark > 0
    client.transport.lose()
    await world.stop()


@virtual
async def test_a_consumer_gets_no_more_at_once_than_its_quota_allows_in_all_its_windows() -> None:
    world, client = await started()
    await client.create("t")
    for _ in range(30):
        await client.produced("t", batch_of(VALUE))
    await limit(client, {CONSUMED: 500})
    reply = await client.call(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}))
    got_bytes = len(reply.responses[0].partitions[0].records)
    assert 4_000 < got_bytes <= 5_000
    assert reply.throttle_time_ms == 0
    began_ms = loop_ms()
    reply = await client.call(ApiKey.FETCH, 12, fetch_request({("t", 0): 4}))
    assert reply.throttle_time_ms == pytest.approx((2 * got_bytes / 500 - 10) * 1_000, abs=600)
    await _metadata(client)
    assert loop_ms() - began_ms == pytest.approx(reply.throttle_time_ms, abs=100)
    await world.stop()


@virtual
async def test_requests_are_charged_for_the_loops_time() -> None:
    world, client = await started()
    loop = asyncio.get_running_loop()
    real = API_TABLE[ApiKey.METADATA].handle

    async def slow(request: Any, call: Any) -> Any:
        loop.advance(0.2)  # type: ignore[attr-defined]
        await asyncio.sleep(3)  # which costs the loop nothing
        return await real(request, call)

    object.__setattr__(API_TABLE[ApiKey.METADATA], "handle", slow)
    try:
        assert (await _metadata(client)).throttle_time_ms == 0
        await limit(client, {WORKED: 4})
        assert [(await _metadata(client)).throttle_time_ms for _ in range(2)] == [0, 0]
        assert 0 < (await _metadata(client)).throttle_time_ms <= 1_000
    finally:
        object.__setattr__(API_TABLE[ApiKey.METADATA], "handle", real)
    await world.stop()


def test_each_reply_that_can_say_it_does() -> None:
    """Every API in its newest version: a client that has used too much of the loop."""

    async def body() -> None:
        world, client = await started()
        await limit(client, {WORKED: 0.0001})
        for api in API_TABLE.values():
            world.gateway.broker.quotas.charge(WORKED, CLIENT_ID, 1.0, loop_ms() / 1_000)
            request = message_classes(api.key).request()
            if api.brings_data:
                request.acks = -1  # type: ignore[attr-defined]
            reply = await client.call(api.key, api.max_version, request)
            says = getattr(reply, "throttle_time_ms", None)
            assert says is None or says > 0, api.name
        await world.stop()

    run(body)


@virtual
async def test_a_stop_does_not_wait_for_who_is_throttled() -> None:
    world, client = await started()
    await client.create("t")
    await limit(client, {PRODUCED: 1})
    first, second, third = _together(client, _produce(), _produce(), METADATA)
    assert (await first).throttle_time_ms > 100_000
    began_ms = loop_ms()
    await world.stop()
    assert loop_ms() - began_ms < 10_000
    assert second.done()
    assert third.done()


@virtual
async def test_what_was_read_of_a_throttled_client_is_stored_though_it_goes() -> None:
    world, client = await started()
    await client.create("t")
    await limit(client, {PRODUCED: 1})
    first, metadata, last = _together(client, _produce(), METADATA, _produce())
    await first
    partition = world.gateway.broker.partition("t", 0)
    assert partition is not None
    assert partition.high_watermark == 1
    for reply in (metadata, last):
        reply.cancel()
    client.transport.lose()
    await asyncio.sleep(1)
    assert partition.high_watermark == 2
    world.assert_idle()
    await world.stop()


async def _throttled(world: World) -> Client:
    client = world.client()
    await limit(client, {PRODUCED: 1})
    assert (await client.produce("t", batch_of(VALUE))).throttle_time_ms > 0
    return client


@virtual
async def test_a_throttled_client_that_has_gone_leaves_nothing() -> None:
    world, client = await started()
    await client.create("t")
    throttled = await _throttled(world)
    throttled.transport.lose()
    await asyncio.sleep(0)
    world.assert_idle()
    assert throttled.connection not in world.gateway.hub.connections
    await world.stop()
