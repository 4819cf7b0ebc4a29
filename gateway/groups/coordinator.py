"""The group coordinator: which groups there are, their committed offsets, their journal.

One coordinator serves the groups whose records lie on one log. It is not safe for threads: all
calls come from the event loop. Start-up: `replay` every record of the log, then `start`; at the end
`close`.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.groups import records
from gateway.groups.admission import refusal_of_request
from gateway.groups.budget import StateBudget
from gateway.groups.classic import ClassicGroup
from gateway.groups.committed import CommittedOffset, TopicPartition
from gateway.groups.config import GroupConfig
from gateway.groups.deletions import Deletions
from gateway.groups.described import (
    OFFSETS_ONLY,
    DescribedGroup,
    ListedGroup,
    described,
    listed,
)
from gateway.groups.expiry import Expiry
from gateway.groups.host import JournaledGroup
from gateway.groups.journal import GroupJournal, JournalWriter
from gateway.groups.members import (
    Identity,
    JoinRequest,
    JoinResult,
    SyncRequest,
    SyncResult,
)
from gateway.groups.offsets import GroupOffsets, OffsetToCommit
from gateway.groups.pending_ids import PendingIds
from gateway.groups.sessions import answered
from gateway.observe.logger import log_event
from protocol import DecodeError, ErrorCode
from wal_core import Clock, Rng

logger = logging.getLogger(__name__)

GROUP_BYTES = 2_500
"""What a group takes beside its members, here and in the journal's newest values: 3.5 KB with one
ordinary member."""


class GroupCoordinator:
    def __init__(
        self,
        journal: GroupJournal,
        config: GroupConfig,
        *,
        clock: Clock,
        rng: Rng,
        budget: StateBudget | None = None,
        offsets_budget: StateBudget | None = None,
    ) -> None:
        """The budgets may be shared with coordinators of other logs."""
        self.config = config
        self.budget = budget or StateBudget(config.state_bytes_max)
        self.pending_ids = PendingIds()
        self._clock = clock
        self._rng = rng
        self._groups: dict[str, ClassicGroup] = {}
        self._writer = JournalWriter(
            journal,
            timeout_ms=config.journal_timeout_ms,
            pending_writes_max_count=config.pending_writes_max_count,
            pending_bytes_max=config.pending_bytes_max,
        )
        self._offsets = GroupOffsets(config, self._writer, clock, offsets_budget)
        self._forgetting: set[asyncio.Task[None]] = set()
        self._deletions = Deletions(self._groups, self._offsets, self._forget)
        self._expiry = Expiry(config, self._groups, self._offsets, self._let_go)
        self._closed = self._is_loading = False

    @property
    def is_closed(self) -> bool:
        """Whether everybody who comes is refused: for good, or until the log has been read."""
        return self._absence is not ErrorCode.NONE

    @property
    def is_loading(self) -> bool:
        return self._absence is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS

    @property
    def _absence(self) -> ErrorCode:
        """What everybody is told while it is not at work."""
        if self._closed:
            return ErrorCode.NOT_COORDINATOR
        return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if self._is_loading else ErrorCode.NONE

    # ---- membership

    async def join(self, group_id: str, request: JoinRequest) -> JoinResult:
        """JoinGroup; waits until the group's next generation begins."""
        await self._deletions.ended(group_id)
        error = self._refusal_of_join(group_id, request)
        if error is not ErrorCode.NONE:
            return JoinResult(error, request.member_id)
        # A new one is kept only if it gets a member: an id handed out, a refusal need no group.
        group = self._groups.get(group_id) or ClassicGroup(group_id, self, request.client_host)
        answer = group.join(request)
        if not group.is_unused and group_id not in self._groups:
            self._add(group)
        return await answer

    async def sync(self, group_id: str, request: SyncRequest) -> SyncResult:
        """SyncGroup; waits until the leader's assignment is durable. While the log is being read
        the round is lost: as with Kafka the member joins again, for many clients take the code that
        says so for the end."""
        if self.is_loading:
            return SyncResult(ErrorCode.REBALANCE_IN_PROGRESS)
        group, error = self._find(group_id)
        return SyncResult(error) if group is None else await group.sync(request)

    def heartbeat(self, group_id: str, member: Identity, generation: int) -> ErrorCode:
        """Heartbeat. While the log is being read nobody is known, and all are believed, as with
        Kafka: clients do not expect to hear of that."""
        if self.is_loading:
            return ErrorCode.NONE
        group, error = self._find(group_id)
        return error if group is None else group.heartbeat(member, generation)

    def leave(
        self, group_id: str, members: Sequence[Identity]
    ) -> tuple[ErrorCode, list[ErrorCode]]:
        """The group's error, and when there is none one code per member."""
        group, error = self._find(group_id)
        if group is not None:
            return ErrorCode.NONE, [group.leave(member) for member in members]
        if error is not ErrorCode.UNKNOWN_MEMBER_ID:
            return error, []
        taken = [self.pending_ids.take(group_id, member.member_id) for member in members]
        return ErrorCode.NONE, [ErrorCode.NONE if counted else error for counted in taken]

    # ---- offsets

    async def commit(
        self,
        group_id: str,
        member: Identity,
        generation: int,
        offsets: Sequence[OffsetToCommit],
        client_host: str = "",
        *,
        no_group: ErrorCode = ErrorCode.ILLEGAL_GENERATION,
    ) -> list[ErrorCode]:
        """OffsetCommit; NONE for an offset means it is durable and visible to `fetch`. A member of
        a group that is not there is told `no_group`.
        """

        def refusal() -> ErrorCode:
            return self._refusal_of_commit(group_id, member, generation, no_group)

        await self._deletions.ended(group_id)
        return await self._offsets.commit(group_id, client_host, offsets, refusal)

    def fetch(
        self, group_id: str, partitions: Iterable[TopicPartition] | None
    ) -> tuple[ErrorCode, dict[TopicPartition, CommittedOffset | None]]:
        """OffsetFetch; `partitions` None means all. None in the answer: nothing was committed."""
        if self.is_closed:
            return self._absence, {}
        if partitions is None:
            partitions = self._offsets.partitions(group_id)
        return ErrorCode.NONE, {
            where: self._offsets.fetch(group_id, *where) for where in partitions
        }

    def committed_partitions(self, group_id: str) -> list[TopicPartition]:
        """Those that a group has offsets for."""
        return self._offsets.partitions(group_id)

    def committed_count(self, group_id: str) -> int:
        """How many offsets a group has."""
        return self._offsets.count_of(group_id)

    # ---- what administrators ask

    def group_ids(self) -> list[str]:
        """Of all groups: those with members or a remembered generation, those with offsets."""
        return list(dict.fromkeys((*self._groups, *self._offsets.group_ids())))

    @property
    def groups_count(self) -> int:
        """How many there are at most: a group may have members and offsets."""
        return len(self._groups) + self._offsets.groups_count

    def listed(self, group_id: str) -> ListedGroup | None:
        """None: there is no such group."""
        group = self._groups.get(group_id)
        is_there = group is not None or group_id in self._offsets
        return listed(group_id, group) if is_there else None

    def members_count(self, group_id: str) -> int:
        group = self._groups.get(group_id)
        return 0 if group is None else len(group.members)

    def described(self, group_id: str) -> tuple[ErrorCode, DescribedGroup | None]:
        """DescribeGroups; None: there is no such group."""
        if self.is_closed:
            return self._absence, None
        group = self._groups.get(group_id)
        if group is not None:
            return ErrorCode.NONE, described(group)
        return ErrorCode.NONE, OFFSETS_ONLY if group_id in self._offsets else None

    async def delete_group(self, group_id: str) -> ErrorCode:
        """DeleteGroups; NONE means that it is gone for good, with its offsets."""
        if self.is_closed:
            return self._absence
        return await self._deletions.delete_group(group_id)

    async def delete_offsets(
        self, group_id: str, partitions: Sequence[TopicPartition]
    ) -> tuple[ErrorCode, list[ErrorCode]]:
        """OffsetDelete; see `Deletions`."""
        error = self._refusal_of_group(group_id)
        if error is not ErrorCode.NONE:
            return error, []
        return await self._deletions.delete_offsets(group_id, partitions)

    # ---- topics

    def topics(self) -> list[str]:
        """The topics with committed offsets."""
        return self._offsets.topics()

    def topics_deleted(self, topics: Iterable[str]) -> asyncio.Future[None]:
        """See `GroupOffsets`; it goes on whether or not somebody waits for it."""
        task = asyncio.ensure_future(self._offsets.topics_deleted(topics))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)
        return task

    def topic_gone(self, topic: str, topic_id: bytes) -> None:
        """See `GroupOffsets`."""
        if not self.is_closed:
            self._offsets.topic_gone(topic, topic_id)

    # ---- the log's side

    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None:
        """Take a record from the log or from a checkpoint; a later one of a key replaces it.

        A record of an unknown kind is kept as it is; a broken one is reported and skipped, because
        one group's record must not keep every other group from starting.
        """
        try:
            found = records.decode_key(key)
            match found:
                case records.OffsetKey():
                    self._offsets.replay(found, value, timestamp_ms)
                case records.GroupKey(group_id):
                    self._replay_group(group_id, value)
        except DecodeError as error:
            log_event(logger, logging.ERROR, "group record unreadable, skipped", reason=error)
            return
        self._writer.restore(key, value)

    def _replay_group(self, group_id: str, value: bytes | None) -> None:
        stored = None if value is None else records.decode_group_value(value)
        known = self._groups.get(group_id)
        if known is not None:
            self._drop(known, ErrorCode.NOT_COORDINATOR)
        if stored is not None:
            restored = ClassicGroup(group_id, self)
            restored.restore(
                protocol_type=stored.protocol_type,
                protocol_name=stored.protocol,
                generation=stored.generation,
                leader_id=stored.leader,
                members=records.restored_members(stored),
                state_since_ms=stored.current_state_timestamp,
            )
            self._add(restored)

    def snapshot(self) -> list[tuple[bytes, bytes]]:
        """The newest value of every key the log has, writes under way included; for `replay`."""
        return self._writer.snapshot()

    def watch(self, note: Callable[[bytes, int], None]) -> None:
        """See JournalWriter.watch."""
        self._writer.watch(note)

    def values(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """See JournalWriter.values."""
        return self._writer.values(keys)

    def start(self) -> None:
        """All is restored: be at work, and begin to watch the members of restored groups; needs the
        running loop."""
        self._is_loading = False
        for group in self._groups.values():
            group.start()
        self._expiry.start()

    def load(self) -> None:
        """Until `start` everybody who comes is told COORDINATOR_LOAD_IN_PROGRESS: half of what is
        stored is not what is true."""
        self._is_loading = True

    def refuse(self) -> None:
        """From now on everybody who comes is told NOT_COORDINATOR."""
        self._closed = True

    async def close(self) -> None:
        """Answer all who wait with NOT_COORDINATOR, then wait for the writes under way."""
        self.refuse()
        self._expiry.stop()
        for group in list(self._groups.values()):
            self._drop(group, ErrorCode.NOT_COORDINATOR)
        await self._writer.close()
        # What is left of a deletion, the next start finds.
        for task in self._forgetting:
            task.cancel()
        await asyncio.gather(*self._forgetting, return_exceptions=True)

    def forget(self) -> None:
        """Closed, and another has the log: what is remembered of it takes room from other logs."""
        assert self._closed
        self._offsets.clear()
        self._writer.forget()

    # ---- what groups ask of their host

    def new_member_id(self, prefix: str) -> str:
        return f"{prefix}-{uuid.UUID(bytes=self._rng.random_bytes(16), version=4)}"

    def store(
        self, group: JournaledGroup, assignments: Mapping[str, bytes]
    ) -> asyncio.Future[ErrorCode]:
        now_ms = self._clock.now_ms()
        key = records.encode_group_key(group.group_id)
        value = records.encode_group_value(group, assignments, now_ms)
        if len(value) > self.config.group_record_bytes_max:
            log_event(
                logger,
                logging.WARNING,
                "group too large for a record",
                group=group.group_id,
                record_bytes=len(value),
            )
            return answered(ErrorCode.UNKNOWN_SERVER_ERROR)  # Kafka's code for this
        group.was_journaled(now_ms)
        return self._writer.write(group.group_id, [(key, value)])

    def _add(self, group: ClassicGroup) -> None:
        self._groups[group.group_id] = group
        self.budget.take(group.owner, GROUP_BYTES + len(group.group_id))

    def _drop(self, group: ClassicGroup, error: ErrorCode) -> None:
        del self._groups[group.group_id]
        self.budget.take(group.owner, -GROUP_BYTES - len(group.group_id))
        group.die(error)

    # ---- refusals

    def _refusal_of_group(self, group_id: str) -> ErrorCode:
        if self.is_closed:
            return self._absence
        if group_id == "" or len(group_id.encode()) > self.config.group_id_bytes_max:
            return ErrorCode.INVALID_GROUP_ID
        return ErrorCode.NONE

    def _refusal_of_join(self, group_id: str, request: JoinRequest) -> ErrorCode:
        error = self._refusal_of_group(group_id)
        if error is not ErrorCode.NONE:
            return error
        error = refusal_of_request(request, self.config)
        if error is not ErrorCode.NONE or group_id in self._groups:
            return error
        if request.member_id != "" and not self.pending_ids.has(group_id, request.member_id):
            return ErrorCode.UNKNOWN_MEMBER_ID
        if len(self._groups) >= self.config.groups_max_count:
            log_event(logger, logging.WARNING, "group refused, too many", group=group_id)
            return ErrorCode.GROUP_MAX_SIZE_REACHED
        if not self.budget.allows(request.client_host, GROUP_BYTES):
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        return ErrorCode.NONE

    def _find(self, group_id: str) -> tuple[ClassicGroup | None, ErrorCode]:
        error = self._refusal_of_group(group_id)
        if error is not ErrorCode.NONE:
            return None, error
        group = self._groups.get(group_id)
        return group, ErrorCode.UNKNOWN_MEMBER_ID if group is None else ErrorCode.NONE

    def _refusal_of_commit(
        self, group_id: str, member: Identity, generation: int, no_group: ErrorCode
    ) -> ErrorCode:
        if self.is_closed:
            return self._absence
        # The empty group id may commit: old simple consumers have no other.
        if len(group_id.encode()) > self.config.group_id_bytes_max:
            return ErrorCode.INVALID_GROUP_ID
        if group_id in self._deletions:
            return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        group = self._groups.get(group_id)
        if group is not None:
            return group.check_commit(member, generation)
        # A group without members stores offsets only; a generation then speaks of a forgotten one.
        return ErrorCode.NONE if generation < 0 else no_group

    # ---- the end of groups

    def _let_go(self, group: ClassicGroup) -> None:
        """Of a group that nobody uses any more; an id that was handed out may yet be used."""
        if self.pending_ids.has_any(group.group_id):
            return
        # Forgotten at once: should the tombstone be lost, a restart brings an empty group back.
        self._writer.write(group.group_id, [(records.encode_group_key(group.group_id), None)])
        self._forget(group)

    def _forget(self, group: ClassicGroup) -> None:
        self._drop(group, ErrorCode.COORDINATOR_NOT_AVAILABLE)


def java_hash(text: str) -> int:
    """Java's String.hashCode as an unsigned 32-bit number: over UTF-16 code units."""
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for at in range(0, len(units), 2):
        value = (value * 31 + (units[at] << 8) + units[at + 1]) & 0xFFFFFFFF
    return value
