"""CreateTopics (19), versions 0-7; DeleteTopics (20), versions 0-6.

Any replication factor is accepted and reported as 1: the store replicates. CreateTopics v4 allows
-1 for defaults (KIP-464), v5 echoes the settings (KIP-525), v7 the topic id; DeleteTopics v6 takes
ids (KIP-516).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.api.call import Call, error_code, failure_of
from gateway.api.replicas import check_assignment
from gateway.broker.broker import Broker
from gateway.broker.broker_configs import Source
from gateway.broker.errors import BrokerError
from gateway.broker.stored_configs import ALL_BROKERS
from gateway.broker.topic_configs import SETTINGS, broker_name, config_problem
from gateway.broker.topics import Topic
from gateway.broker.waiting import patience_s, wait_confirmed
from gateway.fairness.slices import Slices
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


class _Begun(NamedTuple):
    """What a request will be told of a topic once that topic, if it waits for one, is durable."""

    answer: CreatableTopicResult
    topic: Topic | None = None


async def create_topics(request: CreateTopicsRequest, call: Call) -> CreateTopicsResponse:
    """All are begun, then waited for together: those of a request share a write."""
    counts = Counter(topic.name for topic in request.topics)
    loop = asyncio.get_running_loop()
    until_s = loop.time() + patience_s(request.timeout_ms)
    await call.broker.deletions.until_gone(counts, until_s - loop.time())
    begun = []
    slices = Slices()
    for asked in request.topics:
        if slices.is_over:
            await slices.pause()
        begun.append(_begin_creation(asked, counts[asked.name] > 1, request.validate_only, call))
    creations = [one.topic.created for one in begun if one.topic and one.topic.created]
    await wait_confirmed(creations, max(until_s - loop.time(), 0.0))
    return CreateTopicsResponse(topics=[_created(one) for one in begun])


def _begin_creation(
    asked: CreatableTopic, is_repeated: bool, validate_only: bool, call: Call
) -> _Begun:
    broker = call.broker
    try:
        if is_repeated:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST, f"topic {asked.name!r} is named twice in the request"
            )
        count = _partitions_count(asked, call)
        configs = _configs(asked)
        if validate_only:
            broker.creations.check_new(asked.name, count)
            topic, topic_id = None, broker.creations.unused_id()
        else:
            topic = broker.creations.create(asked.name, count, configs)
            topic_id = topic.id
    except Exception as error:
        code = error_code(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            raise
        # "Exists" must not be taken back: it is told once that is durable.
        known = broker.topics.named(asked.name) if not is_repeated else None
        return _Begun(_not_created(asked.name, code, str(error) or None), known)
    answer = CreatableTopicResult(
        name=asked.name,
        topic_id=topic_id,
        num_partitions=count,
        replication_factor=REPLICATION_FACTOR,
        configs=_echo(configs, broker),
    )
    return _Begun(answer, topic)


def _created(begun: _Begun) -> CreatableTopicResult:
    answer, topic = begun
    if topic is None or topic.is_durable:
        return answer
    code, message = failure_of(topic.created)
    return _not_created(answer.name, code, message)


def _not_created(name: str, code: ErrorCode, message: str | None) -> CreatableTopicResult:
    return CreatableTopicResult(
        name=name,
        error_code=code,
        error_message=message,
        num_partitions=UNSET,
        replication_factor=UNSET,
        configs=[],
    )


def create_topics_weight(request: CreateTopicsRequest, call: Call) -> int:
    """Settings that the answer will show, about."""
    return len(request.topics) * len(SETTINGS)


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
        node_ids = {node.node_id for node in call.broker.cluster.nodes}
        for assignment in asked.assignments:
            check_assignment(assignment.broker_ids, node_ids)
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


def _echo(configs: dict[str, str], broker: Broker) -> list[CreatableTopicConfigs]:
    return [
        CreatableTopicConfigs(
            name=name,
            value=configs.get(name, broker.topics.defaults.values[name]),
            config_source=_source(name, configs, broker).value,
        )
        for name in SETTINGS
    ]


def _source(name: str, configs: dict[str, str], broker: Broker) -> Source:
    if name in configs:
        return Source.TOPIC
    of_broker = broker_name(name)
    if of_broker in broker.configs.of("broker", str(broker.node.node_id)):
        return Source.DYNAMIC_BROKER
    if of_broker in broker.configs.of("broker", ALL_BROKERS):
        return Source.DYNAMIC_DEFAULT_BROKER
    return Source.DEFAULT


def create_topics_error(request: CreateTopicsRequest, code: ErrorCode) -> CreateTopicsResponse:
    return CreateTopicsResponse(
        topics=[CreatableTopicResult(name=t.name, error_code=code) for t in request.topics]
    )


async def delete_topics(request: DeleteTopicsRequest, call: Call) -> DeleteTopicsResponse:
    if call.served_log is not None:
        return _served(request, call.served_log, call)
    if call.version < FIRST_VERSION_WITH_IDS:
        asked = [DeleteTopicState(name=name) for name in request.topic_names]
    else:
        asked = request.topics
    slices = Slices()
    begun: list[tuple[DeletableTopicResult, asyncio.Future[None] | None]] = []
    for topic, problem in _each_once(asked, call):
        if slices.is_over:
            await slices.pause()
        if problem is None:
            begun.append(_begin_deletion(topic, call))
        else:
            begun.append((_refused(topic, problem), None))
    gone = [answer.name for answer, deleted in begun if deleted is not None and answer.name]
    # At once, not when the deletions are durable: the wait may end with a time-out.
    forgotten = call.services.groups.topics_deleted(gone)
    deletions = [deleted for _, deleted in begun if deleted is not None]
    await wait_confirmed([*deletions, forgotten], patience_s(request.timeout_ms))
    for answer, deleted in begun:
        if deleted is not None:
            answer.error_code, answer.error_message = failure_of(deleted)
            if answer.error_code == ErrorCode.NONE:
                answer.error_code, answer.error_message = failure_of(forgotten)
    return DeleteTopicsResponse(responses=[answer for answer, _ in begun])


def _each_once(
    asked: Sequence[DeleteTopicState], call: Call
) -> Iterator[tuple[DeleteTopicState, str | None]]:
    """Each way in which a topic is named, once, and what is wrong with it, in words, or None.

    As in Kafka's ControllerApis: who names a topic twice may mean two, so none is deleted.
    """
    topics = call.broker.topics
    names = Counter(t.name for t in asked if t.name is not None and t.topic_id == ZERO_UUID)
    ids = Counter(t.topic_id for t in asked if t.name is None)
    for name, topic_id in dict.fromkeys((t.name, t.topic_id) for t in asked):
        state, problem = DeleteTopicState(name=name, topic_id=topic_id), None
        known = topics.with_id(topic_id) if name is None else topics.named(name)
        if (name is None) == (topic_id == ZERO_UUID):
            problem = "a topic is named by its name or by its id"
        elif name is None and known is not None and names[known.name] == 1:
            continue  # what is said beside its name is for both
        elif ids[topic_id] > 1 if name is None else names[name] > 1:
            problem = "the topic is named twice in the request"
        elif name is not None and known is not None and ids[known.id]:
            state.topic_id = known.id
            problem = "the topic is named twice in the request, once by its id"
        yield state, problem


def _refused(asked: DeleteTopicState, problem: str) -> DeletableTopicResult:
    return DeletableTopicResult(
        name=asked.name,
        topic_id=asked.topic_id,
        error_code=ErrorCode.INVALID_REQUEST,
        error_message=problem,
    )


def _served(request: DeleteTopicsRequest, log_id: int, call: Call) -> DeleteTopicsResponse:
    """Another node has dropped what its log had of topics that are deleted already."""
    for topic in request.topics:
        call.broker.catalog.tombstone_served(topic.topic_id, log_id)
    return DeleteTopicsResponse(
        responses=[DeletableTopicResult(name=None, topic_id=t.topic_id) for t in request.topics]
    )


def _begin_deletion(
    asked: DeleteTopicState, call: Call
) -> tuple[DeletableTopicResult, asyncio.Future[None] | None]:
    """The answer as far as it is known, and what is to be waited for."""
    answer = DeletableTopicResult(name=asked.name, topic_id=asked.topic_id)
    topic: Topic | None
    if asked.name is None:
        topic, missing = call.broker.topics.with_id(asked.topic_id), ErrorCode.UNKNOWN_TOPIC_ID
    else:
        topic = call.broker.topics.named(asked.name)
        missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if topic is None:
        answer.error_code = missing
        answer.error_message = "there is no such topic"
        return answer, None
    answer.name, answer.topic_id = topic.name, topic.id
    try:
        return answer, call.broker.deletions.delete(topic)
    except Exception as error:
        answer.error_code = error_code(error)
        answer.error_message = str(error) or None
        if answer.error_code == ErrorCode.UNKNOWN_SERVER_ERROR:
            raise
    return answer, None


def delete_topics_error(request: DeleteTopicsRequest, code: ErrorCode) -> DeleteTopicsResponse:
    named = [DeletableTopicResult(name=n, error_code=code) for n in request.topic_names]
    by_id = [
        DeletableTopicResult(name=t.name, topic_id=t.topic_id, error_code=code)
        for t in request.topics
    ]
    return DeleteTopicsResponse(responses=named + by_id)
