"""What groups have committed: OffsetCommit (8), OffsetFetch (9).

State and meaning live in gateway.groups; this module translates. The versions are API_TABLE's.

Versions whose meaning differs, not only their fields: OffsetCommit v0 knows no members; v9: a group
that is not there is told apart from a generation that is over (KIP-848); v10: topics by id
(KIP-848). OffsetFetch v2: null topics mean all, and a group has an error of its own; v8: many
groups at once (KIP-709); v10: topics by id.

Departures from Kafka: `require_stable` (OffsetFetch v7) changes nothing while there are no
transactions; `commit_timestamp` (OffsetCommit v1) is ignored: an offset is as old as its commit.
Version 0 of both means the group, too, not ZooKeeper. What is refused to a group is told of each
partition, too, in OffsetFetch v2 to v7: aiokafka 0.14 looks there alone, and would take a
coordinator that has moved for a group that has committed nothing, and begin again or leave out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from gateway.api.call import Call, groups_ready
from gateway.fairness.slices import Slices
from gateway.groups.committed import CommittedOffset, TopicPartition
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

FIRST_COMMIT_WITH_GROUP_NOT_FOUND = 9
FIRST_WITH_TOPIC_IDS = 10
FIRST_OFFSET_FETCH_WITH_GROUP_ERROR = 2
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
    by_id = call.version >= FIRST_WITH_TOPIC_IDS
    if by_id:
        await broker.search((), (topic.topic_id for topic in request.topics))
    else:
        await broker.search(topic.name for topic in request.topics)
    refused: list[ErrorCode] = []  # NONE: by nobody yet
    offsets: list[OffsetToCommit] = []
    slices = Slices()
    knows_not_found = call.version >= FIRST_COMMIT_WITH_GROUP_NOT_FOUND
    for topic in request.topics:
        for asked in topic.partitions:
            if slices.is_over:
                await slices.pause()
            if by_id:
                partition = broker.partition_by_id(topic.topic_id, asked.partition_index)
            else:
                partition = broker.partition(topic.name, asked.partition_index)
            refused.append(_refusal(topic, call) if partition is None else ErrorCode.NONE)
            if partition is not None:
                offset = OffsetToCommit(
                    topic=partition.topic.name,
                    partition=asked.partition_index,
                    offset=asked.committed_offset,
                    leader_epoch=asked.committed_leader_epoch,
                    metadata=asked.committed_metadata or "",
                    topic_id=partition.topic.id,
                    retention_ms=None
                    if request.retention_time_ms < 0
                    else request.retention_time_ms,
                )
                offsets.append(offset)
    committed = iter(
        await call.services.groups.of(request.group_id).commit(
            request.group_id,
            Identity(request.member_id, request.group_instance_id),
            request.generation_id_or_member_epoch,
            offsets,
            call.client_host,
            no_group=(
                ErrorCode.GROUP_ID_NOT_FOUND if knows_not_found else ErrorCode.ILLEGAL_GENERATION
            ),
        )
    )
    codes = [next(committed) if code is ErrorCode.NONE else code for code in refused]
    return await _commit_response(request, codes)


def _refusal(topic: OffsetCommitRequestTopic, call: Call) -> ErrorCode:
    """What is said of a partition that is not there."""
    if call.version >= FIRST_WITH_TOPIC_IDS and call.broker.topics.with_id(topic.topic_id) is None:
        return ErrorCode.UNKNOWN_TOPIC_ID
    return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


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
        topic_id=topic.topic_id,
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
    unknown: list[OffsetFetchResponseTopics] = []
    if topics is None:
        asked = coordinator.committed_partitions(group_id)
    else:  # each once
        asked, unknown = await _asked(topics, call, slices)
    ids = {name: _id_of(name, call) for name, _ in asked}
    by_topic: dict[str, list[OffsetFetchResponsePartitions]] = {}
    for start in range(0, len(asked) or 1, LOOKED_UP_AT_ONCE_COUNT):
        if slices.is_over:
            await slices.pause()
        some = asked[start : start + LOOKED_UP_AT_ONCE_COUNT]
        code, offsets = coordinator.fetch(group_id, some)
        if code is not ErrorCode.NONE:
            return _fetch_refused(group_id, [] if topics is None else asked, code, call)
        for (name, index), committed in offsets.items():
            known = None if _is_of_another(name, committed, call) else committed
            by_topic.setdefault(name, []).append(_fetched(index, known, code))
    found = [
        OffsetFetchResponseTopics(name=name, topic_id=ids[name], partitions=partitions)
        for name, partitions in by_topic.items()
        # What is left of a topic that is gone has no id to be told by.
        if call.version < FIRST_WITH_TOPIC_IDS or ids[name] != ZERO_UUID
    ]
    return OffsetFetchResponseGroup(group_id=group_id, topics=found + unknown)


def _fetch_refused(
    group_id: str, asked: list[TopicPartition], code: ErrorCode, call: Call
) -> OffsetFetchResponseGroup:
    """Of the group and, where clients do not ask for many groups, of each partition as well."""
    answer = OffsetFetchResponseGroup(group_id=group_id)
    if call.version >= FIRST_OFFSET_FETCH_WITH_GROUP_ERROR:
        answer.error_code = code
    if call.version < FIRST_OFFSET_FETCH_WITH_BATCHES:
        by_topic: dict[str, list[OffsetFetchResponsePartitions]] = {}
        for name, index in asked:
            by_topic.setdefault(name, []).append(_fetched(index, None, code))
        answer.topics = [
            OffsetFetchResponseTopics(name=name, partitions=partitions)
            for name, partitions in by_topic.items()
        ]
    return answer


async def _asked(
    topics: list[OffsetFetchRequestTopic] | list[OffsetFetchRequestTopics],
    call: Call,
    slices: Slices,
) -> tuple[list[TopicPartition], list[OffsetFetchResponseTopics]]:
    """The partitions by name, and the answers for ids that no topic has."""
    asked: dict[TopicPartition, None] = {}
    unknown = []
    for topic in topics:
        name: str | None = topic.name
        if call.version >= FIRST_WITH_TOPIC_IDS:
            assert isinstance(topic, OffsetFetchRequestTopics)
            found = call.broker.topics.with_id(topic.topic_id)
            name = None if found is None else found.name
            if found is None:
                unknown.append(OffsetFetchResponseTopics(topic_id=topic.topic_id, partitions=[]))
        for start in range(0, len(topic.partition_indexes), LOOKED_UP_AT_ONCE_COUNT):
            if slices.is_over:
                await slices.pause()
            some = topic.partition_indexes[start : start + LOOKED_UP_AT_ONCE_COUNT]
            if name is not None:
                asked |= dict.fromkeys((name, index) for index in some)
            else:
                code = ErrorCode.UNKNOWN_TOPIC_ID
                unknown[-1].partitions += [_fetched(index, None, code) for index in some]
    return list(asked), unknown


def _id_of(name: str, call: Call) -> bytes:
    topic = call.broker.topics.named(name)
    return ZERO_UUID if topic is None else topic.id


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
