"""ListOffsets (2), versions 0-11, and OffsetForLeaderEpoch (23), versions 0-4.

ListOffsets: -1 latest (the last stable offset, which without transactions is the high watermark),
-2 earliest, -3 the record with the largest timestamp (v7, KIP-734), -4 earliest local (v8), -5
latest tiered (v9) and -6 what is to be tiered next (v11): there is no tier, so -1;
UNSUPPORTED_VERSION before those. v10 says how long to look (KIP-1075). v0 asks for where segments
begin, newest first: a partition counts as one, and what a time finds is exact. A timestamp finds
the first record at or after it, exactly, also inside a compressed batch.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from gateway.api.call import Call, error_code
from gateway.broker.lookup import NOT_FOUND, find_latest, find_timestamp
from gateway.broker.partition import Partition
from gateway.fairness.slices import Slices
from gateway.fairness.threads import Share
from protocol import ErrorCode
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from protocol.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL = -1, -2, -3, -4
LATEST_TIERED, EARLIEST_PENDING = -5, -6
# Which version may ask for each; others, and times below all of these, are refused.
FIRST_VERSIONS = {
    LATEST: 0,
    EARLIEST: 0,
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL: 8,
    LATEST_TIERED: 9,
    EARLIEST_PENDING: 11,
}
LOOKUPS_S_MAX = 20.0  # for one request; below the 30 s that clients wait for an answer


async def list_offsets(request: ListOffsetsRequest, call: Call) -> ListOffsetsResponse:
    """One answer per partition; one that fails harms no other. What is not found by the deadline
    of the request gets REQUEST_TIMED_OUT, which clients try again."""
    await call.broker.search(topic.name for topic in request.topics)
    topics = []
    slices = Slices()
    patience_s = LOOKUPS_S_MAX if request.timeout_ms <= 0 else request.timeout_ms / 1_000
    deadline_s = asyncio.get_running_loop().time() + min(LOOKUPS_S_MAX, patience_s)
    for topic in request.topics:
        answers = []
        counts = Counter(asked.partition_index for asked in topic.partitions)
        for asked in topic.partitions:
            if slices.is_over:
                await slices.pause()
            refusal = _refusal(asked, counts[asked.partition_index] > 1, call.version)
            if refusal is not ErrorCode.NONE:
                answers.append(_no_offset(asked, refusal))
                continue
            partition = call.broker.durable_partition(topic.name, asked.partition_index)
            answer = await _list_one(partition, asked, call.lookups, deadline_s)
            if call.version == 0 and partition is not None:
                answer.old_style_offsets = _old_style(answer, asked, partition)
            answers.append(answer)
        topics.append(ListOffsetsTopicResponse(name=topic.name, partitions=answers))
    return ListOffsetsResponse(topics=topics)


def _refusal(asked: ListOffsetsPartition, is_repeated: bool, version: int) -> ErrorCode:
    """What this version cannot ask for, whatever the partition."""
    if is_repeated:
        return ErrorCode.INVALID_REQUEST
    if asked.timestamp < 0 and version < FIRST_VERSIONS.get(asked.timestamp, version + 1):
        return ErrorCode.UNSUPPORTED_VERSION
    return ErrorCode.NONE


def _no_offset(
    asked: ListOffsetsPartition, code: ErrorCode = ErrorCode.NONE
) -> ListOffsetsPartitionResponse:
    return ListOffsetsPartitionResponse(
        partition_index=asked.partition_index,
        error_code=code,
        timestamp=-1,
        offset=-1,
        leader_epoch=-1,
    )


async def _list_one(
    partition: Partition | None, asked: ListOffsetsPartition, threads: Share, deadline_s: float
) -> ListOffsetsPartitionResponse:
    answer = _no_offset(asked)
    if partition is None:
        answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return answer
    code = partition.epoch_error(asked.current_leader_epoch)
    if code is not ErrorCode.NONE:
        answer.error_code = code
        return answer
    try:
        async with asyncio.timeout_at(deadline_s):
            offset, answer.timestamp = await _find(partition, asked.timestamp, threads)
    except Exception as error:
        partition.tell_damage(error)
        answer.error_code = error_code(error)
        if answer.error_code == ErrorCode.UNKNOWN_SERVER_ERROR:
            raise
        return answer
    answer.offset = offset
    if offset >= 0:
        answer.leader_epoch = partition.epoch_of(offset)
    return answer


def _old_style(
    answer: ListOffsetsPartitionResponse, asked: ListOffsetsPartition, partition: Partition
) -> list[int]:
    """From the found offset down to the log start, at most as many as were asked for."""
    if answer.error_code != ErrorCode.NONE:
        return []
    start, end = partition.log_start_offset, partition.high_watermark
    found = end if answer.offset < 0 else answer.offset
    return [*dict.fromkeys((found, start))][: max(0, asked.max_num_offsets)]


async def _find(partition: Partition, timestamp_ms: int, threads: Share) -> tuple[int, int]:
    """(offset, timestamp) for one of the special values or a time; (-1, -1) when there is none."""
    match timestamp_ms:
        case -1:
            return partition.high_watermark, -1
        case -2 | -4:
            return partition.log_start_offset, -1
        case -3:
            return await find_latest(partition, threads)
        case -5 | -6:
            return NOT_FOUND
    return await find_timestamp(partition, timestamp_ms, threads)


def list_offsets_error(request: ListOffsetsRequest, code: ErrorCode) -> ListOffsetsResponse:
    return ListOffsetsResponse(
        topics=[
            ListOffsetsTopicResponse(
                name=topic.name,
                partitions=[
                    ListOffsetsPartitionResponse(
                        partition_index=p.partition_index, error_code=code, timestamp=-1, offset=-1
                    )
                    for p in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


async def offset_for_leader_epoch(
    request: OffsetForLeaderEpochRequest, call: Call
) -> OffsetForLeaderEpochResponse:
    """Where an epoch ended, so that a client can see whether its position was truncated away
    (KIP-320).
    """
    topics = []
    slices = Slices()
    for topic in request.topics:
        if slices.is_over:
            await slices.pause()
        answers = []
        for asked in topic.partitions:
            if slices.is_over:
                await slices.pause()
            answer = EpochEndOffset(partition=asked.partition, leader_epoch=-1, end_offset=-1)
            answers.append(answer)
            partition = call.broker.durable_partition(topic.topic, asked.partition)
            if partition is None:
                answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                continue
            answer.error_code = partition.epoch_error(asked.current_leader_epoch)
            if answer.error_code == ErrorCode.NONE:
                answer.leader_epoch, answer.end_offset = partition.end_offset_for_epoch(
                    asked.leader_epoch
                )
        topics.append(OffsetForLeaderTopicResult(topic=topic.topic, partitions=answers))
    return OffsetForLeaderEpochResponse(topics=topics)


def offset_for_leader_epoch_error(
    request: OffsetForLeaderEpochRequest, code: ErrorCode
) -> OffsetForLeaderEpochResponse:
    return OffsetForLeaderEpochResponse(
        topics=[
            OffsetForLeaderTopicResult(
                topic=topic.topic,
                partitions=[
                    EpochEndOffset(
                        partition=p.partition, error_code=code, leader_epoch=-1, end_offset=-1
                    )
                    for p in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
