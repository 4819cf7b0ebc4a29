"""ElectLeaders (43), versions 0-2; AlterPartitionReassignments (45), versions 0-1;
ListPartitionReassignments (46), version 0.

A partition has one replica, on the node that owns its log, and the store replicates below that. So
nothing is ever elected or on its way to another node, and to ask that it be where it is changes
nothing. As for a partition of one replica in Kafka (ReplicationControlManager).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.api.call import Call
from gateway.api.replicas import check_assignment
from gateway.broker.errors import BrokerError
from gateway.broker.leadership import leader_of
from gateway.broker.partition import Partition
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from protocol.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)
from protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)

PREFERRED, UNCLEAN = 0, 1  # ElectionType


def _asked(topic: str, index: int, call: Call) -> Partition:
    partition = call.broker.partition(topic, index)
    if partition is None:
        what = "partition" if call.broker.topics.named(topic) else "topic"
        raise BrokerError(
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"No such {what} as {topic}-{index}"
        )
    return partition


async def elect_leaders(request: ElectLeadersRequest, call: Call) -> ElectLeadersResponse:
    """Who asks for all partitions is told of those alone that have no leader, as in Kafka."""
    if request.election_type not in (PREFERRED, UNCLEAN):
        raise BrokerError(ErrorCode.INVALID_REQUEST)
    results = []
    slices = Slices()
    for topic, indexes in _elections(request, call):
        answers = []
        for index in indexes:
            if slices.is_over:
                await slices.pause()
            answers.append(_elected(topic, index, request.election_type, call))
        results.append(ReplicaElectionResult(topic=topic, partition_result=answers))
    return ElectLeadersResponse(replica_election_results=results)


def _elections(request: ElectLeadersRequest, call: Call) -> Iterator[tuple[str, Sequence[int]]]:
    if request.topic_partitions is not None:
        for asked in request.topic_partitions:
            yield asked.topic, asked.partitions
        return
    for topic in list(call.broker.topics):
        cluster = call.broker.cluster
        leaderless = [p.index for p in topic.partitions if leader_of(p, cluster) is None]
        if leaderless:
            yield topic.name, leaderless


def _elected(topic: str, index: int, election_type: int, call: Call) -> PartitionResult:
    try:
        if leader_of(_asked(topic, index, call), call.broker.cluster) is not None:
            raise BrokerError(ErrorCode.ELECTION_NOT_NEEDED)
        if election_type == PREFERRED:
            raise BrokerError(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE)
        raise BrokerError(ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE)
    except BrokerError as error:
        return PartitionResult(
            partition_id=index, error_code=error.code, error_message=str(error) or None
        )


def elect_leaders_error(request: ElectLeadersRequest, code: ErrorCode) -> ElectLeadersResponse:
    """At the top and per partition: version 0 has no error at the top."""
    return ElectLeadersResponse(
        error_code=code,
        replica_election_results=[
            ReplicaElectionResult(
                topic=topic.topic,
                partition_result=[
                    PartitionResult(partition_id=index, error_code=code, error_message=code.message)
                    for index in topic.partitions
                ],
            )
            for topic in request.topic_partitions or ()
        ],
    )


async def alter_partition_reassignments(
    request: AlterPartitionReassignmentsRequest, call: Call
) -> AlterPartitionReassignmentsResponse:
    topics = []
    slices = Slices()
    for topic in request.topics:
        answers = []
        for asked in topic.partitions:
            if slices.is_over:
                await slices.pause()
            answers.append(_reassigned(topic.name, asked, call))
        topics.append(ReassignableTopicResponse(name=topic.name, partitions=answers))
    return AlterPartitionReassignmentsResponse(
        responses=topics, allow_replication_factor_change=request.allow_replication_factor_change
    )


def _reassigned(
    topic: str, asked: ReassignablePartition, call: Call
) -> ReassignablePartitionResponse:
    """Null replicas call a reassignment off."""
    answer = ReassignablePartitionResponse(partition_index=asked.partition_index)
    try:
        partition = _asked(topic, asked.partition_index, call)
        if asked.replicas is None:
            raise BrokerError(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
        leader = leader_of(partition, call.broker.cluster)
        node_id = call.broker.node.node_id if leader is None else leader.node.node_id
        check_assignment(asked.replicas, (node_id,))
    except BrokerError as error:
        answer.error_code, answer.error_message = error.code, str(error) or None
    return answer


def alter_partition_reassignments_error(
    request: AlterPartitionReassignmentsRequest, code: ErrorCode
) -> AlterPartitionReassignmentsResponse:
    return AlterPartitionReassignmentsResponse(error_code=code)


async def list_partition_reassignments(
    request: ListPartitionReassignmentsRequest, call: Call
) -> ListPartitionReassignmentsResponse:
    """There are none."""
    return ListPartitionReassignmentsResponse()


def list_partition_reassignments_error(
    request: ListPartitionReassignmentsRequest, code: ErrorCode
) -> ListPartitionReassignmentsResponse:
    return ListPartitionReassignmentsResponse(error_code=code)
