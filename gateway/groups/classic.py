"""The state machine of one classic group.

::

    EMPTY ----join----> PREPARING_REBALANCE ---all joined, or time is up---> COMPLETING_REBALANCE
      ^                   ^     |     ^                                          |
      |                   |     |     +-----join, leave, expiry, failed sync-----+
      +---nobody is left--|-----+                                                |
                          +-----join, leave, expiry--- STABLE <---leader's sync--+

Rules: the generation only grows; a parked request is answered by an event or by a timer, never
forgotten; member expiry is the loop's business (`RenewableTimer`), how long a rebalance waits that
of its phases, durability the host's (`store`).
Semantics follow the classic protocol of Apache Kafka (KIP-62, 134, 345, 394, 800, 814), with these
departures: member ids handed out but not used do not hold a rebalance up; a parked JoinGroup whose
connection went away no longer counts as joined; a second JoinGroup or SyncGroup of one member
answers the first instead of dropping it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from gateway.groups.admission import refusal_by_group
from gateway.groups.host import GroupHost
from gateway.groups.members import (
    CLIENT_ID_CHARS_MAX,
    Identity,
    JoinRequest,
    JoinResult,
    Member,
    Membership,
    SyncRequest,
    SyncResult,
)
from gateway.groups.phases import JoinPhase, SyncPhase
from gateway.groups.sessions import Sessions, answered
from gateway.groups.states import (
    COMMIT_CODES,
    HEARTBEAT_CODES,
    PREVIOUS_STATES,
    SYNC_CODES,
    State,
)
from gateway.observe.logger import log_event
from protocol import ErrorCode

logger = logging.getLogger(__name__)
_EMPTY, _PREPARING, _COMPLETING, _STABLE, _DEAD = State


class ClassicGroup:
    def __init__(self, group_id: str, host: GroupHost, owner: str = "") -> None:
        self.group_id = group_id
        self.owner = owner  # the address that answers for its memory
        self.state = _EMPTY
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.members = Membership(host.budget)
        self._sessions = Sessions(self.members, self._lose)
        self.journaled = False
        # When the group was last journaled, by the wall clock; for the retention of its offsets.
        self.state_since_ms = -1
        self._host = host
        self._config = host.config
        self._joins = JoinPhase(host.config.initial_rebalance_delay_ms, self._complete_join)
        self._syncs = SyncPhase(self._sync_time_is_up)
        self._storing_generation = -1

    # ---- after a restart

    def restore(
        self,
        *,
        protocol_type: str,
        protocol_name: str | None,
        generation: int,
        leader_id: str | None,
        members: Iterable[Member],
        state_since_ms: int,
    ) -> None:
        """Become the group that was journaled: STABLE with its members, or EMPTY."""
        self.protocol_type = protocol_type
        self.protocol_name = protocol_name
        self.generation = generation
        self.state_since_ms = state_since_ms
        self.journaled = True
        for member in members:
            self.members.add(member)
        if leader_id is not None and leader_id in self.members:
            self.members.leader_id = leader_id
        if len(self.members):
            self.state = _STABLE

    def was_journaled(self, now_ms: int) -> None:
        """See JournaledGroup."""
        self.state_since_ms = now_ms
        self.journaled = True

    def start(self) -> None:
        """Begin to watch restored members; each has one session timeout to be heard of."""
        for member in self.members:
            self._sessions.begin(member, member.session_timeout_ms)

    # ---- JoinGroup

    def join(self, request: JoinRequest) -> asyncio.Future[JoinResult]:
        """Join or rejoin; the answer may have to wait for the other members."""
        refusal = ErrorCode.COORDINATOR_NOT_AVAILABLE
        if self.state is not _DEAD:
            refusal = refusal_by_group(
                request, self.members, self.protocol_type, self._config, self._host.budget
            )
        if refusal is not ErrorCode.NONE:
            return answered(JoinResult(refusal, request.member_id))
        if request.member_id == "":
            return self._join_as_new(request)
        if request.group_instance_id is None and self._host.pending_ids.take(
            self.group_id, request.member_id
        ):
            return self._add_member(request, request.member_id, id_known=True)
        return self._rejoin(request)

    def _join_as_new(self, request: JoinRequest) -> asyncio.Future[JoinResult]:
        instance_id = request.group_instance_id
        prefix = (request.client_id if instance_id is None else instance_id)[:CLIENT_ID_CHARS_MAX]
        member_id = self._host.new_member_id(prefix)
        if instance_id is not None:
            if instance_id in self.members.static_ids:
                return self._replace_static(request, member_id)
        elif request.require_known_member_id:
            self._host.pending_ids.hand_out(
                self.group_id, member_id, request.client_host, request.session_timeout_ms
            )
            return answered(JoinResult(ErrorCode.MEMBER_ID_REQUIRED, member_id))
        return self._add_member(request, member_id, id_known=instance_id is not None)

    @property
    def is_unused(self) -> bool:
        """Nobody is in it, nothing of it is stored: it need not be there."""
        return self.state is _EMPTY and not self.journaled

    def _add_member(
        self, request: JoinRequest, member_id: str, *, id_known: bool
    ) -> asyncio.Future[JoinResult]:
        member = Member(
            member_id=member_id,
            group_instance_id=request.group_instance_id,
            client_id=request.client_id[:CLIENT_ID_CHARS_MAX],
            client_host=request.client_host,
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            protocols=request.protocols,
            id_known=id_known,
            is_new=True,
        )
        if not len(self.members):
            self.protocol_type = request.protocol_type
        self._joins.somebody_comes()
        self.members.add(member)
        self._sessions.begin(member, self._config.new_member_join_timeout_ms)
        answer = self._sessions.park_join(member)
        self._rebalance()
        return answer

    def _rejoin(self, request: JoinRequest) -> asyncio.Future[JoinResult]:
        error = self.members.check(request.member_id, request.group_instance_id)
        member = self.members.get(request.member_id)
        if error is not ErrorCode.NONE or member is None:
            return answered(JoinResult(error, request.member_id))
        unchanged = member.protocols == request.protocols
        leads = member.member_id == self.members.leader_id
        # Unchanged while COMPLETING: it never saw our answer. Unchanged while STABLE: likewise, but
        # a leader rejoins to make the group compute its assignment again.
        if unchanged and (self.state is _COMPLETING or (self.state is _STABLE and not leads)):
            self._sessions.renew(member)
            return answered(self._generation_for(member))
        self.members.update(member, request)
        answer = self._sessions.park_join(member)
        self._rebalance()
        return answer

    def _replace_static(self, request: JoinRequest, member_id: str) -> asyncio.Future[JoinResult]:
        """A known static member came back without its id: it takes its own place over."""
        instance_id = request.group_instance_id
        assert instance_id is not None
        member = self.members.get(self.members.static_ids[instance_id])
        assert member is not None
        previous_leader_id = self.members.leader_id or ""
        previous_id = member.member_id
        self._sessions.answer_join(member, JoinResult(ErrorCode.FENCED_INSTANCE_ID, previous_id))
        self._sessions.answer_sync(member, SyncResult(ErrorCode.FENCED_INSTANCE_ID))
        self._syncs.came(previous_id)
        self.members.rename(member, member_id)
        self.members.update(member, request)
        member.is_new = False
        self._sessions.renew(member)
        answer = self._sessions.park_join(member)
        if self.state is not _STABLE or self.members.select_protocol() != self.protocol_name:
            self._rebalance()
            return answer
        # The generation goes on; only the id is new, and it must survive a restart (KIP-345).
        leads = member.member_id == self.members.leader_id
        skips = leads and request.supports_skip_assignment
        result = self._generation_for(member)
        if leads and not skips:
            # An old client that saw itself as leader would assign anew, unseen by the others.
            result = result._replace(leader_id=previous_leader_id, members=())
        stored = self._host.store(self, {m.member_id: m.assignment for m in self.members})
        stored.add_done_callback(
            lambda done: self._static_stored(
                member, answer, result._replace(skip_assignment=skips), done.result()
            )
        )
        return answer

    def _static_stored(
        self,
        member: Member,
        answer: asyncio.Future[JoinResult],
        result: JoinResult,
        error: ErrorCode,
    ) -> None:
        # If a rebalance began meanwhile, the parked join is part of it and will be answered by it.
        same_generation = self.state is _STABLE and self.generation == result.generation
        if same_generation and member.joining is answer:
            failed = error is not ErrorCode.NONE
            self._sessions.answer_join(member, JoinResult(error) if failed else result)

    def _generation_for(self, member: Member) -> JoinResult:
        leads = member.member_id == self.members.leader_id
        return JoinResult(
            ErrorCode.NONE,
            member_id=member.member_id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            leader_id=self.members.leader_id or "",
            members=self.members.described(self.protocol_name) if leads else (),
        )

    # ---- rebalance: from the first reason to the new generation

    def _rebalance(self) -> None:
        """Start a rebalance, or see whether the one under way is complete."""
        if self.state is not _PREPARING:
            self._prepare_rebalance()
        self._try_complete_join()

    def _prepare_rebalance(self) -> None:
        if self.state is _COMPLETING:
            self._drop_assignment(ErrorCode.REBALANCE_IN_PROGRESS)
        self._syncs.end()
        starts_empty = self.state is _EMPTY
        self._enter(_PREPARING)
        timeout_ms = self.members.rebalance_timeout_ms()
        if starts_empty:
            self._joins.gather(timeout_ms)
        else:
            self._joins.wait(timeout_ms)

    def _try_complete_join(self) -> None:
        if not self._joins.is_gathering and self.members.all_joined():
            self._complete_join()

    def _complete_join(self) -> None:
        for member in self.members:
            # A static member may be away for as long as its session lasts.
            if not member.awaits_join and not member.is_static:
                self._discard(member)
        if len(self.members) and not self.members.elect_joined_leader():
            self._joins.wait(self.members.rebalance_timeout_ms())
            return
        self._joins.end()
        self.generation += 1
        if not len(self.members):
            self.protocol_name = None
            self._enter(_EMPTY)
            self._host.store(self, {})
            return
        self.protocol_name = self.members.select_protocol()
        self._enter(_COMPLETING)
        self._syncs.begin(
            (m.member_id for m in self.members if m.awaits_join),
            self.members.rebalance_timeout_ms(),
        )
        for member in self.members:
            if member.awaits_join:
                member.is_new = False
                member.id_known = True
                self._sessions.answer_join(member, self._generation_for(member))

    # ---- SyncGroup

    def sync(self, request: SyncRequest) -> asyncio.Future[SyncResult]:
        """Hand in (leader) or wait for (others) the assignment of this generation."""
        error = self._check(request.member, request.generation)
        # Absent before SyncGroup v5 (KIP-559).
        type_differs = request.protocol_type not in (None, self.protocol_type)
        name_differs = request.protocol_name not in (None, self.protocol_name)
        if error is ErrorCode.NONE and (type_differs or name_differs):
            error = ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        if error is ErrorCode.NONE:
            error = SYNC_CODES[self.state]
        speaker = self.members.get(request.member.member_id)
        if error is not ErrorCode.NONE or speaker is None:
            return answered(SyncResult(error))
        self._sessions.renew(speaker)
        self._syncs.came(speaker.member_id)
        if self.state is _STABLE:
            return answered(self._assignment_of(speaker))
        parked = self._sessions.park_sync(speaker)
        leads = speaker.member_id == self.members.leader_id
        if leads and self._storing_generation != self.generation:
            self._store_assignment(request.assignments)
        return parked

    def _store_assignment(self, given: Mapping[str, bytes]) -> None:
        assignments = {m.member_id: bytes(given.get(m.member_id, b"")) for m in self.members}
        size_bytes = sum(map(len, assignments.values()))
        fits = size_bytes <= self._config.assignment_bytes_max
        held_bytes = sum(len(m.assignment) for m in self.members)
        leader = self.members.get(self.members.leader_id or "")
        owner = "" if leader is None else leader.client_host
        if not fits or not self._host.budget.allows(owner, size_bytes - held_bytes):
            self._drop_assignment(ErrorCode.MESSAGE_TOO_LARGE)
            self._rebalance()
            return
        generation = self._storing_generation = self.generation
        stored = self._host.store(self, assignments)
        stored.add_done_callback(
            lambda done: self._assignment_stored(generation, assignments, done.result())
        )

    def _assignment_stored(
        self, generation: int, assignments: Mapping[str, bytes], error: ErrorCode
    ) -> None:
        if self._storing_generation == generation:
            self._storing_generation = -1
        if self.state is not _COMPLETING or self.generation != generation:
            return
        if error is not ErrorCode.NONE:
            self._drop_assignment(error)
            self._rebalance()
            return
        self._enter(_STABLE)
        log_event(
            logger,
            logging.INFO,
            "group stable",
            group=self.group_id,
            generation=generation,
            members_count=len(self.members),
        )
        for member in self.members:
            self.members.set_assignment(member, assignments.get(member.member_id, b""))
            self._sessions.answer_sync(member, self._assignment_of(member))

    def _drop_assignment(self, error: ErrorCode) -> None:
        for member in self.members:
            self.members.set_assignment(member, b"")
            self._sessions.answer_sync(member, SyncResult(error))

    def _assignment_of(self, member: Member) -> SyncResult:
        return SyncResult(ErrorCode.NONE, self.protocol_type, self.protocol_name, member.assignment)

    def _sync_time_is_up(self) -> None:
        """Members that joined the generation but never came for its assignment are gone."""
        for member in self.members:
            if self._syncs.is_missing(member.member_id):
                self._discard(member)
        self._rebalance()

    # ---- Heartbeat, commits, LeaveGroup

    def heartbeat(self, member: Identity, generation: int) -> ErrorCode:
        return self._hear(member, generation, HEARTBEAT_CODES)

    def check_commit(self, member: Identity, generation: int) -> ErrorCode:
        """Whether this caller may commit offsets now; a member's commit renews its session."""
        if self.state is _EMPTY and generation < 0:
            return ErrorCode.NONE  # a simple consumer, or an administrator's reset
        return self._hear(member, generation, COMMIT_CODES)

    def _hear(
        self, member: Identity, generation: int, codes: Mapping[State, ErrorCode]
    ) -> ErrorCode:
        error = self._check(member, generation)
        speaker = self.members.get(member.member_id)
        if error is not ErrorCode.NONE or speaker is None:
            return error
        self._sessions.renew(speaker)
        return codes[self.state]

    def _check(self, member: Identity, generation: int) -> ErrorCode:
        if self.state is _DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        error = self.members.check(member.member_id, member.group_instance_id)
        if error is ErrorCode.NONE and generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        return error

    def leave(self, leaving: Identity) -> ErrorCode:
        """Remove one member, or forget an id handed out."""
        if self._host.pending_ids.take(self.group_id, leaving.member_id):
            return ErrorCode.NONE
        member_id, instance_id = leaving
        if member_id == "" and instance_id is not None:
            # An administrator removes a static member by its instance id alone (KIP-345).
            member_id = self.members.static_ids.get(instance_id, "")
        error = self.members.check(member_id, instance_id)
        member = self.members.get(member_id)
        if error is ErrorCode.NONE and member is not None:
            self._remove(member)
        return error

    # ---- the end of members and of the group

    def _lose(self, member: Member, reason: str) -> None:
        log_event(
            logger,
            logging.INFO,
            "group member lost",
            group=self.group_id,
            member=member.member_id,
            reason=reason,
        )
        self._remove(member)

    def _remove(self, member: Member) -> None:
        self._discard(member)
        self._rebalance()

    def _discard(self, member: Member) -> None:
        self._sessions.end(member, ErrorCode.UNKNOWN_MEMBER_ID)
        self.members.remove(member)
        self._syncs.came(member.member_id)

    def die(self, error: ErrorCode) -> None:
        """Answer everyone who waits with `error`; the group is of no use afterwards."""
        self._enter(_DEAD)
        self._joins.end()
        self._syncs.end()
        for member in self.members:
            self._sessions.end(member, error)
            self.members.remove(member)

    def _enter(self, state: State) -> None:
        assert self.state in PREVIOUS_STATES[state], (self.state, state)
        self.state = state
