"""Fetch (1), versions 0-18.

v0-3 can only carry the old message formats: where there are records they are answered
UNSUPPORTED_VERSION, as by a Kafka that does not convert (`message.downconversion.enable=false`).
v4 isolation level; v5 log start offset; v7 sessions (KIP-227, `gateway.api.fetch_turn`); v9 leader
epoch checks (KIP-320); v11 preferred replica
(-1: none); v12 diverging epoch; v13 topic ids (KIP-516); v16 who leads a partition instead
(KIP-951). Without transactions the last stable
offset is the high watermark and the list of aborted transactions is empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from gateway.api.call import Call, error_code
from gateway.api.fetch_turn import FetchTurn
from gateway.api.leader_hints import LeaderHints
from gateway.broker.errors import BrokerError
from gateway.broker.partition import NO_EPOCH, Partition
from gateway.broker.reading import LOOKS_COUNT, Reading, Wanted
from gateway.broker.waiting import Waiter
from gateway.fairness.quotas import CONSUMED
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
)

FIRST_VERSION_WITH_BATCHES = 4
FIRST_VERSION_WITH_TOPIC_IDS = 13
FIRST_VERSION_WITH_HINTS = 16
# Beside them an answer tells no offsets of the log, as in Kafka.
SAY_NO_OFFSETS = frozenset(
    (
        ErrorCode.OFFSET_OUT_OF_RANGE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
    )
)
HINTED = frozenset((ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH))
WAIT_MAX_MS = 300_000  # no fetch is parked for longer, whatever it asks
STORAGE_S_MIN = 0.1  # how long a fetch that does not wait at all reads from storage
READ_COMMITTED = 1


class _Part(NamedTuple):
    """One asked-for partition: where its answer goes and what to read."""

    answer: PartitionData
    wanted: Wanted


async def fetch(request: FetchRequest, call: Call) -> FetchResponse:
    """Answer at once when there is an error or `min_bytes` of data; otherwise wait to be woken by
    either.
    """
    by_id = call.version >= FIRST_VERSION_WITH_TOPIC_IDS
    try:
        turn = FetchTurn(request, call.services.fetch_sessions, by_id=by_id)
    except BrokerError as error:
        return FetchResponse(error_code=error.code)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + min(max(request.max_wait_ms, 0), WAIT_MAX_MS) / 1000
    while True:
        slices = Slices()
        may_hint = call.version >= FIRST_VERSION_WITH_HINTS
        hints = LeaderHints(call.broker.cluster, may_tell=may_hint)
        topics, parts, failed = await _prepare(request, turn.topics, call, slices, hints)
        # Registered before reading: what becomes durable in between wakes the next wait.
        with Waiter(part.wanted.partition for part in parts) as waiter:
            bytes_max = min(request.max_bytes, call.services.config.fetch_bytes_max)
            if call.broker.quotas.is_any:
                # More at once than its quota allows in all its time is too much, as in Kafka.
                quota = call.broker.quotas.bytes_max(CONSUMED, call.header.client_id)
                bytes_max = bytes_max if quota is None else min(bytes_max, quota)
            reading = Reading(
                call.turns,
                call.room,
                slices,
                left_bytes=bytes_max,
                enough_bytes=request.min_bytes,
                deadline_s=max(deadline_s, loop.time() + STORAGE_S_MIN),
            )
            await reading.fill([p.wanted for p in parts if p.answer.diverging_epoch is None])
            _fill_in(parts, hints)
            left_s = deadline_s - loop.time()
            if (
                not parts  # nothing to wait for: a session that closes (DelayedFetch in Kafka)
                or failed
                or reading.has_failed
                or reading.is_cut
                or reading.got_bytes >= request.min_bytes
                or left_s <= 0
                or call.broker.closing
            ):
                return _with_nodes(turn.response(topics), hints)
            if reading.got_bytes:
                # Too little to answer with: it is read again, and not kept while it waits.
                topics, parts = [], []
                call.room.become(0)
                await waiter.wait(left_s)
            elif not await waiter.wait(left_s):
                return turn.response(topics)
        await call.services.pace.enter()  # a crowd may have been woken


async def _prepare(
    request: FetchRequest,
    wanted_topics: Sequence[FetchTopic],
    call: Call,
    slices: Slices,
    hints: LeaderHints,
) -> tuple[list[FetchableTopicResponse], list[_Part], bool]:
    """An answer for every partition, what can be read, and whether any of them failed."""
    topics = []
    parts: list[_Part] = []
    failed = False
    is_known: bool | None = None
    """Whose the logs are, if that was looked at."""
    for topic in wanted_topics:
        answers = []
        for asked in topic.partitions:
            answer = _empty(asked.partition, request.isolation_level)
            answers.append(answer)
            partition, code = _find(topic, asked, call)
            if code is ErrorCode.OFFSET_OUT_OF_RANGE and is_known is None:
                # Who has read further elsewhere would begin anew: see `assurance`.
                is_known = await call.broker.logs.assurance.look()
                partition, code = _find(topic, asked, call)
            if code is ErrorCode.OFFSET_OUT_OF_RANGE and not is_known:
                code = ErrorCode.NOT_LEADER_OR_FOLLOWER
            if partition is not None and code not in SAY_NO_OFFSETS:
                _set_offsets(answer, partition)
            if partition is not None and code is ErrorCode.NONE:
                wanted = Wanted(partition, asked.fetch_offset, asked.partition_max_bytes)
                parts.append(_Part(answer, wanted))
                failed |= _diverged(answer, partition, asked)
            else:
                _fail(answer, code, partition, hints)
                failed = True
            if len(answers) % LOOKS_COUNT == 0 and slices.is_over:
                await slices.pause()
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
        partition = call.broker.durable_partition(topic.topic, asked.partition)
    if partition is None:
        return None, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    # Below -1 is none, too, as in Kafka's FetchRequest and nowhere else.
    code = partition.epoch_error(max(asked.current_leader_epoch, NO_EPOCH))
    if code is not ErrorCode.NONE:
        return partition, code
    return partition, _offset_error(partition, asked, call.version)


def _offset_error(partition: Partition, asked: FetchPartition, version: int) -> ErrorCode:
    if not partition.log_start_offset <= asked.fetch_offset <= partition.high_watermark:
        return ErrorCode.OFFSET_OUT_OF_RANGE
    if asked.last_fetched_epoch > partition.leader_epoch:
        # An epoch nobody here has heard of ends nowhere (Partition.readRecords in Kafka).
        return ErrorCode.OFFSET_OUT_OF_RANGE
    if version < FIRST_VERSION_WITH_BATCHES and asked.fetch_offset < partition.high_watermark:
        return ErrorCode.UNSUPPORTED_VERSION
    return ErrorCode.NONE


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
    # By default there are zero bytes of records, not null, which librdkafka calls a parse failure.
    answer = PartitionData(index, ErrorCode.NONE, -1)
    if isolation_level == READ_COMMITTED:
        answer.aborted_transactions = []  # none were aborted; null means "not asked for"
    return answer


def _fail(
    answer: PartitionData, code: ErrorCode, partition: Partition | None, hints: LeaderHints
) -> None:
    answer.error_code = code
    if code in HINTED:
        leader = hints.of(partition)
        if leader is not None:
            answer.current_leader = LeaderIdAndEpoch(
                leader_id=leader.node.node_id, leader_epoch=leader.epoch
            )
    if code in (ErrorCode.UNKNOWN_TOPIC_ID, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION):
        # As in Kafka (`FetchResponse.partitionResponse`), whatever the isolation level.
        answer.aborted_transactions = []


def _set_offsets(answer: PartitionData, partition: Partition) -> None:
    answer.high_watermark = answer.last_stable_offset = partition.high_watermark
    answer.log_start_offset = partition.log_start_offset


def _with_nodes(response: FetchResponse, hints: LeaderHints) -> FetchResponse:
    """Each was told of beside an error, and errors are news in every session."""
    response.node_endpoints = [
        NodeEndpoint(node_id=node.node_id, host=node.host, port=node.port, rack=node.rack)
        for node in hints.nodes
    ]
    return response


def _fill_in(parts: Sequence[_Part], hints: LeaderHints) -> None:
    """What was read, or why it was not, into the answers."""
    for part in parts:
        want = part.wanted
        if want.error is not None:
            code = error_code(want.error)
            if want.partition.deleted:
                code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            _fail(part.answer, code, want.partition, hints)
        elif want.records:
            part.answer.records = want.records
            _set_offsets(part.answer, want.partition)


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
