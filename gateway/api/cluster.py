"""ApiVersions (18), versions 0-5; Metadata (3), versions 0-13; DescribeCluster (60), versions 0-2.

Metadata: v0 takes an empty list for "all topics", v1+ null, where empty means none; the auto-create
flag exists from v4 and counts as true before; topic ids from v10 (KIP-516), asked for by id from
v12.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.api.authorized import authorized_operations
from gateway.api.call import Call, error_code
from gateway.api.forwarding import create_missing
from gateway.api.row import Resource
from gateway.broker.errors import BrokerError
from gateway.broker.leadership import leader_of
from gateway.broker.partition import Partition
from gateway.broker.topics import Topic
from gateway.fairness.slices import Slices
from protocol import ZERO_UUID, ErrorCode
from protocol.messages.api_versions import ApiVersionsRequest
from protocol.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)
from protocol.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from wal_core import Fenced

FIRST_VERSION_WITH_FLAG = 4
FIRST_VERSION_WITH_IDS, FIRST_VERSION_BY_ID = 10, 12
BROKERS_ENDPOINT, CONTROLLERS_ENDPOINT = 1, 2
NO_LEADER = -1
NO_NODE = -1


def check_destination(request: ApiVersionsRequest, call: Call) -> None:
    """A client names the cluster and the node it means to reach, or neither (KIP-1242), as all do
    before version 5.

    BrokerError where it names only one, or has reached somebody else.
    """
    named = request.cluster_id is not None
    if named != (request.node_id != NO_NODE):
        raise BrokerError(ErrorCode.INVALID_REQUEST)
    here = call.broker.cluster_id, call.broker.node.node_id
    if named and (request.cluster_id, request.node_id) != here:
        raise BrokerError(ErrorCode.REBOOTSTRAP_REQUIRED)


async def metadata(request: MetadataRequest, call: Call) -> MetadataResponse:
    """Who is in the cluster and which topics there are; creates missing ones if asked and allowed
    to.
    """
    broker = call.broker
    _check_asked(request, call.version)
    wants_all = request.topics is None or (call.version == 0 and not request.topics)
    if wants_all:
        answers = await _described([t for t in broker.topics if t.is_durable], call)
    else:
        may_create = call.version < FIRST_VERSION_WITH_FLAG or request.allow_auto_topic_creation
        answers = await _answers(request.topics or [], may_create, call)
    if request.include_topic_authorized_operations:
        allowed = authorized_operations(Resource.TOPIC, is_asked=True)
        for answer in answers:
            answer.topic_authorized_operations = allowed
    return MetadataResponse(
        brokers=[
            MetadataResponseBroker(
                node_id=node.node_id, host=node.host, port=node.port, rack=node.rack
            )
            for node in broker.cluster.nodes
        ],
        cluster_id=broker.cluster_id,
        controller_id=_controller_id(call),
        topics=answers,
        cluster_authorized_operations=authorized_operations(
            Resource.CLUSTER, request.include_cluster_authorized_operations
        ),
    )


def _controller_id(call: Call) -> int:
    """While nobody is known to be it, this node: it sends on what is asked of it. A client that is
    told of none (librdkafka) waits for one until its request is too old."""
    controller = call.broker.cluster.controller
    return call.broker.node.node_id if controller is None else controller.node_id


def _check_asked(request: MetadataRequest, version: int) -> None:
    """Kafka's rules where there are ids in the request, but none may be used yet (KAFKA-13035)."""
    if FIRST_VERSION_WITH_IDS <= version < FIRST_VERSION_BY_ID:
        for asked in request.topics or ():
            if asked.name is None:
                raise BrokerError(ErrorCode.INVALID_REQUEST, "a topic is asked for by name")
            if asked.topic_id != ZERO_UUID:
                raise BrokerError(ErrorCode.INVALID_REQUEST, "topics are not asked for by id yet")


async def _answers(
    asked: Sequence[MetadataRequestTopic], may_create: bool, call: Call
) -> list[MetadataResponseTopic]:
    """What exists is told at once: a topic that comes into being is waited for a moment only, by
    all who ask for it together, and is then told as one whose leader is not known yet."""
    await call.broker.search(
        (topic.name or "" for topic in asked if not _is_by_id(topic)),
        (topic.topic_id for topic in asked if _is_by_id(topic)),
    )
    names = [topic.name or "" for topic in asked if not _is_by_id(topic)]
    refused = await create_missing(names if may_create else (), call)
    may_create = may_create and call.broker.catalog.is_ours
    found: dict[str | bytes, Topic | MetadataResponseTopic] = {}  # each once, as in Kafka
    coming: list[Topic] = []
    slices = Slices()
    for topic in asked:
        if slices.is_over:
            await slices.pause()
        name = topic.topic_id if _is_by_id(topic) else topic.name or ""
        if name not in found:
            one = found[name] = _find(topic, may_create, call)
            if isinstance(one, MetadataResponseTopic) and name in refused:
                one.error_code = refused[str(name)]
            if isinstance(one, Topic) and not one.is_durable:
                coming.append(one)
    await call.broker.creations.soon(coming)
    return await _described(list(found.values()), call)


async def _described(
    found: Sequence[Topic | MetadataResponseTopic], call: Call
) -> list[MetadataResponseTopic]:
    answers = []
    slices = Slices()
    for one in found:
        if slices.is_over:
            await slices.pause()
        answers.append(_told(one, call) if isinstance(one, Topic) else one)
    return answers


def _is_by_id(asked: MetadataRequestTopic) -> bool:
    """Java's clients send an empty name beside an id, others null."""
    return asked.name is None or asked.topic_id != ZERO_UUID


def metadata_weight(request: MetadataRequest, call: Call) -> int:
    """Partitions that the answer will tell of, about."""
    topics = call.broker.topics
    if request.topics is None or (call.version == 0 and not request.topics):
        return topics.partitions_count
    found = (
        topics.with_id(asked.topic_id) if _is_by_id(asked) else topics.named(asked.name or "")
        for asked in request.topics
    )
    return sum(len(topic.partitions) for topic in found if topic is not None)


def _find(
    asked: MetadataRequestTopic, may_create: bool, call: Call
) -> Topic | MetadataResponseTopic:
    """The topic, made if it is missing and may be; else the answer for it."""
    topics = call.broker.topics
    if asked.name is None or _is_by_id(asked):
        return topics.with_id(asked.topic_id) or MetadataResponseTopic(
            error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=None, topic_id=asked.topic_id
        )
    try:
        topic = call.broker.creations.ensure(asked.name) if may_create else topics.named(asked.name)
        if topic is not None:
            return topic
        call.broker.creations.check_name(asked.name)
    except Exception as error:
        code = _code_of_touch(error)
        if code is ErrorCode.UNKNOWN_SERVER_ERROR:
            raise
        if code is ErrorCode.REQUEST_TIMED_OUT:  # one of that name is being deleted
            code = ErrorCode.LEADER_NOT_AVAILABLE
        return MetadataResponseTopic(error_code=code, name=asked.name, topic_id=ZERO_UUID)
    return MetadataResponseTopic(
        error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name=asked.name, topic_id=ZERO_UUID
    )


def _code_of_touch(error: BaseException) -> ErrorCode:
    """Why a topic was not created that was touched first. The catalog may be another node's by now,
    which creates it for whoever comes again; no topic has a leader that is another one."""
    return ErrorCode.LEADER_NOT_AVAILABLE if isinstance(error, Fenced) else error_code(error)


def _told(topic: Topic, call: Call) -> MetadataResponseTopic:
    """The topic, or why it cannot be spoken of: what is not durable may vanish."""
    if topic.is_durable:
        return _describe(topic, call)
    created = topic.created
    code = ErrorCode.LEADER_NOT_AVAILABLE
    if created is not None and created.done() and not created.cancelled():
        code = _code_of_touch(created.exception() or TimeoutError())
    return MetadataResponseTopic(error_code=code, name=topic.name, topic_id=ZERO_UUID)


def _describe(topic: Topic, call: Call) -> MetadataResponseTopic:
    return MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.is_internal,
        partitions=[_describe_partition(partition, call) for partition in topic.partitions],
    )


def _describe_partition(partition: Partition, call: Call) -> MetadataResponsePartition:
    leader = leader_of(partition, call.broker.cluster)
    if leader is None:
        return MetadataResponsePartition(
            error_code=ErrorCode.LEADER_NOT_AVAILABLE,
            partition_index=partition.index,
            leader_id=NO_LEADER,
            replica_nodes=[call.broker.node.node_id],
            isr_nodes=[],
        )
    node_ids = [leader.node.node_id]
    return MetadataResponsePartition(
        partition_index=partition.index,
        leader_id=leader.node.node_id,
        leader_epoch=leader.epoch,
        replica_nodes=node_ids,
        isr_nodes=node_ids,
    )


def metadata_error(request: MetadataRequest, code: ErrorCode) -> MetadataResponse:
    return MetadataResponse(
        error_code=code,
        topics=[
            MetadataResponseTopic(error_code=code, name=t.name or "", topic_id=t.topic_id)
            for t in request.topics or []
        ],
    )


async def describe_cluster(request: DescribeClusterRequest, call: Call) -> DescribeClusterResponse:
    if call.version >= 1 and request.endpoint_type != BROKERS_ENDPOINT:
        return _other_endpoint(request.endpoint_type)
    return DescribeClusterResponse(
        cluster_id=call.broker.cluster_id,
        controller_id=_controller_id(call),
        brokers=[
            DescribeClusterBroker(
                broker_id=node.node_id, host=node.host, port=node.port, rack=node.rack
            )
            for node in call.broker.cluster.nodes
        ],
        cluster_authorized_operations=authorized_operations(
            Resource.CLUSTER, request.include_cluster_authorized_operations
        ),
    )


def _other_endpoint(kind: int) -> DescribeClusterResponse:
    """As Kafka's AuthHelper; here no node is a controller and nothing else."""
    if kind == CONTROLLERS_ENDPOINT:
        code = ErrorCode.MISMATCHED_ENDPOINT_TYPE
        message = "this listener is that of brokers: ask for endpoints of brokers"
    else:
        code = ErrorCode.UNSUPPORTED_ENDPOINT_TYPE
        message = f"there is no endpoint type {kind}"
    return DescribeClusterResponse(error_code=code, error_message=message, controller_id=-1)


def describe_cluster_error(
    request: DescribeClusterRequest, code: ErrorCode
) -> DescribeClusterResponse:
    return DescribeClusterResponse(error_code=code, controller_id=-1)
