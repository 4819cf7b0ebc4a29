"""Whether somebody may join a group, and Kafka's code for it if not.

What is wrong with the request itself, or with the group's own room, is told for good; what others
use up is retriable (COORDINATOR_NOT_AVAILABLE), for it comes back.
"""

from __future__ import annotations

from gateway.groups.budget import StateBudget
from gateway.groups.config import GroupConfig
from gateway.groups.members import (
    MEMBER_BYTES,
    PROTOCOLS_MAX_COUNT,
    JoinRequest,
    Member,
    Membership,
    protocols_bytes,
)
from protocol import ErrorCode

NAME_BYTES_MAX = 1_024
"""Instance ids, protocol types and names; clients allow 249 characters of an instance id."""


def refusal_of_request(request: JoinRequest, config: GroupConfig) -> ErrorCode:
    """What no group would take."""
    timeout_ms = request.session_timeout_ms
    if not config.session_timeout_min_ms <= timeout_ms <= config.session_timeout_max_ms:
        return ErrorCode.INVALID_SESSION_TIMEOUT
    if len(request.protocols) > PROTOCOLS_MAX_COUNT:
        return ErrorCode.INVALID_REQUEST
    names = [request.group_instance_id or "", request.protocol_type]
    names += [name for name, _ in request.protocols]
    if any(len(name.encode()) > NAME_BYTES_MAX for name in names):
        return ErrorCode.INVALID_REQUEST
    if not request.protocol_type or not request.protocols:
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    return ErrorCode.NONE


def refusal_by_group(
    request: JoinRequest,
    members: Membership,
    protocol_type: str | None,
    config: GroupConfig,
    budget: StateBudget,
) -> ErrorCode:
    """What this group, with these members, does not take."""
    known = members.named_by(request)
    if known is None and len(members) >= config.members_max_count:
        return ErrorCode.GROUP_MAX_SIZE_REACHED
    if not _suits(request, known, members, protocol_type):
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    new_bytes = protocols_bytes(request.protocols)
    if new_bytes > config.member_metadata_bytes_max:
        return ErrorCode.MESSAGE_TOO_LARGE
    more_bytes = new_bytes - (0 if known is None else protocols_bytes(known.protocols))
    if members.protocols_bytes + more_bytes > config.group_record_bytes_max:
        return ErrorCode.GROUP_MAX_SIZE_REACHED
    if known is None:
        more_bytes += MEMBER_BYTES
    is_affordable = budget.allows(request.client_host, more_bytes)
    return ErrorCode.NONE if is_affordable else ErrorCode.COORDINATOR_NOT_AVAILABLE


def _suits(
    request: JoinRequest, known: Member | None, members: Membership, protocol_type: str | None
) -> bool:
    """Whether the group would still share a protocol with this member in it."""
    return not len(members) or (
        request.protocol_type == protocol_type
        and members.supports_any(request.protocols, besides=known)
    )
