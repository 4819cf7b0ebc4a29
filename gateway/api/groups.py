"""Consumer groups: FindCoordinator (10), JoinGroup (11), Heartbeat (12), LeaveGroup (13),
SyncGroup (14), ConsumerGroupHeartbeat (68).

State and meaning live in gateway.groups; this module translates. The versions are API_TABLE's.

Versions whose meaning differs, not only their fields:
- FindCoordinator v4: many keys at once (KIP-699). v6: keys of share groups, refused.
- JoinGroup v0: the rebalance timeout is the session timeout. v4: a new dynamic member is sent away
  with an id first (KIP-394). v7: an absent protocol name is null instead of empty. v9: a returning
  static leader may keep the assignment (KIP-814).
- LeaveGroup v3: many members at once (KIP-345).

The protocol of KIP-848 is refused as by a Kafka whose `group.coordinator.rebalance.protocols` is
`classic`: Java's clients and librdkafka end with that error, while librdkafka looks for another
coordinator for ever where a broker does not list the API.

A departure from Kafka: transaction coordinators are refused, with the one code that every client
takes as final and shows (librdkafka repeats UNSUPPORTED_VERSION for ever).
"""

from __future__ import annotations

from gateway.api.call import Call, groups_ready
from gateway.fairness.slices import Slices
from gateway.groups.coordinators import group_hash
from gateway.groups.members import Identity, JoinRequest, SyncRequest
from protocol import ErrorCode
from protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from protocol.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from protocol.messages.join_group import (
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
)
from protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberResponse
from protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse

GROUP_KEY, TRANSACTION_KEY = 0, 1
FIRST_FIND_COORDINATOR_WITH_BATCHES = 4
FIRST_JOIN_WITH_REBALANCE_TIMEOUT = 1
FIRST_JOIN_WITH_MEMBER_ID_REQUIRED = 4
FIRST_JOIN_WITH_NULL_PROTOCOL_NAME = 7
FIRST_JOIN_WITH_SKIP_ASSIGNMENT = 9
FIRST_LEAVE_WITH_BATCHES = 3
FIRST_SYNC_WITH_PROTOCOL = 5  # KIP-559
LEAVING_AT_ONCE_COUNT = 25


# ---- FindCoordinator


async def find_coordinator(request: FindCoordinatorRequest, call: Call) -> FindCoordinatorResponse:
    """The node that has the log on which the group lies, and this one while none does: looking for
    a coordinator creates nothing."""
    if call.version >= FIRST_FIND_COORDINATOR_WITH_BATCHES:
        found = []
        slices = Slices()
        for key in dict.fromkeys(request.coordinator_keys):
            if slices.is_over:
                await slices.pause()
            found.append(_coordinator_of(key, request.key_type, call))
        return FindCoordinatorResponse(coordinators=found)
    only = _coordinator_of(request.key, request.key_type, call)
    return FindCoordinatorResponse(
        error_code=only.error_code,
        error_message=only.error_message,
        node_id=only.node_id,
        host=only.host,
        port=only.port,
    )


def _coordinator_of(key: str, key_type: int, call: Call) -> Coordinator:
    if key_type == TRANSACTION_KEY:
        code = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        return _no_coordinator(key, code, "transactions are not supported yet")
    if key_type != GROUP_KEY:
        return _no_coordinator(key, ErrorCode.INVALID_REQUEST, f"unknown key type {key_type}")
    # The empty group has a coordinator, too: old simple consumers commit for it.
    broker = call.services.broker
    is_here = call.services.groups.is_served(key)
    node = broker.node if is_here else broker.offsets_topic.node_of(group_hash(key))
    if node is None:
        return _no_coordinator(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, "its log is not served")
    return Coordinator(key=key, node_id=node.node_id, host=node.host, port=node.port)


def _no_coordinator(key: str, code: ErrorCode, message: str | None = None) -> Coordinator:
    return Coordinator(key=key, node_id=-1, port=-1, error_code=code, error_message=message)


def find_coordinator_error(
    request: FindCoordinatorRequest, code: ErrorCode
) -> FindCoordinatorResponse:
    return FindCoordinatorResponse(
        error_code=code,
        node_id=-1,
        port=-1,
        coordinators=[_no_coordinator(key, code) for key in request.coordinator_keys],
    )


# ---- JoinGroup, SyncGroup


async def join_group(request: JoinGroupRequest, call: Call) -> JoinGroupResponse:
    """Answers when the group's next generation begins."""
    code = await groups_ready(call)
    if code is not ErrorCode.NONE:
        return join_group_error(request, code)
    rebalance_timeout_ms = request.rebalance_timeout_ms
    if call.version < FIRST_JOIN_WITH_REBALANCE_TIMEOUT or rebalance_timeout_ms <= 0:
        rebalance_timeout_ms = request.session_timeout_ms
    result = await call.services.groups.of(request.group_id).join(
        request.group_id,
        JoinRequest(
            member_id=request.member_id,
            group_instance_id=request.group_instance_id,
            client_id=call.header.client_id or "",
            client_host=f"/{call.client_host}",  # as Kafka stores and shows it
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=rebalance_timeout_ms,
            protocol_type=request.protocol_type,
            protocols=tuple((p.name, bytes(p.metadata)) for p in request.protocols),
            require_known_member_id=call.version >= FIRST_JOIN_WITH_MEMBER_ID_REQUIRED,
            supports_skip_assignment=call.version >= FIRST_JOIN_WITH_SKIP_ASSIGNMENT,
        ),
    )
    protocol_name = result.protocol_name
    if protocol_name is None and call.version < FIRST_JOIN_WITH_NULL_PROTOCOL_NAME:
        protocol_name = ""
    return JoinGroupResponse(
        error_code=result.error,
        generation_id=result.generation,
        protocol_type=result.protocol_type,
        protocol_name=protocol_name,
        leader=result.leader_id,
        skip_assignment=result.skip_assignment,
        member_id=result.member_id,
        members=[JoinGroupResponseMember(*member) for member in result.members],
    )


def join_group_error(request: JoinGroupRequest, code: ErrorCode) -> JoinGroupResponse:
    # The empty protocol name suits every version; null only suits v7 and later.
    return JoinGroupResponse(error_code=code, member_id=request.member_id, protocol_name="")


async def sync_group(request: SyncGroupRequest, call: Call) -> SyncGroupResponse:
    """Answers when the leader's assignment is durable."""
    names = (request.protocol_type, request.protocol_name)
    if call.version >= FIRST_SYNC_WITH_PROTOCOL and None in names:
        return sync_group_error(request, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    result = await call.services.groups.of(request.group_id).sync(
        request.group_id,
        SyncRequest(
            member=Identity(request.member_id, request.group_instance_id),
            generation=request.generation_id,
            protocol_type=request.protocol_type,
            protocol_name=request.protocol_name,
            assignments={a.member_id: a.assignment for a in request.assignments},
        ),
    )
    return SyncGroupResponse(
        error_code=result.error,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol_name,
        assignment=result.assignment,
    )


def sync_group_error(request: SyncGroupRequest, code: ErrorCode) -> SyncGroupResponse:
    return SyncGroupResponse(error_code=code)


# ---- Heartbeat, LeaveGroup


async def heartbeat(request: HeartbeatRequest, call: Call) -> HeartbeatResponse:
    code = call.services.groups.of(request.group_id).heartbeat(
        request.group_id,
        Identity(request.member_id, request.group_instance_id),
        request.generation_id,
    )
    return HeartbeatResponse(error_code=code)


def heartbeat_error(request: HeartbeatRequest, code: ErrorCode) -> HeartbeatResponse:
    return HeartbeatResponse(error_code=code)


async def leave_group(request: LeaveGroupRequest, call: Call) -> LeaveGroupResponse:
    if call.version < FIRST_LEAVE_WITH_BATCHES:
        leaving = [Identity(request.member_id)]
    else:
        leaving = [Identity(m.member_id, m.group_instance_id) for m in request.members]
    coordinator = call.services.groups.of(request.group_id)
    codes: list[ErrorCode] = []
    slices = Slices()
    for start in range(0, len(leaving) or 1, LEAVING_AT_ONCE_COUNT):
        if slices.is_over:
            await slices.pause()
        some = leaving[start : start + LEAVING_AT_ONCE_COUNT]
        error, codes_of_some = coordinator.leave(request.group_id, some)
        if error is not ErrorCode.NONE:
            return LeaveGroupResponse(error_code=error)
        codes += codes_of_some
    if call.version < FIRST_LEAVE_WITH_BATCHES:
        return LeaveGroupResponse(error_code=codes[0])
    return LeaveGroupResponse(
        members=[
            MemberResponse(*member, error_code=code)
            for member, code in zip(leaving, codes, strict=True)
        ],
    )


def leave_group_error(request: LeaveGroupRequest, code: ErrorCode) -> LeaveGroupResponse:
    return LeaveGroupResponse(error_code=code)


# ---- ConsumerGroupHeartbeat


async def consumer_group_heartbeat(
    request: ConsumerGroupHeartbeatRequest, call: Call
) -> ConsumerGroupHeartbeatResponse:
    return ConsumerGroupHeartbeatResponse(
        error_code=ErrorCode.UNSUPPORTED_VERSION,
        error_message="the group protocol of KIP-848 is not supported yet: "
        "set group.protocol=classic in the consumer",
    )


def consumer_group_heartbeat_error(
    request: ConsumerGroupHeartbeatRequest, code: ErrorCode
) -> ConsumerGroupHeartbeatResponse:
    return ConsumerGroupHeartbeatResponse(error_code=code)
