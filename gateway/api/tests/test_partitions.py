"""CreatePartitions through the codec, on one log and on three, through crashes and slow storage."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from gateway.tests.harness import NODE, Client, World, batch_of, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

NONE = ErrorCode.NONE
INVALID = ErrorCode.INVALID_PARTITIONS


def _grown(name: str, count: int, assignments: list[list[int]] | None = None) -> Any:
    given = None if assignments is None else [CreatePartitionsAssignment(a) for a in assignments]
    return CreatePartitionsTopic(name=name, count=count, assignments=given)


async def _grow(
    client: Client, *topics: CreatePartitionsTopic, version: int = 3, **fields: Any
) -> list[tuple[int, str | None]]:
    body = CreatePartitionsRequest(topics=list(topics), **({"timeout_ms": 9_000} | fields))
    reply = await client.call(ApiKey.CREATE_PARTITIONS, version, body)
    return [(r.error_code, r.error_message) for r in reply.results]


async def _told(client: Client, name: str) -> int:
    body = MetadataRequest(
        topics=[MetadataRequestTopic(name=name)], allow_auto_topic_creation=False
    )
    reply = await client.call(ApiKey.METADATA, 9, body)
    assert [p.partition_index for p in reply.topics[0].partitions] == list(
        range(len(reply.topics[0].partitions))
    )
    return len(reply.topics[0].partitions)


@pytest.mark.parametrize("version", range(4))
def test_a_topic_gets_more_partitions_that_are_there_for_good(version: int) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("t", "other")
        await client.produced("t", batch_of(b"old"))
        assert await _grow(client, _grown("t", 3), version=version) == [(0, None)]
        assert await _told(client, "t") == 3
        assert (await client.produced("t", batch_of(b"new"), index=2)).base_offset == 0
        places = [(p.log_id, p.stream_id) for p in world.gateway.broker.topics.partitions()]
        assert len({*places}) == len(places) == 4
        for _ in range(2):
            client = await world.restart()
            assert await _told(client, "t") == 3
            assert (await client.fetched("t", 0)).high_watermark == 1
            assert (await client.fetched("t", 0, index=2)).high_watermark == 1
            found = [(p.log_id, p.stream_id) for p in world.gateway.broker.topics.partitions()]
            assert sorted(found) == sorted(places)

    body()


@pytest.mark.parametrize(
    ("topic", "code", "message"),
    [
        (_grown("t", 2), INVALID, "Topic already has 2 partition(s)."),
        (
            _grown("t", 1),
            INVALID,
            "The topic t currently has 2 partition(s); 1 would not be an increase.",
        ),
        (
            _grown("t", -1),
            INVALID,
            "The topic t currently has 2 partition(s); -1 would not be an increase.",
        ),
        (_grown("none", 5), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, None),
        (_grown("", 5), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, None),
        (_grown("t", 2**31 - 1), ErrorCode.POLICY_VIOLATION, None),
        (_grown("__consumer_offsets", 60), ErrorCode.INVALID_REQUEST, None),
        (
            _grown("t", 4, [[1]]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
        ),
        (
            _grown("t", 3, [[7]]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes broker 7, but no such broker is registered.",
        ),
        (_grown("t", 3, [[]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT, None),
        (_grown("t", 3, [[1, 1]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT, None),
        (_grown("t", 3, [[NODE.node_id]]), NONE, None),
        (_grown("t", 3), NONE, None),
    ],
)
@pytest.mark.parametrize("validate_only", [False, True])
def test_what_is_answered(topic: Any, code: int, message: str | None, validate_only: bool) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("t", partitions=2)
        await world.append_group_records(0, [(b"\x00\x01k", b"v")])
        ((found, told),) = await _grow(client, topic, validate_only=validate_only)
        assert found == code
        assert (told is None) == (code == NONE)
        assert message is None or told == message
        assert await _told(client, "t") == (3 if code == NONE and not validate_only else 2)

    body()


@virtual
async def test_one_topic_that_fails_harms_no_other() -> None:
    _, client = await started()
    await client.create("a", "b", "c")
    answers = await _grow(client, _grown("a", 2), _grown("b", 1), _grown("c", 4), _grown("a", 3))
    # What is named twice is answered once, as in Kafka, and refused.
    assert [code for code, _ in answers] == [ErrorCode.INVALID_REQUEST, INVALID, NONE]
    assert [await _told(client, name) for name in "abc"] == [1, 1, 4]


@virtual
async def test_the_limit_of_partitions_holds_and_is_named() -> None:
    _, client = await started(partitions_max_count=5)
    await client.create("a", "b")
    ((code, message),) = await _grow(client, _grown("a", 5))
    assert code == ErrorCode.POLICY_VIOLATION
    assert message is not None and "partitions_max_count" in message
    assert await _grow(client, _grown("a", 4)) == [(0, None)]


@virtual
async def test_nobody_is_told_of_partitions_that_a_crash_may_take_away() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 0.5
    growing = client.send(
        ApiKey.CREATE_PARTITIONS,
        3,
        CreatePartitionsRequest(topics=[_grown("t", 2)], timeout_ms=9_000),
    )
    await asyncio.sleep(0.1)
    other = world.client()
    assert await _told(other, "t") == 1
    refused = await other.produced("t", batch_of(b"x"), index=1)
    assert refused.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    # Nor of a count that it may take back.
    ((code, _),) = await _grow(other, _grown("t", 2), timeout_ms=100)
    assert code == ErrorCode.REQUEST_TIMED_OUT
    assert await _told(other, "t") == 1
    # The next ones are placed behind them.
    assert await _grow(other, _grown("t", 4)) == [(0, None)]
    assert growing.done()
    assert await _told(other, "t") == 4
    assert await _grow(other, _grown("t", 2)) == [
        (INVALID, "The topic t currently has 4 partition(s); 2 would not be an increase.")
    ]


@virtual
async def test_a_crash_before_it_is_durable_leaves_what_there_was() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 10_000.0
    ((code, _),) = await _grow(client, _grown("t", 3), timeout_ms=100)
    assert code == ErrorCode.REQUEST_TIMED_OUT
    await world.crash()
    world.objects.latency_s = 0.0
    await world.start()
    client = world.client()
    assert await _told(client, "t") == 1
    assert await _grow(client, _grown("t", 2)) == [(0, None)]
    assert (await client.produced("t", batch_of(b"x"), index=1)).base_offset == 0


@virtual
async def test_partitions_go_round_the_logs_also_when_they_come_later() -> None:
    world, client = await started(logs_count=3)
    await client.create("t")
    for count in (2, 3, 9):
        assert await _grow(client, _grown("t", count)) == [(0, None)]
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None
    assert set(Counter(p.log_id for p in topic.partitions).values()) == {3}
    for index in range(9):
        assert (await client.produced("t", batch_of(b"x"), index=index)).base_offset == 0
    client = await world.restart()
    for index in range(9):
        assert (await client.fetched("t", 0, index=index)).high_watermark == 1


@virtual
async def test_a_topic_that_is_made_after_others_grew_lies_elsewhere() -> None:
    world, client = await started()
    await client.create("t")
    assert await _grow(client, _grown("t", 4)) == [(0, None)]
    await client.create("u", partitions=3)
    places = [(p.log_id, p.stream_id) for p in world.gateway.broker.topics.partitions()]
    assert len({*places}) == len(places) == 7


@virtual
async def test_a_topic_that_grew_is_deleted_on_all_its_logs() -> None:
    world: World
    world, client = await started(logs_count=2)
    await client.create("t")
    await _grow(client, _grown("t", 4))
    for index in range(4):
        await client.produced("t", batch_of(b"x"), index=index)
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None
    await world.gateway.broker.deletions.delete(topic)
    await asyncio.sleep(1)
    for owned in world.gateway.broker.logs:
        assert not owned.streams_of({topic.id})
    assert not world.gateway.broker.catalog.unserved()
