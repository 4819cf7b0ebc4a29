"""DescribeTopicPartitions: order, pages, what is missing."""

from typing import Any

from gateway.tests.harness import NODE, Client, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    TopicRequest,
)


async def _asked(
    client: Client, *names: str, limit: int = 2_000, cursor: tuple[str, int] | None = None
) -> Any:
    body = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name=name) for name in names],
        response_partition_limit=limit,
        cursor=None if cursor is None else Cursor(topic_name=cursor[0], partition_index=cursor[1]),
    )
    return await client.call(ApiKey.DESCRIBE_TOPIC_PARTITIONS, 0, body)


def _pages(reply: Any) -> list[tuple[str, list[int]]]:
    return [(t.name, [p.partition_index for p in t.partitions]) for t in reply.topics]


@virtual
async def test_what_is_told_of_a_partition() -> None:
    world, client = await started()
    await client.create("t", partitions=2)
    reply = await _asked(client, "t")
    (topic,) = reply.topics
    known = world.gateway.broker.topics.named("t")
    assert known is not None
    assert (topic.error_code, topic.topic_id, topic.is_internal) == (0, known.id, False)
    assert topic.topic_authorized_operations == 3576
    for partition in topic.partitions:
        me = [NODE.node_id]
        assert (partition.error_code, partition.leader_id, partition.leader_epoch) == (0, 1, 0)
        assert partition.replica_nodes == partition.isr_nodes == me
        assert partition.offline_replicas == []
    assert reply.next_cursor is None


@virtual
async def test_pages_tell_of_everything_once_and_in_order() -> None:
    _, client = await started()
    for name, count in (("b", 3), ("a", 2), ("c", 1), ("d", 5)):
        await client.create(name, partitions=count)
    whole = [
        (name, index) for name, n in (("a", 2), ("b", 3), ("c", 1), ("d", 5)) for index in range(n)
    ]
    for names in ((), ("d", "b", "a", "c", "b")):
        for limit in range(1, 13):
            told: list[tuple[str, int]] = []
            cursor: tuple[str, int] | None = None
            while True:
                reply = await _asked(client, *names, limit=limit, cursor=cursor)
                page = [(n, index) for n, indexes in _pages(reply) for index in indexes]
                assert 0 < len(page) <= limit
                told += page
                if reply.next_cursor is None:
                    break
                cursor = (reply.next_cursor.topic_name, reply.next_cursor.partition_index)
            assert told == whole


@virtual
async def test_missing_topics_and_those_that_cannot_be() -> None:
    _, client = await started()
    await client.create("t")
    reply = await _asked(client, "t", "none", "a/b", "")
    found = [(t.name, t.error_code, t.topic_authorized_operations) for t in reply.topics]
    assert found == [
        ("", ErrorCode.INVALID_TOPIC_EXCEPTION, -(2**31)),
        ("a/b", ErrorCode.INVALID_TOPIC_EXCEPTION, 3576),
        ("none", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 3576),
        ("t", 0, 3576),
    ]


@virtual
async def test_cursors_may_point_anywhere() -> None:
    _, client = await started()
    await client.create("b", "d", partitions=2)
    assert _pages(await _asked(client, cursor=("a", 7))) == [("b", [0, 1]), ("d", [0, 1])]
    assert _pages(await _asked(client, cursor=("b", 1))) == [("b", [1]), ("d", [0, 1])]
    assert _pages(await _asked(client, cursor=("b", 9))) == [("b", []), ("d", [0, 1])]
    assert _pages(await _asked(client, cursor=("c", 1))) == [("d", [0, 1])]
    assert _pages(await _asked(client, cursor=("e", 0))) == []
    refused = await _asked(client, "b", cursor=("b", -1))
    assert refused.topics[0].error_code == ErrorCode.INVALID_REQUEST
    assert len((await _asked(client, limit=-5)).topics) == 1
