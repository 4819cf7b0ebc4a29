"""What groups have committed: OffsetCommit (8), OffsetFetch (9).

State and meaning live in gateway.groups; this module translates. The versions are API_TABLE's.

Versions whose meaning differs, not only their fields: OffsetFetch v2: null topics mean all; v8:
many groups at once (KIP-709).

Departures from Kafka: `require_stable` (OffsetFetch v7) changes nothing while there are no
transactions; `retention_time_ms` (OffsetCommit v2-4) is ignored, KIP-211 made it obsolete.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from gateway.api.call import Call, groups_ready
from gateway.fairness.slices import Slices
from gateway.groups.committed import CommittedOffset
from gateway.groups.members import Identity
from gateway.groups.offsets import OffsetToCommit
from protocol import ZERO_UUID, ErrorCode
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)

FIRST_OFFSET_FETCH_WITH_BATCHES = 8
LOOKED_UP_AT_ONCE_COUNT = 250
REPLY_BYTES_MAX = 32 * 1024 * 1024
"""Of one answer to OffsetFetch; past it, groups are told to be asked for again."""


async def offset_commit(request: OffsetCommitRequest, call: Call) -> OffsetCommitResponse:
    """One answer per partition; a partition that does not exist harms no other."""
    broker = call.services.broker
    code = await groups_ready(call)
    if code is not ErrorCode.NONE:
        return offset_commit_error(request, code)
    exist: list[bool] = []
    offsets: list[OffsetToCommit] = []
    slices = Slices()
    for topic in request.topics:
        for asked in topic.partitions:
            if slices.is_over:
                await slices.pause()
            partition = broker.partition(topic.name, asked.partition_index)
            exist.append(partition is not None)
            if partition is not None:
                offset = OffsetToCommit(
                    topic=topic.name,
                    partition=asked.partition_index,
                    offset=asked.committed_offset,
                    leader_epoch=asked.committed_leader_epoch,
                    metadata=asked.committed_metadata or "",
                    topic_id=partition.topic.id,
                )
                offsets.append(offset)
    committed = iter(
        await call.services.groups.of(request.group_id).commit(
            request.group_id,
            Identity(request.member_id, request.group_instance_id),
            request.generation_id_or_member_epoch,
            offsets,
            call.client_host,
        )
    )
    codes = [
        next(committed) if exists else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION for exists in exist
    ]
    return await _commit_response(request, codes)


def offset_commit_error(request: OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse:
    return OffsetCommitResponse(
        topics=[_committed(topic, itertools.repeat(code)) for topic in request.topics]
    )


async def _commit_response(
    request: OffsetCommitRequest, codes: Iterable[ErrorCode]
) -> OffsetCommitResponse:
    code = iter(codes)
    topics = []
    slices = Slices()
    for topic in request.topics:
        if slices.is_over:
            await slices.pause()
        topics.append(_committed(topic, code))
    return OffsetCommitResponse(topics=topics)


def _committed(
    topic: OffsetCommitRequestTopic, codes: Iterator[ErrorCode]
) -> OffsetCommitResponseTopic:
    return OffsetCommitResponseTopic(
        name=topic.name,
        partitions=[
            OffsetCommitResponsePartition(
                partition_index=partition.partition_index, error_code=next(codes)
            )
            for partition in topic.partitions
        ],
    )


async def offset_fetch(request: OffsetFetchRequest, call: Call) -> OffsetFetchResponse:
    """The answer of a group that nobody knows is an empty success, like Kafka's."""
    slices = Slices()
    if call.version >= FIRST_OFFSET_FETCH_WITH_BATCHES:
        groups = []
        left_bytes = REPLY_BYTES_MAX  # one name of a few bytes may stand for megabytes
        for group in request.groups:
            if left_bytes > 0:
                groups.append(await _fetch_group(group.group_id, group.topics, call, slices))
                left_bytes -= _reply_bytes(groups[-1])
            else:
                code = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS  # they may be asked for again
                groups.append(OffsetFetchResponseGroup(group_id=group.group_id, error_code=code))
        return OffsetFetchResponse(groups=groups)
    only = await _fetch_group(request.group_id, request.topics, call, slices)
    topics = [
        OffsetFetchResponseTopic(
            name=topic.name,
            partitions=[
                OffsetFetchResponsePartition(
                    partition_index=p.partition_index,
                    committed_offset=p.committed_offset,
                    committed_leader_epoch=p.committed_leader_epoch,
                    metadata=p.metadata,
                    error_code=p.error_code,
                )
                for p in topic.partitions
            ],
        )
        for topic in only.topics
    ]
    return OffsetFetchResponse(topics=topics, error_code=only.error_code)


async def _fetch_group(
    group_id: str,
    topics: list[OffsetFetchRequestTopic] | list[OffsetFetchRequestTopics] | None,
    call: Call,
    slices: Slices,
) -> OffsetFetchResponseGroup:
    coordinator = call.services.groups.of(group_id)
    if topics is None:
        asked = coordinator.committed_partitions(group_id)
    else:
        asked = list(dict.fromkeys((t.name, p) for t in topics for p in t.partition_indexes))
    by_topic: dict[str, list[OffsetFetchResponsePartitions]] = {}
    error = ErrorCode.NONE
    for start in range(0, len(asked) or 1, LOOKED_UP_AT_ONCE_COUNT):
        if slices.is_over:
            await slices.pause()
        some = asked[start : start + LOOKED_UP_AT_ONCE_COUNT]
        code, offsets = coordinator.fetch(group_id, some)
        if code is not ErrorCode.NONE:
            offsets, error = dict.fromkeys(some), code
        for (name, index), committed in offsets.items():
            known = None if _is_of_another(name, committed, call) else committed
            by_topic.setdefault(name, []).append(_fetched(index, known, code))
    return OffsetFetchResponseGroup(
        group_id=group_id,
        topics=[OffsetFetchResponseTopics(name=n, partitions=p) for n, p in by_topic.items()],
        error_code=error,
    )


def _is_of_another(name: str, committed: CommittedOffset | None, call: Call) -> bool:
    """Whether that was committed for another topic, which had this name before."""
    topic = call.broker.topics.named(name)
    if committed is None or topic is None:
        return False
    return committed.topic_id not in (ZERO_UUID, topic.id)


def _reply_bytes(group: OffsetFetchResponseGroup) -> int:
    """What `group` takes in a reply, about."""
    partitions = (partition for topic in group.topics for partition in topic.partitions)
    return len(group.group_id) + sum(20 + len(one.metadata or "") for one in partitions)


def _fetched(
    index: int, committed: CommittedOffset | None, code: ErrorCode
) -> OffsetFetchResponsePartitions:
    answer = OffsetFetchResponsePartitions(
        partition_index=index, committed_offset=-1, metadata="", error_code=code
    )
    if committed is not None:
        answer.committed_offset = committed.offset
        answer.committed_leader_epoch = committed.leader_epoch
        answer.metadata = committed.metadata
    return answer


def offset_fetch_weight(request: OffsetFetchRequest, call: Call) -> int:
    """Offsets that the answer will tell of groups that are asked for all of them."""
    of = call.services.groups.of
    whole = {group.group_id for group in request.groups if group.topics is None}
    if request.topics is None:
        whole.add(request.group_id)
    return sum(of(group_id).committed_count(group_id) for group_id in whole)


def offset_fetch_error(request: OffsetFetchRequest, code: ErrorCode) -> OffsetFetchResponse:
    topics = [
        OffsetFetchResponseTopic(
            name=topic.name,
            partitions=[
                OffsetFetchResponsePartition(
                    partition_index=index, committed_offset=-1, metadata="", error_code=code
                )
                for index in topic.partition_indexes
            ],
        )
        for topic in request.topics or ()
    ]
    groups = [
        OffsetFetchResponseGroup(group_id=g.group_id, error_code=code) for g in request.groups
    ]
    return OffsetFetchResponse(topics=topics, error_code=code, groups=groups)
