"""Elections and reassignments: nothing to do, said as Kafka says it."""

from typing import Any

import pytest

from gateway.tests.harness import NODE, World, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from protocol.messages.list_partition_reassignments import ListPartitionReassignmentsRequest


def _electing(version: int, *indexes: int, topic: str = "t", kind: int = 0) -> ElectLeadersRequest:
    return ElectLeadersRequest(
        election_type=kind if version else 0,
        topic_partitions=[TopicPartitions(topic=topic, partitions=list(indexes))],
    )


def _codes(reply: Any) -> list[tuple[str, int, int]]:
    return [
        (topic.topic, answer.partition_id, answer.error_code)
        for topic in reply.replica_election_results
        for answer in topic.partition_result
    ]


@pytest.mark.parametrize("version", range(3))
def test_nothing_is_elected_where_there_is_a_leader(version: int) -> None:
    @virtual
    async def body() -> None:
        _, client = await started()
        await client.create("t", partitions=2)
        for kind in (0, 1):
            asked = _electing(version, 0, 1, 2, kind=kind)
            reply = await client.call(ApiKey.ELECT_LEADERS, version, asked)
            assert _codes(reply) == [
                ("t", 0, ErrorCode.ELECTION_NOT_NEEDED),
                ("t", 1, ErrorCode.ELECTION_NOT_NEEDED),
                ("t", 2, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
            ]
        reply = await client.call(
            ApiKey.ELECT_LEADERS, version, _electing(version, 0, topic="none")
        )
        assert _codes(reply) == [("none", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)]
        everything = ElectLeadersRequest(topic_partitions=None)
        assert _codes(await client.call(ApiKey.ELECT_LEADERS, version, everything)) == []

    body()


@virtual
async def test_an_election_of_a_kind_that_there_is_not() -> None:
    _, client = await started()
    await client.create("t")
    reply = await client.call(ApiKey.ELECT_LEADERS, 2, _electing(2, 0, kind=7))
    assert reply.error_code == ErrorCode.INVALID_REQUEST


@virtual
async def test_nobody_here_can_lead_what_lies_on_a_lost_log() -> None:
    world, client = await started(logs_count=2)
    await client.create("t", partitions=2)
    lost = world.gateway.broker.partition("t", 0)
    assert lost is not None
    await world.gateway.broker.logs[lost.log_id].lose()
    for kind, code in (
        (0, ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE),
        (1, ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE),
    ):
        everything = ElectLeadersRequest(election_type=kind, topic_partitions=None)
        found = _codes(await client.call(ApiKey.ELECT_LEADERS, 2, everything))
        assert found == [("t", 0, code)]


async def _reassigned(world: World, version: int, index: int, replicas: list[int] | None) -> Any:
    asked = ReassignablePartition(partition_index=index, replicas=replicas)
    body = AlterPartitionReassignmentsRequest(
        topics=[ReassignableTopic(name="t", partitions=[asked])]
    )
    reply = await world.client().call(ApiKey.ALTER_PARTITION_REASSIGNMENTS, version, body)
    assert reply.error_code == 0
    return reply.responses[0].partitions[0]


@pytest.mark.parametrize("version", range(2))
@pytest.mark.parametrize(
    ("index", "replicas", "code"),
    [
        (0, [NODE.node_id], ErrorCode.NONE),
        (0, [NODE.node_id + 1], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (0, [NODE.node_id, NODE.node_id], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (0, [], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (0, None, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS),
        (5, [NODE.node_id], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (5, None, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ],
)
def test_where_replicas_may_go(
    version: int, index: int, replicas: list[int] | None, code: int
) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("t")
        answer = await _reassigned(world, version, index, replicas)
        assert (answer.partition_index, answer.error_code) == (index, code)
        assert (answer.error_message is None) == (code == ErrorCode.NONE)
        listed = await client.call(
            ApiKey.LIST_PARTITION_REASSIGNMENTS, 0, ListPartitionReassignmentsRequest()
        )
        assert (listed.error_code, listed.topics) == (0, [])

    body()
