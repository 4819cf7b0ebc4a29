"""DescribeProducers (61), version 0; DescribeTransactions (65), version 0; ListTransactions (66),
versions 0-1.

KIP-664. What is told of a producer is what its next batch is compared with; its last time is that
of the broker's clock when the batch came. There are no transactions yet, so none is under way.
"""

from __future__ import annotations

from gateway.api.call import Call
from gateway.broker.errors import BrokerError
from gateway.broker.partition import Partition
from gateway.broker.topic_rules import topic_name_problem
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)
from protocol.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TransactionState,
)
from protocol.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse

NO_COORDINATOR = -1
NO_PRODUCER = -1
STATES = frozenset(
    {
        "Empty",
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "CompleteCommit",
        "CompleteAbort",
        "Dead",
        "PrepareEpochFence",
    }
)
"""Of a transaction, as Kafka's TransactionState names them."""


async def describe_producers(
    request: DescribeProducersRequest, call: Call
) -> DescribeProducersResponse:
    topics = []
    slices = Slices()
    for topic in request.topics:
        answers = []
        for index in topic.partition_indexes:
            if slices.is_over:
                await slices.pause()
            answer = PartitionResponse(partition_index=index)
            answers.append(answer)
            try:
                answer.active_producers = await _active(
                    _find(topic.name, index, call), call, slices
                )
            except BrokerError as error:
                answer.error_code, answer.error_message = error.code, str(error) or None
        topics.append(TopicResponse(name=topic.name, partitions=answers))
    return DescribeProducersResponse(topics=topics)


def describe_producers_weight(request: DescribeProducersRequest, call: Call) -> int:
    """Producers that the answer will tell of, about."""
    found = (
        call.broker.partition(topic.name, index)
        for topic in request.topics
        for index in topic.partition_indexes
    )
    return sum(len(p.producers) for p in found if p is not None and p.is_served)


def _find(topic: str, index: int, call: Call) -> Partition:
    partition = call.broker.partition(topic, index)
    if partition is None:
        problem = topic_name_problem(topic)
        if problem is not None:
            raise BrokerError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
        raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if not partition.is_served:
        raise BrokerError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    return partition


async def _active(partition: Partition, call: Call, slices: Slices) -> list[ProducerState]:
    """Of those that are not forgotten."""
    states = partition.producers
    found = []
    for producer_id in states.ids():
        if slices.is_over:
            await slices.pause()
        saved = states.save(producer_id, call.broker.steady_ms())
        if saved is None:
            continue
        epoch, seen_ms, batches = saved
        found.append(
            ProducerState(
                producer_id=producer_id,
                producer_epoch=epoch,
                last_sequence=batches[-1][1],
                last_timestamp=seen_ms,
                coordinator_epoch=NO_COORDINATOR,
            )
        )
    return found


def describe_producers_error(
    request: DescribeProducersRequest, code: ErrorCode
) -> DescribeProducersResponse:
    return DescribeProducersResponse(
        topics=[
            TopicResponse(
                name=topic.name,
                partitions=[
                    PartitionResponse(partition_index=index, error_code=code)
                    for index in topic.partition_indexes
                ],
            )
            for topic in request.topics
        ]
    )


async def describe_transactions(
    request: DescribeTransactionsRequest, call: Call
) -> DescribeTransactionsResponse:
    return describe_transactions_error(request, ErrorCode.TRANSACTIONAL_ID_NOT_FOUND)


def describe_transactions_error(
    request: DescribeTransactionsRequest, code: ErrorCode
) -> DescribeTransactionsResponse:
    return DescribeTransactionsResponse(
        transaction_states=[
            TransactionState(
                error_code=code,
                transactional_id=transactional_id,
                producer_id=NO_PRODUCER,
                producer_epoch=NO_PRODUCER,
            )
            for transactional_id in request.transactional_ids
        ]
    )


async def list_transactions(
    request: ListTransactionsRequest, call: Call
) -> ListTransactionsResponse:
    """There are none; a state that nobody knows is told, as in Kafka."""
    unknown = [state for state in request.state_filters if state not in STATES]
    return ListTransactionsResponse(unknown_state_filters=unknown)


def list_transactions_error(
    request: ListTransactionsRequest, code: ErrorCode
) -> ListTransactionsResponse:
    return ListTransactionsResponse(error_code=code)
