"""What the group APIs answer when their handler raised: the same code for everything asked."""

from __future__ import annotations

from protocol import ErrorCode
from protocol.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from protocol.messages.join_group import JoinGroupRequest, JoinGroupResponse
from protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
)
from protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse


def find_coordinator_error(
    request: FindCoordinatorRequest, code: ErrorCode
) -> FindCoordinatorResponse:
    coordinators = [
        Coordinator(key=key, node_id=-1, port=-1, error_code=code)
        for key in request.coordinator_keys
    ]
    return FindCoordinatorResponse(error_code=code, node_id=-1, port=-1, coordinators=coordinators)


def join_group_error(request: JoinGroupRequest, code: ErrorCode) -> JoinGroupResponse:
    return JoinGroupResponse(
        error_code=code, generation_id=-1, protocol_name="", member_id=request.member_id
    )


def sync_group_error(request: SyncGroupRequest, code: ErrorCode) -> SyncGroupResponse:
    return SyncGroupResponse(error_code=code)


def heartbeat_error(request: HeartbeatRequest, code: ErrorCode) -> HeartbeatResponse:
    return HeartbeatResponse(error_code=code)


def leave_group_error(request: LeaveGroupRequest, code: ErrorCode) -> LeaveGroupResponse:
    return LeaveGroupResponse(error_code=code)


def offset_commit_error(request: OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse:
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetCommitResponsePartition(
                        partition_index=p.partition_index, error_code=code
                    )
                    for p in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def offset_fetch_error(request: OffsetFetchRequest, code: ErrorCode) -> OffsetFetchResponse:
    groups = [
        OffsetFetchResponseGroup(group_id=g.group_id, error_code=code) for g in request.groups
    ]
    return OffsetFetchResponse(error_code=code, groups=groups)
