"""Fetch (1), versions 4-17.

v4 isolation level; v5 log start offset; v7 sessions (KIP-227: declined, every answer has session id
0 and is full, which every client accepts); v9 leader epoch checks (KIP-320); v11 preferred replica
(-1: none); v12 diverging epoch; v13 topic ids (KIP-516). Without transactions the last stable
offset is the high watermark and the list of aborted transactions is empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.api.call import Call, error_code
from gateway.broker.partition import Partition
from gateway.broker.waiting import Waiter
from protocol import ErrorCode
from protocol.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from wal_core import Entry, Truncated, WalError

FIRST_VERSION_WITH_TOPIC_IDS = 13
WAIT_MAX_MS = 300_000  # no fetch is parked for longer, whatever it asks
READ_COMMITTED = 1
NO_SESSION = 0
FINAL_EPOCH = -1  # a sessionless fetch (KIP-227)
INITIAL_EPOCH = 0  # "open a session, please": declined by answering session id 0


@dataclass(slots=True)
class _Part:
    """One asked-for partition: where its answer goes and what to read."""

    answer: PartitionData
    partition: Partition
    offset: int
    bytes_max: int


async def fetch(request: FetchRequest, call: Call) -> FetchResponse:
    """Answer at once when there is an error or `min_bytes` of data; otherwise wait to be woken by
    either.
    """
    session_error = _session_error(request)
    if session_error is not ErrorCode.NONE:
        return FetchResponse(error_code=session_error)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + min(max(request.max_wait_ms, 0), WAIT_MAX_MS) / 1000
    while True:
        topics, parts, failed = _prepare(request, call)
        # Registered before reading: what becomes durable in between wakes the next wait.
        with Waiter(part.partition for part in parts) as waiter:
            got_bytes, read_failed = await _read(parts, request, call)
            left_s = deadline_s - loop.time()
            if failed or read_failed or got_bytes >= request.min_bytes or left_s <= 0:
                return FetchResponse(responses=topics, session_id=NO_SESSION)
            if call.broker.closing or not await waiter.wait(left_s):
                return FetchResponse(responses=topics, session_id=NO_SESSION)


def _session_error(request: FetchRequest) -> ErrorCode:
    if request.session_id != NO_SESSION and request.session_epoch not in (
        INITIAL_EPOCH,
        FINAL_EPOCH,
    ):
        return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    if request.session_id == NO_SESSION and request.session_epoch > INITIAL_EPOCH:
        return ErrorCode.INVALID_FETCH_SESSION_EPOCH
    return ErrorCode.NONE


def _prepare(
    request: FetchRequest, call: Call
) -> tuple[list[FetchableTopicResponse], list[_Part], bool]:
    """An answer for every partition, what can be read, and whether any of them failed."""
    topics = []
    parts: list[_Part] = []
    failed = False
    for topic in request.topics:
        answers = []
        for asked in topic.partitions:
            answer = _empty(asked.partition, request.isolation_level)
            answers.append(answer)
            partition, code = _find(topic, asked, call)
            if partition is not None:
                _set_offsets(answer, partition)
            if code is ErrorCode.NONE and partition is not None:
                parts.append(
                    _Part(answer, partition, asked.fetch_offset, asked.partition_max_bytes)
                )
                failed |= _diverged(answer, partition, asked)
            else:
                answer.error_code = code
                failed = True
        topics.append(
            FetchableTopicResponse(topic=topic.topic, topic_id=topic.topic_id, partitions=answers)
        )
    return topics, parts, failed


def _find(
    topic: FetchTopic, asked: FetchPartition, call: Call
) -> tuple[Partition | None, ErrorCode]:
    if call.version >= FIRST_VERSION_WITH_TOPIC_IDS:
        if call.broker.topics.with_id(topic.topic_id) is None:
            return None, ErrorCode.UNKNOWN_TOPIC_ID
        partition = call.broker.partition_by_id(topic.topic_id, asked.partition)
    else:
        partition = call.broker.partition(topic.topic, asked.partition)
    if partition is None:
        return None, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    code = partition.epoch_error(asked.current_leader_epoch)
    if code is not ErrorCode.NONE:
        return None, code
    if not partition.log_start_offset <= asked.fetch_offset <= partition.high_watermark:
        return partition, ErrorCode.OFFSET_OUT_OF_RANGE
    if asked.last_fetched_epoch > partition.leader_epoch:
        # An epoch nobody here has heard of ends nowhere (Partition.readRecords in Kafka).
        return partition, ErrorCode.OFFSET_OUT_OF_RANGE
    return partition, ErrorCode.NONE


def _diverged(answer: PartitionData, partition: Partition, asked: FetchPartition) -> bool:
    """KIP-595: tell a reader whose last epoch ended earlier than it believes where that epoch
    ended.
    """
    if asked.last_fetched_epoch < 0:
        return False
    epoch, end = partition.end_offset_for_epoch(asked.last_fetched_epoch)
    if epoch == asked.last_fetched_epoch and end >= asked.fetch_offset:
        return False
    answer.diverging_epoch = EpochEndOffset(epoch=epoch, end_offset=end)
    return True


def _empty(index: int, isolation_level: int) -> PartitionData:
    return PartitionData(
        partition_index=index,
        high_watermark=-1,
        last_stable_offset=-1,
        log_start_offset=-1,
        # Null means "not asked for", an empty list "none were aborted".
        aborted_transactions=[] if isolation_level == READ_COMMITTED else None,
        preferred_read_replica=-1,
        records=b"",  # zero bytes, never null: librdkafka calls null a parse failure
    )


def _set_offsets(answer: PartitionData, partition: Partition) -> None:
    answer.high_watermark = answer.last_stable_offset = partition.high_watermark
    answer.log_start_offset = partition.log_start_offset


async def _read(parts: Sequence[_Part], request: FetchRequest, call: Call) -> tuple[int, bool]:
    """Fill in records; returns their bytes and whether a partition failed.

    The byte budget goes round: each request begins with another partition, so that none starves
    behind a busy one that is always asked for first. The first batch found is returned whole
    whatever its size.
    """
    left_bytes = min(request.max_bytes, call.services.config.fetch_bytes_max)
    got_bytes = 0
    failed = False
    first = call.header.correlation_id % len(parts) if parts else 0
    for part in (*parts[first:], *parts[:first]):
        if left_bytes <= 0 and got_bytes:
            break
        if part.answer.diverging_epoch is not None:
            continue
        try:
            budget_bytes = max(0, min(part.bytes_max, left_bytes))
            entries = await _entries(part, budget_bytes)
        except WalError as error:
            part.partition.tell_damage(error)
            part.answer.error_code = (
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                if part.partition.deleted
                else error_code(error)
            )
            failed = True
            continue
        size_bytes = sum(len(entry.payload) for entry in entries)
        if not entries or (got_bytes and size_bytes > budget_bytes):
            continue  # only the very first batch of a reply may be larger than its budget
        part.answer.records = [entry.payload for entry in entries]
        _set_offsets(part.answer, part.partition)
        got_bytes += size_bytes
        left_bytes -= size_bytes
    return got_bytes, failed


async def _entries(part: _Part, bytes_max: int) -> list[Entry]:
    """Whole batches from memory or, when they are older, from storage."""
    partition = part.partition
    if partition.deleted:
        raise Truncated("the topic was deleted")
    if part.offset < partition.log_start_offset:
        raise Truncated("the records were deleted")  # while another partition was read
    if part.offset >= partition.high_watermark:
        return []
    entries = partition.log.read_tail(partition.stream_id, part.offset, bytes_max)
    if entries is None:
        entries = await partition.log.read(partition.stream_id, part.offset, bytes_max)
    return entries


def fetch_error(request: FetchRequest, code: ErrorCode) -> FetchResponse:
    """Both at the top and per partition: versions before 7 have no error at the top."""
    topics = [
        FetchableTopicResponse(
            topic=topic.topic,
            topic_id=topic.topic_id,
            partitions=[
                PartitionData(partition_index=p.partition, error_code=code, records=b"")
                for p in topic.partitions
            ],
        )
        for topic in request.topics
    ]
    return FetchResponse(error_code=code, responses=topics)
