"""DescribeTopicPartitions (75), version 0.

KIP-966: topics in the order of their names, so many partitions in one reply, and a cursor that says
where the next one goes on. Java's describeTopics asks this before it asks Metadata. There is one
replica, so there are none that could lead besides it.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.api.authorized import authorized_operations
from gateway.api.call import Call
from gateway.api.row import Resource
from gateway.broker.errors import BrokerError
from gateway.broker.leadership import leader_of
from gateway.broker.partition import Partition
from gateway.broker.topic_rules import topic_name_problem
from gateway.broker.topics import Topic
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.describe_topic_partitions import (
    CursorResponse,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)

PARTITIONS_MAX_COUNT = 2_000  # of one reply: Kafka's max.request.partition.size.limit
NO_LEADER = -1


class _Start(NamedTuple):
    """The first topic and its first partition that are told of."""

    topic: str
    partition: int


async def describe_topic_partitions(
    request: DescribeTopicPartitionsRequest, call: Call
) -> DescribeTopicPartitionsResponse:
    """Those that are named, or all of them if none is."""
    start = _start(request)
    left_count = min(max(request.response_partition_limit, 1), PARTITIONS_MAX_COUNT)
    response = DescribeTopicPartitionsResponse()
    await call.broker.search(topic.name for topic in request.topics)
    slices = Slices()
    for name in _names(request, start, call):
        if slices.is_over:
            await slices.pause()
        if not left_count:
            response.next_cursor = CursorResponse(topic_name=name, partition_index=0)
            break
        first = start.partition if name == start.topic else 0
        topic = call.broker.topics.named(name)
        if topic is None or not topic.is_durable:
            response.topics.append(_missing(name))
            continue
        end = min(first + left_count, len(topic.partitions))
        response.topics.append(_described(topic, topic.partitions[first:end], call))
        left_count -= max(0, end - first)
        if end < len(topic.partitions):
            response.next_cursor = CursorResponse(topic_name=name, partition_index=end)
            break
    return response


def _start(request: DescribeTopicPartitionsRequest) -> _Start:
    if request.cursor is None:
        return _Start("", 0)
    if request.cursor.partition_index < 0:
        raise BrokerError(ErrorCode.INVALID_REQUEST)
    return _Start(request.cursor.topic_name, request.cursor.partition_index)


def _names(request: DescribeTopicPartitionsRequest, start: _Start, call: Call) -> list[str]:
    topics = call.broker.topics
    asked = {topic.name for topic in request.topics} or {t.name for t in topics if t.is_durable}
    return sorted(name for name in asked if name >= start.topic)


def _missing(name: str) -> DescribeTopicPartitionsResponseTopic:
    """A topic that is not there allows as much as one that is, unless nothing was named."""
    answer = DescribeTopicPartitionsResponseTopic(
        error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name=name
    )
    if topic_name_problem(name) is not None:
        answer.error_code = ErrorCode.INVALID_TOPIC_EXCEPTION
    if name:
        answer.topic_authorized_operations = authorized_operations(Resource.TOPIC, is_asked=True)
    return answer


def _described(
    topic: Topic, partitions: list[Partition], call: Call
) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.is_internal,
        partitions=[_described_partition(partition, call) for partition in partitions],
        topic_authorized_operations=authorized_operations(Resource.TOPIC, is_asked=True),
    )


def _described_partition(
    partition: Partition, call: Call
) -> DescribeTopicPartitionsResponsePartition:
    leader = leader_of(partition, call.broker.cluster)
    node_ids = [call.broker.node.node_id if leader is None else leader.node.node_id]
    answer = DescribeTopicPartitionsResponsePartition(
        partition_index=partition.index,
        replica_nodes=node_ids,
        eligible_leader_replicas=[],
        last_known_elr=[],
    )
    if leader is not None:
        answer.leader_id, answer.leader_epoch = leader.node.node_id, leader.epoch
        answer.isr_nodes = node_ids
    else:
        answer.error_code, answer.leader_id = ErrorCode.LEADER_NOT_AVAILABLE, NO_LEADER
    return answer


def describe_topic_partitions_error(
    request: DescribeTopicPartitionsRequest, code: ErrorCode
) -> DescribeTopicPartitionsResponse:
    return DescribeTopicPartitionsResponse(
        topics=[
            DescribeTopicPartitionsResponseTopic(error_code=code, name=topic.name)
            for topic in request.topics
        ]
    )
