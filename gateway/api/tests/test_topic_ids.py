"""Producing and fetching by topic id (KIP-516): an id is one topic for ever, a name is not."""

from typing import Any

import pytest

from gateway.tests.harness import Client, World, batch_of, produce_request, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)


def _id_of(world: World, name: str) -> bytes:
    topic = world.gateway.broker.topics.named(name)
    assert topic is not None
    return topic.id


async def _produced(client: Client, topic_id: bytes, *, index: int = 0, **fields: Any) -> Any:
    body = produce_request({("ignored", index): batch_of(b"x")}, **fields)
    body.topic_data[0].topic_id = topic_id
    reply = await client.call(ApiKey.PRODUCE, 13, body)
    assert reply.responses[0].topic_id == topic_id
    return reply.responses[0].partition_responses[0]


async def _fetched(client: Client, topic_id: bytes, version: int = 18) -> Any:
    asked = FetchTopic(
        topic_id=topic_id, partitions=[FetchPartition(partition_max_bytes=1_000_000)]
    )
    reply = await client.call(ApiKey.FETCH, version, FetchRequest(topics=[asked]))
    return reply.responses[0].partitions[0]


@virtual
async def test_a_topic_is_written_and_read_by_its_id() -> None:
    world, client = await started()
    await client.create("t", "u")
    for base_offset in range(3):
        answer = await _produced(client, _id_of(world, "t"))
        assert (answer.error_code, answer.base_offset) == (0, base_offset)
    for version in range(13, 19):
        found = await _fetched(client, _id_of(world, "t"), version)
        assert (found.error_code, found.high_watermark) == (0, 3)
    assert (await _fetched(client, _id_of(world, "u"))).high_watermark == 0


@virtual
async def test_an_id_that_nobody_has() -> None:
    world, client = await started()
    await client.create("t")
    for topic_id in (b"\x07" * 16, bytes(16)):
        assert (await _produced(client, topic_id)).error_code == ErrorCode.UNKNOWN_TOPIC_ID
    missing = await _produced(client, _id_of(world, "t"), index=5)
    assert missing.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@virtual
async def test_the_id_of_a_topic_made_anew_is_not_that_of_the_old_one() -> None:
    """By name a client would write on into the new one."""
    world, client = await started()
    await client.create("t")
    old = _id_of(world, "t")
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None
    await world.gateway.broker.deletions.delete(topic)
    await client.create("t")
    assert (await _produced(client, old)).error_code == ErrorCode.UNKNOWN_TOPIC_ID
    assert (await _fetched(client, old)).error_code == ErrorCode.UNKNOWN_TOPIC_ID
    assert (await _produced(client, _id_of(world, "t"))).base_offset == 0


@pytest.mark.parametrize("version", range(4))
def test_old_fetches_get_no_records_and_say_why(version: int) -> None:
    @virtual
    async def body() -> None:
        _, client = await started()
        await client.create("t")

        async def fetch(offset: int) -> Any:
            asked = FetchPartition(fetch_offset=offset, partition_max_bytes=1_000_000)
            body = FetchRequest(topics=[FetchTopic(topic="t", partitions=[asked])])
            reply = await client.call(ApiKey.FETCH, version, body)
            return reply.responses[0].partitions[0]

        assert (await fetch(0)).error_code == 0
        await client.produced("t", batch_of(b"x"))
        refused = await fetch(0)
        assert refused.error_code == ErrorCode.UNSUPPORTED_VERSION
        assert (bytes(refused.records), refused.high_watermark) == (b"", 1)
        at_the_end = await fetch(1)
        assert (at_the_end.error_code, bytes(at_the_end.records)) == (0, b"")
        assert (await fetch(2)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        assert client.is_open

    body()


@virtual
async def test_an_old_fetch_that_is_parked_is_told_when_records_come() -> None:
    world, client = await started()
    await client.create("t")
    asked = FetchTopic(topic="t", partitions=[FetchPartition(partition_max_bytes=1_000)])
    body = FetchRequest(max_wait_ms=60_000, min_bytes=1, topics=[asked])
    parked = client.send(ApiKey.FETCH, 2, body)
    await world.client().produced("t", batch_of(b"x"))
    code = (await parked).responses[0].partitions[0].error_code
    assert code == ErrorCode.UNSUPPORTED_VERSION


@virtual
async def test_offsets_as_they_were_asked_for_at_first() -> None:
    _, client = await started()
    await client.create("t")

    async def ask(timestamp: int, count: int, index: int = 0) -> Any:
        asked = ListOffsetsPartition(
            partition_index=index, timestamp=timestamp, max_num_offsets=count
        )
        body = ListOffsetsRequest(topics=[ListOffsetsTopic(name="t", partitions=[asked])])
        reply = await client.call(ApiKey.LIST_OFFSETS, 0, body)
        return reply.topics[0].partitions[0]

    assert (await ask(-1, 5)).old_style_offsets == [0]
    for time_ms in (1_000, 2_000, 3_000):
        await client.produced("t", batch_of(b"x", times=[time_ms]))
    await client.deleted("t", 1)
    assert (await ask(-1, 1)).old_style_offsets == [3]
    assert (await ask(-1, 5)).old_style_offsets == [3, 1]
    assert (await ask(-2, 5)).old_style_offsets == [1]
    assert (await ask(2_500, 5)).old_style_offsets == [2, 1]
    assert (await ask(9_000, 5)).old_style_offsets == [3, 1]
    assert (await ask(-1, 0)).old_style_offsets == []
    missing = await ask(-1, 1, index=7)
    assert (missing.error_code, missing.old_style_offsets) == (3, [])


@pytest.mark.parametrize("version", [10, 11])
def test_new_offsets_are_looked_for_as_long_as_was_asked(version: int) -> None:
    @virtual
    async def body() -> None:
        _, client = await started()
        await client.create("t")
        await client.produced("t", batch_of(b"x"))
        for timestamp, offset in ((-1, 1), (-2, 0), (-4, 0), (-5, -1), (-6, -1)):
            asked = ListOffsetsPartition(timestamp=timestamp)
            body = ListOffsetsRequest(
                timeout_ms=1_000, topics=[ListOffsetsTopic(name="t", partitions=[asked])]
            )
            reply = await client.call(ApiKey.LIST_OFFSETS, version, body)
            found = reply.topics[0].partitions[0]
            # What is to be tiered next can be asked for from version 11 on.
            is_known = timestamp != -6 or version == 11
            code = ErrorCode.NONE if is_known else ErrorCode.UNSUPPORTED_VERSION
            assert (found.error_code, found.offset) == (code, offset)

    body()
