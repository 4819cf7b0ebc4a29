"""CreateTopics (19), versions 2-7; DeleteTopics (20), versions 1-6; DescribeConfigs (32), versions
1-4.

Any replication factor is accepted and reported as 1: the store replicates. CreateTopics v4 allows
-1 for defaults (KIP-464), v5 echoes the settings (KIP-525), v7 the topic id; DeleteTopics v6 takes
ids (KIP-516).
"""

from __future__ import annotations

import asyncio
from collections import Counter

from gateway.api.call import Call, error_code, patience_s
from gateway.broker.broker import BrokerError
from gateway.broker.topic_configs import SETTINGS, config_problem, default_value
from gateway.broker.topics import Topic
from protocol import ZERO_UUID, ErrorCode
from protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from protocol.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

FIRST_VERSION_WITH_IDS = 6
UNSET = -1
REPLICATION_FACTOR = 1
SOURCE_TOPIC, SOURCE_DEFAULT = 1, 5  # ConfigSource as DescribeConfigs numbers it


async def create_topics(request: CreateTopicsRequest, call: Call) -> CreateTopicsResponse:
    names = Counter(topic.name for topic in request.topics)
    answers = await asyncio.gather(
        *(_create(topic, names[topic.name] > 1, request, call) for topic in request.topics)
    )
    return CreateTopicsResponse(topics=list(answers))


async def _create(
    asked: CreatableTopic, is_repeated: bool, request: CreateTopicsRequest, call: Call
) -> CreatableTopicResult:
    try:
        if is_repeated:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST, f"topic {asked.name!r} is named twice in the request"
            )
        count = _partitions_count(asked, call)
        configs = _configs(asked)
        timeout_s = patience_s(request.timeout_ms)
        await call.broker.settled_name(asked.name, timeout_s)
        if request.validate_only:
            call.broker.check_new_topic(asked.name, count)
            return CreatableTopicResult(
                name=asked.name,
                topic_id=ZERO_UUID,
                num_partitions=count,
                replication_factor=REPLICATION_FACTOR,
                configs=_echo(configs, call.broker.limits.message_bytes_max),
            )
        topic = call.broker.create_topic(asked.name, count, configs)
        await call.broker.settled(topic, timeout_s)
    except Exception as error:
        code = error_code(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            raise
        return CreatableTopicResult(
            name=asked.name,
            error_code=code,
            error_message=str(error) or None,
            num_partitions=UNSET,
            replication_factor=UNSET,
            configs=[],
        )
    return CreatableTopicResult(
        name=asked.name,
        topic_id=topic.id,
        num_partitions=count,
        replication_factor=REPLICATION_FACTOR,
        configs=_echo(configs, call.broker.limits.message_bytes_max),
    )


def _partitions_count(asked: CreatableTopic, call: Call) -> int:
    if asked.assignments:
        if asked.num_partitions != UNSET or asked.replication_factor != UNSET:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                "give either replica assignments or a partition count and replication factor",
            )
        indexes = sorted(a.partition_index for a in asked.assignments)
        if indexes != list(range(len(indexes))):
            raise BrokerError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT, "partitions are numbered 0, 1, 2 … once each"
            )
        return len(indexes)
    if asked.replication_factor == 0 or asked.replication_factor < UNSET:
        raise BrokerError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"the replication factor is 1 or more, or -1 for the default, not "
            f"{asked.replication_factor}",
        )
    if asked.num_partitions == UNSET:
        return call.broker.limits.default_partitions_count
    return asked.num_partitions


def _configs(asked: CreatableTopic) -> dict[str, str]:
    given = {config.name: config.value for config in asked.configs}
    problem = config_problem(given)
    if problem is not None:
        raise BrokerError(ErrorCode.INVALID_CONFIG, problem)
    return {name: value for name, value in given.items() if value is not None}


def _echo(configs: dict[str, str], message_bytes_max: int) -> list[CreatableTopicConfigs]:
    return [
        CreatableTopicConfigs(
            name=name,
            value=configs.get(name, default_value(name, message_bytes_max)),
            config_source=SOURCE_TOPIC if name in configs else SOURCE_DEFAULT,
        )
        for name in SETTINGS
    ]


def create_topics_error(request: CreateTopicsRequest, code: ErrorCode) -> CreateTopicsResponse:
    return CreateTopicsResponse(
        topics=[CreatableTopicResult(name=t.name, error_code=code) for t in request.topics]
    )


async def delete_topics(request: DeleteTopicsRequest, call: Call) -> DeleteTopicsResponse:
    if call.version < FIRST_VERSION_WITH_IDS:
        asked = [DeleteTopicState(name=name) for name in request.topic_names]
    else:
        asked = request.topics
    timeout_s = patience_s(request.timeout_ms)
    answers = await asyncio.gather(*(_delete(topic, timeout_s, call) for topic in asked))
    return DeleteTopicsResponse(responses=list(answers))


async def _delete(asked: DeleteTopicState, timeout_s: float, call: Call) -> DeletableTopicResult:
    answer = DeletableTopicResult(name=asked.name, topic_id=asked.topic_id)
    topic: Topic | None
    if asked.name is None:
        topic, missing = call.broker.topics.with_id(asked.topic_id), ErrorCode.UNKNOWN_TOPIC_ID
    else:
        topic = call.broker.topics.named(asked.name)
        missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if topic is None:
        answer.error_code = missing
        return answer
    answer.name, answer.topic_id = topic.name, topic.id
    try:
        deleted = call.broker.delete_topic(topic, timeout_s)
        # At once, not when the deletion is durable: the wait may end with a time-out.
        await asyncio.gather(deleted, _forget_offsets(topic.name, timeout_s, call))
    except Exception as error:
        answer.error_code = error_code(error)
        answer.error_message = str(error) or None
        if answer.error_code == ErrorCode.UNKNOWN_SERVER_ERROR:
            raise
    return answer


async def _forget_offsets(topic: str, timeout_s: float, call: Call) -> None:
    async with asyncio.timeout(timeout_s):
        await call.services.groups.topics_deleted([topic])


def delete_topics_error(request: DeleteTopicsRequest, code: ErrorCode) -> DeleteTopicsResponse:
    named = [DeletableTopicResult(name=n, error_code=code) for n in request.topic_names]
    by_id = [
        DeletableTopicResult(name=t.name, topic_id=t.topic_id, error_code=code)
        for t in request.topics
    ]
    return DeleteTopicsResponse(responses=named + by_id)
