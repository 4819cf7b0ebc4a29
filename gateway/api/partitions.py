"""CreatePartitions (37), versions 0-3.

A topic gets more partitions, never fewer (KIP-195). The new ones are there for others once that is
durable; what is asked for a second time is INVALID_PARTITIONS, as in Kafka, and told once it is
durable, too. v3 has THROTTLING_QUOTA_EXCEEDED among its errors (KIP-599), which nobody gets here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from gateway.api.call import Call, error_code, failure_of
from gateway.api.replicas import check_assignment
from gateway.broker.errors import BrokerError
from gateway.broker.topics import Topic
from gateway.broker.waiting import patience_s, wait_confirmed
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)


class _Begun(NamedTuple):
    """What a request will be told of a topic, once what it waits for is durable."""

    answer: CreatePartitionsTopicResult
    waits_for: asyncio.Future[None] | None = None


async def create_partitions(
    request: CreatePartitionsRequest, call: Call
) -> CreatePartitionsResponse:
    """All are begun, then waited for together: those of a request share a write."""
    counts = Counter(topic.name for topic in request.topics)
    asked = {topic.name: topic for topic in request.topics}
    begun = []
    slices = Slices()
    for name, topic in asked.items():
        if slices.is_over:
            await slices.pause()
        begun.append(_begin(topic, counts[name] > 1, request.validate_only, call))
    growing = [one.waits_for for one in begun if one.waits_for is not None]
    await wait_confirmed(growing, patience_s(request.timeout_ms))
    return CreatePartitionsResponse(results=[_done(one) for one in begun])


def _begin(
    asked: CreatePartitionsTopic, is_repeated: bool, validate_only: bool, call: Call
) -> _Begun:
    answer = CreatePartitionsTopicResult(name=asked.name)
    topic: Topic | None = None
    try:
        if is_repeated:
            raise BrokerError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
        topic = call.broker.topics.named(asked.name)
        if topic is None:
            raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        call.broker.creations.check_more(topic, asked.count)
        _check_assignments(asked, topic, call)
        if validate_only:
            return _Begun(answer)
        return _Begun(answer, call.broker.creations.add_partitions(topic, asked.count))
    except Exception as error:
        code = error_code(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            raise
        answer.error_code, answer.error_message = code, str(error) or None
        if topic is None or code is not ErrorCode.INVALID_PARTITIONS:
            return _Begun(answer)
        # How many there are must not be taken back: it is told once that is durable.
        return _Begun(answer, topic.grown or topic.created)


def _check_assignments(asked: CreatePartitionsTopic, topic: Topic, call: Call) -> None:
    if asked.assignments is None:
        return
    wanted_count = asked.count - len(topic.placed)
    if len(asked.assignments) != wanted_count:
        raise BrokerError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"Attempted to add {wanted_count} additional partition(s), but only "
            f"{len(asked.assignments)} assignment(s) were specified.",
        )
    node_ids = {node.node_id for node in call.broker.cluster.nodes}
    for assignment in asked.assignments:
        check_assignment(assignment.broker_ids, node_ids)


def _done(begun: _Begun) -> CreatePartitionsTopicResult:
    answer, waits_for = begun
    if waits_for is not None:
        code, message = failure_of(waits_for)
        if code is not ErrorCode.NONE:
            answer.error_code, answer.error_message = code, message
    return answer


def create_partitions_error(
    request: CreatePartitionsRequest, code: ErrorCode
) -> CreatePartitionsResponse:
    return CreatePartitionsResponse(
        results=[CreatePartitionsTopicResult(name=t.name, error_code=code) for t in request.topics]
    )
