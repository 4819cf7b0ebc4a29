"""Groups as administrators see them: ListGroups, DescribeGroups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.groups.classic import ClassicGroup
from gateway.groups.members import Member
from gateway.groups.states import State

GROUP_TYPE = "classic"
"""Of every group, as Kafka calls it (KIP-848): there are no others yet."""


class ListedGroup(NamedTuple):
    group_id: str
    protocol_type: str
    state: State


class DescribedMember(NamedTuple):
    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    metadata: bytes
    assignment: bytes


class DescribedGroup(NamedTuple):
    state: State
    protocol_type: str
    protocol_name: str
    members: Sequence[DescribedMember]


OFFSETS_ONLY = DescribedGroup(State.EMPTY, "", "", ())
"""Of a group that nobody was ever a member of: somebody committed for it."""


def listed(group_id: str, group: ClassicGroup | None) -> ListedGroup:
    """`group` is None for one that has offsets only."""
    if group is None:
        return ListedGroup(group_id, OFFSETS_ONLY.protocol_type, OFFSETS_ONLY.state)
    return ListedGroup(group_id, group.protocol_type or "", group.state)


def described(group: ClassicGroup) -> DescribedGroup:
    """Protocol, metadata and assignments are told of a stable group only, as in Kafka: in any other
    state they are those of a generation that is over, or not yet there.
    """
    is_stable = group.state is State.STABLE
    protocol_name = group.protocol_name if is_stable else None
    return DescribedGroup(
        state=group.state,
        protocol_type=group.protocol_type or "",
        protocol_name=protocol_name or "",
        members=[_described_member(member, protocol_name, is_stable) for member in group.members],
    )


def _described_member(
    member: Member, protocol_name: str | None, is_stable: bool
) -> DescribedMember:
    return DescribedMember(
        member_id=member.member_id,
        group_instance_id=member.group_instance_id,
        client_id=member.client_id,
        client_host=member.client_host,
        metadata=member.metadata_for(protocol_name) if is_stable else b"",
        assignment=member.assignment if is_stable else b"",
    )
