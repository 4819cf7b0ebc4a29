"""The members of one classic group, and what is said between a group and its callers.

A member is *parked* while its JoinGroup or SyncGroup waits for others. The parked future belongs to
the member; whoever awaits it may be cancelled at any moment (its connection went away), so a parked
future that is done counts as not there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from gateway.groups.budget import StateBudget
from gateway.groups.timers import RenewableTimer
from protocol import ErrorCode

MEMBER_BYTES = 1_500
"""What a member holds beside what its client sent: the object, a timer, a parked request."""
PROTOCOL_BYTES = 150
"""The same for one of its protocols, and for the name in the table of who supports what."""
PROTOCOLS_MAX_COUNT = 100
"""Of one member. A consumer has one for each assignor it may use: two or three."""

CLIENT_ID_CHARS_MAX = 255
"""So much of a client id, of up to 32 KB, is kept with the member and in its own id."""

Protocols: TypeAlias = tuple[tuple[str, bytes], ...]
"""(protocol name, metadata) in the member's order of preference; metadata is opaque to a broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """One JoinGroup, free of versions: a handler has already said what its version means."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    # KIP-394: a new dynamic member first gets an id and joins with it (JoinGroup v4+).
    require_known_member_id: bool
    # KIP-814: a returning static leader may be told to keep the assignment (JoinGroup v9+).
    supports_skip_assignment: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    member: Identity
    generation: int
    # None: the client did not say.
    protocol_type: str | None
    protocol_name: str | None
    # Member id -> opaque assignment; only the leader gives any.
    assignments: Mapping[str, bytes]


class JoinedMember(NamedTuple):
    member_id: str
    group_instance_id: str | None
    metadata: bytes


class JoinResult(NamedTuple):
    error: ErrorCode
    member_id: str = ""
    generation: int = -1
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader_id: str = ""
    members: Sequence[JoinedMember] = ()
    skip_assignment: bool = False


class SyncResult(NamedTuple):
    error: ErrorCode
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignment: bytes = b""


class Identity(NamedTuple):
    """Who a request claims to speak for."""

    member_id: str
    group_instance_id: str | None = None


def protocols_bytes(protocols: Protocols) -> int:
    return sum(len(name) + len(metadata) + PROTOCOL_BYTES for name, metadata in protocols)


@dataclass(slots=True, eq=False, kw_only=True)
class Member:
    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: Protocols
    assignment: bytes = b""
    # The client has this id in hand, so it can come back with it after a broken connection.
    id_known: bool = True
    # Its first JoinGroup has not been answered yet, so it cannot heartbeat.
    is_new: bool = False
    joining: asyncio.Future[JoinResult] | None = None
    syncing: asyncio.Future[SyncResult] | None = None
    timer: RenewableTimer | None = field(default=None, repr=False)

    @property
    def awaits_join(self) -> bool:
        return self.joining is not None and not self.joining.done()

    @property
    def awaits_sync(self) -> bool:
        return self.syncing is not None and not self.syncing.done()

    @property
    def is_static(self) -> bool:
        return self.group_instance_id is not None

    @property
    def held_bytes(self) -> int:
        named = (self.member_id, self.group_instance_id or "", self.client_id, self.client_host)
        return (
            MEMBER_BYTES
            + sum(map(len, named))
            + protocols_bytes(self.protocols)
            + len(self.assignment)
        )

    def metadata_for(self, protocol_name: str | None) -> bytes:
        return next((metadata for name, metadata in self.protocols if name == protocol_name), b"")


class Membership:
    """Who is in the group: by id, by instance id, and which of them leads.

    Invariants: `leader_id` is None or a member; every static member is in `static_ids` and the
    other way round; a protocol is known to all; `_supporters` counts who knows which, and
    `_parked_count` whose JoinGroup is parked, done or not.
    """

    def __init__(self, budget: StateBudget) -> None:
        self._budget = budget
        self._members: dict[str, Member] = {}
        self._supporters: Counter[str] = Counter()
        self._parked_count = 0
        self.protocols_bytes = 0
        self.static_ids: dict[str, str] = {}
        self.leader_id: str | None = None

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def __contains__(self, member_id: str) -> bool:
        return member_id in self._members

    def get(self, member_id: str) -> Member | None:
        return self._members.get(member_id)

    def check(self, member_id: str, group_instance_id: str | None) -> ErrorCode:
        """Whether a request may speak for this member. Source: KIP-345 on fencing."""
        if group_instance_id is not None:
            current_id = self.static_ids.get(group_instance_id)
            if current_id is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if current_id != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self._members else ErrorCode.UNKNOWN_MEMBER_ID

    def add(self, member: Member) -> None:
        assert member.member_id not in self._members
        self._members[member.member_id] = member
        if member.group_instance_id is not None:
            self.static_ids[member.group_instance_id] = member.member_id
        if self.leader_id is None:
            self.leader_id = member.member_id
        self._budget.take(member.client_host, member.held_bytes)
        self._support(member.protocols, 1)

    def remove(self, member: Member) -> None:
        assert member.joining is None, "its session has ended"
        del self._members[member.member_id]
        if member.group_instance_id is not None:
            self.static_ids.pop(member.group_instance_id, None)
        if self.leader_id == member.member_id:
            self.leader_id = next(iter(self._members), None)
        self._budget.take(member.client_host, -member.held_bytes)
        self._support(member.protocols, -1)

    def _support(self, protocols: Protocols, sign: int) -> None:
        self.protocols_bytes += sign * protocols_bytes(protocols)
        for name in {name for name, _ in protocols}:
            self._supporters[name] += sign
            if not self._supporters[name]:
                del self._supporters[name]

    def park(self, member: Member, joining: asyncio.Future[JoinResult]) -> None:
        """The member waits for the next generation; it waits for nothing else."""
        assert member.joining is None
        member.joining = joining
        self._parked_count += 1

    def unpark(self, member: Member) -> asyncio.Future[JoinResult] | None:
        """What it waited for, if it did."""
        joining, member.joining = member.joining, None
        if joining is not None:
            self._parked_count -= 1
        return joining

    def rename(self, member: Member, member_id: str) -> None:
        """Give a static member the id of its new incarnation; place, assignment, lead stay."""
        assert member.group_instance_id is not None
        self._members = {
            (member_id if known_id == member.member_id else known_id): known
            for known_id, known in self._members.items()
        }
        if self.leader_id == member.member_id:
            self.leader_id = member_id
        self._budget.take(member.client_host, len(member_id) - len(member.member_id))
        member.member_id = member_id
        self.static_ids[member.group_instance_id] = member_id

    def named_by(self, request: JoinRequest) -> Member | None:
        """The member that a JoinGroup means: by its id, or by its instance id alone."""
        member_id = request.member_id
        if member_id == "" and request.group_instance_id is not None:
            member_id = self.static_ids.get(request.group_instance_id, "")
        return self._members.get(member_id)

    def update(self, member: Member, request: JoinRequest) -> None:
        self._budget.take(member.client_host, -member.held_bytes)
        self._support(member.protocols, -1)
        member.protocols = request.protocols
        member.session_timeout_ms = request.session_timeout_ms
        member.rebalance_timeout_ms = request.rebalance_timeout_ms
        member.client_id = request.client_id[:CLIENT_ID_CHARS_MAX]
        member.client_host = request.client_host
        self._support(member.protocols, 1)
        self._budget.take(member.client_host, member.held_bytes)

    def described(self, protocol_name: str | None) -> list[JoinedMember]:
        """What the leader needs in order to assign."""
        return [
            JoinedMember(m.member_id, m.group_instance_id, m.metadata_for(protocol_name))
            for m in self._members.values()
        ]

    def set_assignment(self, member: Member, assignment: bytes) -> None:
        self._budget.take(member.client_host, len(assignment) - len(member.assignment))
        member.assignment = assignment

    def rebalance_timeout_ms(self) -> int:
        return max((member.rebalance_timeout_ms for member in self._members.values()), default=0)

    def all_joined(self) -> bool:
        # Asked at every join: looking at each member waits until all have parked one.
        return self._parked_count == len(self._members) and all(
            member.awaits_join for member in self._members.values()
        )

    def elect_joined_leader(self) -> bool:
        """Make sure that the leader is one who has rejoined; False when nobody has."""
        if self.leader_id is not None and self._members[self.leader_id].awaits_join:
            return True
        joined = next((m for m in self._members.values() if m.awaits_join), None)
        if joined is None:
            return False
        self.leader_id = joined.member_id
        return True

    def supports_any(self, protocols: Protocols, *, besides: Member | None) -> bool:
        """Whether one of `protocols` is known to every member other than `besides`."""
        own = set() if besides is None else {name for name, _ in besides.protocols}
        others_count = len(self._members) - (besides is not None)
        return any(self._supporters[name] - (name in own) == others_count for name, _ in protocols)

    def select_protocol(self) -> str:
        """The protocol known to all with the most votes; each member votes for its first choice.

        A tie goes to the protocol that the earliest member ranks highest, so that the outcome
        depends on the members alone.
        """
        members = list(self._members.values())
        common = {
            name for name, _ in members[0].protocols if self._supporters[name] == len(members)
        }
        assert common, "members without a common protocol are refused when they join"
        votes = {name: 0 for name, _ in members[0].protocols if name in common}
        for member in members:
            votes[next(name for name, _ in member.protocols if name in common)] += 1
        return max(votes, key=votes.__getitem__)
