"""Requests and errors, as the connections count them."""

from __future__ import annotations

import asyncio

from gateway.api import API_TABLE
from gateway.net.request_counts import NO_API, RequestCounts
from gateway.tests.harness import batch_of, produce_request, started, virtual
from protocol import ApiKey, ErrorCode, message_classes
from protocol.messages.list_offsets import ListOffsetsRequest
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from protocol.messages.produce import (
    PartitionProduceResponse,
    ProduceResponse,
    TopicProduceResponse,
)


@virtual
async def test_what_was_asked_is_counted_by_api_with_its_bytes_and_errors() -> None:
    world, client = await started()
    await client.create("t")
    asked = [client.produce("t", batch_of(b"x")) for _ in range(3)]
    await asyncio.gather(*asked)
    await client.call(
        ApiKey.PRODUCE, 9, produce_request({("t", 7): batch_of(b"x"), ("t", 0): batch_of(b"x")})
    )
    by_api = world.gateway.hub.counts.by_api
    produced = by_api[ApiKey.PRODUCE]
    assert produced.seconds.count == 4
    assert produced.errors == {ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: 1}
    assert produced.request_bytes > 4 * 80
    assert produced.reply_bytes > 4 * 40
    assert by_api[ApiKey.CREATE_TOPICS].errors == {}
    await world.stop()


@virtual
async def test_codes_of_large_answers_are_counted_too() -> None:
    world, client = await started()
    topics = [MetadataRequestTopic(name=f"missing-{n}") for n in range(5_000)]
    asked = MetadataRequest(topics=topics, allow_auto_topic_creation=False)
    await client.call(ApiKey.METADATA, 12, asked)
    assert world.gateway.hub.counts.by_api[ApiKey.METADATA].errors == {
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: 5_000
    }
    await world.stop()


@virtual
async def test_a_produce_without_acks_and_what_is_not_served_are_counted() -> None:
    world, client = await started()
    await client.create("t")
    client.produce("t", batch_of(b"x"), acks=0)
    await client.call(ApiKey.METADATA, 12, MetadataRequest(topics=None))
    client.send(ApiKey.LIST_OFFSETS, 0, ListOffsetsRequest())
    await asyncio.sleep(1)
    other = world.client()
    frame, _ = other.prepare(ApiKey.METADATA, 12, MetadataRequest(topics=None))
    other.transport.send(frame[:4] + (999).to_bytes(2, "big") + frame[6:])
    await asyncio.sleep(1)
    counts = world.gateway.hub.counts
    assert counts.by_api[ApiKey.PRODUCE].seconds.count == 1
    assert counts.by_api[ApiKey.PRODUCE].reply_bytes == 0
    assert counts.by_api[NO_API].seconds.count == 1
    assert counts.connections_opened == 2
    await world.stop()


def test_every_api_that_has_codes_has_them_counted() -> None:
    """Whatever the schema calls the lists around them."""
    for key, api in API_TABLE.items():
        counts = RequestCounts()
        response = message_classes(key).response()
        if not hasattr(response, "error_code"):
            continue
        response.error_code = ErrorCode.NOT_CONTROLLER
        counts.answered(api, response)
        assert counts.by_api[key].errors == {ErrorCode.NOT_CONTROLLER: 1}, api.name


def test_codes_are_found_in_lists_of_lists() -> None:
    counts = RequestCounts()
    partitions = [PartitionProduceResponse(index=n, error_code=n % 2) for n in range(4)]
    topics = [TopicProduceResponse(partition_responses=partitions)] * 2
    counts.answered(API_TABLE[ApiKey.PRODUCE], ProduceResponse(responses=topics))
    counts.answered(API_TABLE[ApiKey.PRODUCE], None)
    assert counts.by_api[ApiKey.PRODUCE].errors == {1: 4}
