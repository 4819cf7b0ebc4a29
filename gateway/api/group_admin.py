"""What administrators ask of groups: DescribeGroups (15), ListGroups (16), DeleteGroups (42),
OffsetDelete (47).

State and meaning live in gateway.groups; this module translates. The versions are API_TABLE's.

Versions whose meaning differs, not only their fields: DescribeGroups v6 says GROUP_ID_NOT_FOUND of
a group that is not there, earlier ones that it is Dead (KIP-1043). ListGroups v4 filters by state
(KIP-518), v5 by type (KIP-848); what is no state and no type matches nothing.
"""

from __future__ import annotations

import asyncio

from gateway.api.authorized import authorized_operations
from gateway.api.call import Call
from gateway.api.row import Resource
from gateway.fairness.slices import Slices
from gateway.groups.committed import TopicPartition
from gateway.groups.described import GROUP_TYPE, DescribedGroup, DescribedMember
from gateway.groups.states import State
from protocol import ErrorCode
from protocol.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)
from protocol.messages.describe_groups import (
    DescribedGroup as Answer,
)
from protocol.messages.describe_groups import (
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from protocol.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse
from protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)

FIRST_DESCRIBE_WITH_NOT_FOUND = 6
DELETED_AT_ONCE_COUNT = 25
REPLY_BYTES_MAX = 32 * 1024 * 1024
"""Of one answer to DescribeGroups; past it, groups are told to be asked for again."""


# ---- ListGroups


async def list_groups(request: ListGroupsRequest, call: Call) -> ListGroupsResponse:
    """Groups of all logs that are here, if there are any: clients ask each node."""
    states = {state.strip().lower() for state in request.states_filter}
    types = {kind.strip().lower() for kind in request.types_filter}
    if any(each.is_loading for each in call.services.groups):
        return list_groups_error(request, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
    coordinators = [each for each in call.services.groups if not each.is_closed]
    found = []
    slices = Slices()
    for coordinator in coordinators:
        for group_id in coordinator.group_ids():
            if slices.is_over:
                await slices.pause()
            group = coordinator.listed(group_id)
            if group is None or (types and GROUP_TYPE not in types):
                continue
            if states and group.state.value.lower() not in states:
                continue
            answer = ListedGroup(
                group_id=group_id,
                protocol_type=group.protocol_type,
                group_state=group.state.value,
                group_type=GROUP_TYPE,
            )
            found.append(answer)
    return ListGroupsResponse(groups=found)


def list_groups_weight(request: ListGroupsRequest, call: Call) -> int:
    """Groups that there are."""
    return sum(coordinator.groups_count for coordinator in call.services.groups)


def list_groups_error(request: ListGroupsRequest, code: ErrorCode) -> ListGroupsResponse:
    return ListGroupsResponse(error_code=code)


# ---- DescribeGroups


async def describe_groups(request: DescribeGroupsRequest, call: Call) -> DescribeGroupsResponse:
    """One answer per group, whatever became of the others."""
    answers = []
    left_bytes = REPLY_BYTES_MAX
    slices = Slices()
    for group_id in request.groups:
        if slices.is_over:
            await slices.pause()
        code, group = call.services.groups.of(group_id).described(group_id)
        if code is ErrorCode.NONE and left_bytes <= 0:
            code = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        if code is not ErrorCode.NONE:
            answers.append(_not_described(group_id, code))
        elif group is None:
            answers.append(_not_found(group_id, request, call))
        else:
            answer = await _answer(group_id, group, slices)
            answer.authorized_operations = _operations(request)
            left_bytes -= len(group_id) + sum(map(_member_bytes, group.members))
            answers.append(answer)
    return DescribeGroupsResponse(groups=answers)


def _not_found(group_id: str, request: DescribeGroupsRequest, call: Call) -> Answer:
    if call.version >= FIRST_DESCRIBE_WITH_NOT_FOUND:
        answer = _not_described(group_id, ErrorCode.GROUP_ID_NOT_FOUND)
        answer.error_message = f"Group {group_id} not found."
    else:
        answer = Answer(group_id=group_id, authorized_operations=_operations(request))
    answer.group_state = State.DEAD.value
    return answer


async def _answer(group_id: str, group: DescribedGroup, slices: Slices) -> Answer:
    members = []
    for member in group.members:
        if slices.is_over:
            await slices.pause()
        members.append(
            DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.group_instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.metadata,
                member_assignment=member.assignment,
            )
        )
    return Answer(
        group_id=group_id,
        group_state=group.state.value,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol_name,
        members=members,
    )


def _operations(request: DescribeGroupsRequest) -> int:
    return authorized_operations(Resource.GROUP, request.include_authorized_operations)


def _member_bytes(member: DescribedMember) -> int:
    names = len(member.member_id) + len(member.client_id) + len(member.client_host)
    return names + len(member.metadata) + len(member.assignment)


def describe_groups_weight(request: DescribeGroupsRequest, call: Call) -> int:
    """Members that the answer will tell of."""
    of = call.services.groups.of
    return sum(of(group_id).members_count(group_id) for group_id in request.groups)


def describe_groups_error(
    request: DescribeGroupsRequest, code: ErrorCode
) -> DescribeGroupsResponse:
    return DescribeGroupsResponse(groups=[_not_described(each, code) for each in request.groups])


def _not_described(group_id: str, code: ErrorCode) -> Answer:
    return Answer(group_id=group_id, error_code=code)


# ---- DeleteGroups


async def delete_groups(request: DeleteGroupsRequest, call: Call) -> DeleteGroupsResponse:
    """Answers when those that can go are gone for good."""
    group_ids = list(dict.fromkeys(request.groups_names))
    codes: list[ErrorCode] = []
    slices = Slices()
    for start in range(0, len(group_ids), DELETED_AT_ONCE_COUNT):
        if slices.is_over:
            await slices.pause()
        some = group_ids[start : start + DELETED_AT_ONCE_COUNT]
        codes += await asyncio.gather(
            *(call.services.groups.of(group_id).delete_group(group_id) for group_id in some)
        )
    return DeleteGroupsResponse(
        results=[
            _deletion_result(group_id, code)
            for group_id, code in zip(group_ids, codes, strict=True)
        ]
    )


def delete_groups_error(request: DeleteGroupsRequest, code: ErrorCode) -> DeleteGroupsResponse:
    return DeleteGroupsResponse(
        results=[_deletion_result(group_id, code) for group_id in request.groups_names]
    )


def _deletion_result(group_id: str, code: ErrorCode) -> DeletableGroupResult:
    message = None if code is ErrorCode.NONE else code.message
    return DeletableGroupResult(group_id=group_id, error_code=code, error_message=message)


# ---- OffsetDelete


async def offset_delete(request: OffsetDeleteRequest, call: Call) -> OffsetDeleteResponse:
    """Answers when the offsets that can go are gone for good.

    As in Kafka a request that names nothing that exists is not taken to the group.
    """
    asked: dict[TopicPartition, None] = {}
    missing: set[TopicPartition] = set()
    slices = Slices()
    for topic in request.topics:
        for partition in topic.partitions:
            if slices.is_over:
                await slices.pause()
            where = topic.name, partition.partition_index
            if call.broker.partition(*where) is None:
                missing.add(where)
            else:
                asked[where] = None
    codes = dict.fromkeys(missing, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if asked:
        coordinator = call.services.groups.of(request.group_id)
        error, told = await coordinator.delete_offsets(request.group_id, list(asked))
        if error is not ErrorCode.NONE:
            return offset_delete_error(request, error)
        codes |= dict(zip(asked, told, strict=True))
    topics = []
    for topic in request.topics:
        if slices.is_over:
            await slices.pause()
        partitions = [
            OffsetDeleteResponsePartition(
                partition_index=each.partition_index,
                error_code=codes[topic.name, each.partition_index],
            )
            for each in topic.partitions
        ]
        topics.append(OffsetDeleteResponseTopic(name=topic.name, partitions=partitions))
    return OffsetDeleteResponse(topics=topics)


def offset_delete_error(request: OffsetDeleteRequest, code: ErrorCode) -> OffsetDeleteResponse:
    return OffsetDeleteResponse(error_code=code)
