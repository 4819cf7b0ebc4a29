"""DeleteRecords (21), versions 0-2.

KIP-107, as Kafka's Partition.deleteRecordsOnLeader: -1 means the high watermark, an offset below
the log start changes nothing, only topics whose cleanup.policy deletes take it. All partitions of a
request are one record in each log that they lie on, and share its fate.
"""

from __future__ import annotations

from gateway.api.call import Call, failure_of
from gateway.broker.errors import BrokerError
from gateway.broker.partition import Partition
from gateway.broker.waiting import patience_s, wait_confirmed
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

HIGH_WATERMARK = -1
NO_OFFSET = -1
# Kafka's leader moves the start at once; the request's time is for its followers. So who gives none
# is told all the same what has become of it, as far as anybody is likely to wait for that.
LEADER_PATIENCE_MS = 10_000

_Asked = list[tuple[DeleteRecordsPartitionResult, Partition]]


async def delete_records(request: DeleteRecordsRequest, call: Call) -> DeleteRecordsResponse:
    """Answer when the log starts have moved, or the request's time is up (they move later)."""
    starts: dict[Partition, int] = {}
    asked: _Asked = []
    topics = []
    slices = Slices()
    for topic in request.topics:
        if slices.is_over:
            await slices.pause()
        answers = []
        for wanted in topic.partitions:
            if slices.is_over:
                await slices.pause()
            answer = DeleteRecordsPartitionResult(
                partition_index=wanted.partition_index, low_watermark=NO_OFFSET
            )
            answers.append(answer)
            try:
                partition, offset = _target(topic.name, wanted, call)
            except BrokerError as error:
                answer.error_code = error.code
                continue
            asked.append((answer, partition))
            if offset > partition.log_start_offset:
                starts[partition] = max(offset, starts.get(partition, 0))
        topics.append(DeleteRecordsTopicResult(name=topic.name, partitions=answers))
    await _delete(starts, asked, request.timeout_ms, call)
    return DeleteRecordsResponse(topics=topics)


def _target(topic: str, wanted: DeleteRecordsPartition, call: Call) -> tuple[Partition, int]:
    """The partition and the offset that it is to start at. Raises BrokerError."""
    partition = call.broker.durable_partition(topic, wanted.partition_index)
    if partition is None:
        raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if not partition.is_served:
        raise BrokerError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    if partition.topic.is_internal:
        raise BrokerError(ErrorCode.INVALID_TOPIC_EXCEPTION)
    if not partition.topic.deletes_old:
        raise BrokerError(ErrorCode.POLICY_VIOLATION)
    end = partition.high_watermark
    offset = end if wanted.offset == HIGH_WATERMARK else wanted.offset
    if not 0 <= offset <= end:
        raise BrokerError(ErrorCode.OFFSET_OUT_OF_RANGE)
    return partition, offset


async def _delete(starts: dict[Partition, int], asked: _Asked, timeout_ms: int, call: Call) -> None:
    """Fills in the answers of the partitions that can be served."""
    moved = call.broker.delete_records(starts)
    patience_ms = timeout_ms if timeout_ms > 0 else LEADER_PATIENCE_MS
    await wait_confirmed(dict.fromkeys(moved.values()), patience_s(patience_ms))
    for answer, partition in asked:
        code = failure_of(moved[partition])[0] if partition in moved else ErrorCode.NONE
        if partition.deleted:
            answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        elif code is not ErrorCode.NONE:
            answer.error_code = code
        else:
            answer.low_watermark = partition.log_start_offset


def delete_records_error(request: DeleteRecordsRequest, code: ErrorCode) -> DeleteRecordsResponse:
    return DeleteRecordsResponse(
        topics=[
            DeleteRecordsTopicResult(
                name=topic.name,
                partitions=[
                    DeleteRecordsPartitionResult(
                        partition_index=p.partition_index,
                        low_watermark=NO_OFFSET,
                        error_code=code,
                    )
                    for p in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
