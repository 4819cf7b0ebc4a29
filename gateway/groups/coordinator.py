"""The group coordinator: which groups there are, their committed offsets, their journal.

One coordinator serves every group of this node. It is not safe for threads: all calls come from the
event loop. Start-up: `replay` every record of the log, then `start`; at the end `close`.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.groups import records
from gateway.groups.classic import ClassicGroup
from gateway.groups.committed import CommittedOffset, CommittedOffsets, TopicPartition
from gateway.groups.config import GroupConfig
from gateway.groups.journal import GroupJournal, JournalWriter, Record
from gateway.groups.members import (
    Identity,
    JoinRequest,
    JoinResult,
    MemoryBudget,
    SyncRequest,
    SyncResult,
)
from gateway.groups.sessions import answered
from gateway.groups.states import State
from gateway.observe.logger import log_event
from protocol.error_codes import ErrorCode
from protocol.errors import DecodeError
from wal_core import Clock, Rng

logger = logging.getLogger(__name__)

_SWEEP_STEP_GROUPS_COUNT = 500
"""Groups looked at in one go, so that the sweep never holds the loop for more than some ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetToCommit:
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str


class GroupCoordinator:
    def __init__(
        self, journal: GroupJournal, config: GroupConfig, *, clock: Clock, rng: Rng
    ) -> None:
        self.config = config
        self.budget = MemoryBudget(config.metadata_total_bytes_max)
        self._clock = clock
        self._rng = rng
        self._groups: dict[str, ClassicGroup] = {}
        self._committed = CommittedOffsets()
        self._writer = JournalWriter(
            journal,
            timeout_ms=config.journal_timeout_ms,
            pending_writes_max_count=config.pending_writes_max_count,
        )
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._sweep_queue: list[str] = []
        self._closed = False

    # ---- membership

    async def join(self, group_id: str, request: JoinRequest) -> JoinResult:
        """JoinGroup; waits until the group's next generation begins."""
        error = self._refusal_of_group(group_id)
        config = self.config
        if error is ErrorCode.NONE and not (
            config.session_timeout_min_ms
            <= request.session_timeout_ms
            <= config.session_timeout_max_ms
        ):
            error = ErrorCode.INVALID_SESSION_TIMEOUT
        if error is ErrorCode.NONE and _any_too_long(request):
            error = ErrorCode.INVALID_REQUEST
        group = self._groups.get(group_id)
        if error is ErrorCode.NONE and group is None:
            if request.member_id != "":
                error = ErrorCode.UNKNOWN_MEMBER_ID
            elif len(self._groups) >= config.groups_max_count:
                log_event(logger, logging.WARNING, "group refused, too many", group=group_id)
                error = ErrorCode.GROUP_MAX_SIZE_REACHED
        if error is not ErrorCode.NONE:
            return JoinResult(error, request.member_id)
        if group is None:
            group = self._groups[group_id] = ClassicGroup(group_id, self)
        answer = group.join(request)
        group.report_if_unused()
        return await answer

    async def sync(self, group_id: str, request: SyncRequest) -> SyncResult:
        """SyncGroup; waits until the leader's assignment is durable."""
        group, error = self._find(group_id)
        return SyncResult(error) if group is None else await group.sync(request)

    def heartbeat(self, group_id: str, member: Identity, generation: int) -> ErrorCode:
        group, error = self._find(group_id)
        return error if group is None else group.heartbeat(member, generation)

    def leave(
        self, group_id: str, members: Sequence[Identity]
    ) -> tuple[ErrorCode, list[ErrorCode]]:
        """The group's error, and when there is none one code per member."""
        group, error = self._find(group_id)
        if group is not None:
            return ErrorCode.NONE, [group.leave(member) for member in members]
        if error is ErrorCode.UNKNOWN_MEMBER_ID:
            return ErrorCode.NONE, [error] * len(members)
        return error, []

    # ---- offsets

    async def commit(
        self,
        group_id: str,
        member: Identity,
        generation: int,
        offsets: Sequence[OffsetToCommit],
    ) -> list[ErrorCode]:
        """OffsetCommit; NONE for an offset means it is durable and visible to `fetch`."""
        error = self._refusal_of_commit(group_id, member, generation)
        if error is not ErrorCode.NONE:
            return [error] * len(offsets)
        now_ms = self._clock.now_ms()
        bytes_max = self.config.offset_metadata_bytes_max
        accepted: dict[TopicPartition, CommittedOffset] = {}
        codes = []
        for asked in offsets:
            if len(asked.metadata.encode()) > bytes_max:
                codes.append(ErrorCode.OFFSET_METADATA_TOO_LARGE)
                continue
            codes.append(ErrorCode.NONE)
            # The last one wins when a request names a partition twice.
            accepted[asked.topic, asked.partition] = CommittedOffset(
                asked.offset, asked.leader_epoch, asked.metadata, now_ms
            )
        if not accepted:
            return codes
        error = self._refusal_by_limits(group_id, accepted)
        if error is ErrorCode.NONE:
            error = await self._writer.write(
                group_id,
                [
                    (records.encode_offset_key(group_id, *where), records.encode_offset_value(what))
                    for where, what in accepted.items()
                ],
                lambda: self._committed.put(group_id, accepted),
            )
        return [error if code is ErrorCode.NONE else code for code in codes]

    def fetch(
        self, group_id: str, partitions: Iterable[TopicPartition] | None
    ) -> tuple[ErrorCode, dict[TopicPartition, CommittedOffset | None]]:
        """OffsetFetch; `partitions` None means all. None in the answer: nothing was committed."""
        if self._closed:
            return ErrorCode.NOT_COORDINATOR, {}
        known = self._committed.of(group_id)
        if partitions is None:
            return ErrorCode.NONE, dict(known)
        return ErrorCode.NONE, {partition: known.get(partition) for partition in partitions}

    def topics(self) -> list[str]:
        """The topics with committed offsets."""
        return self._committed.topics()

    async def topic_deleted(self, topic: str) -> None:
        """Forget the offsets committed for `topic`, those under way included.

        They are gone for `fetch` at once, and for good when this returns, the journal permitting.
        """
        doomed: dict[str, dict[TopicPartition, None]] = {}
        for group_id, partitions in self._committed.of_topic(topic):
            doomed.setdefault(group_id, {}).update(dict.fromkeys(partitions))
            self._committed.remove(group_id, partitions)
        for encoded in self._writer.pending_keys():
            key = records.decode_key(encoded)
            if isinstance(key, records.OffsetKey) and key.topic == topic:
                doomed.setdefault(key.group_id, {})[key.topic, key.partition] = None
        outcomes = [self._remove_offsets(*item) for item in doomed.items()]
        if outcomes:
            await asyncio.wait(outcomes)

    def group_partition(self, group_id: str) -> int:
        """The partition of ``__consumer_offsets`` that holds the group, as Kafka computes it."""
        return (java_hash(group_id) & 0x7FFFFFFF) % self.config.offsets_partitions_count

    # ---- the log's side

    def replay(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None:
        """Take a record from the log or from a checkpoint; a later one of a key replaces it.

        A record of an unknown kind is kept as it is; a broken one is reported and skipped, because
        one group's record must not keep every other group from starting.
        """
        try:
            found = records.decode_key(key)
            match found:
                case records.OffsetKey(group_id, topic, partition):
                    if value is None:
                        self._committed.remove(group_id, [(topic, partition)])
                    else:
                        offset = records.decode_offset_value(value)
                        if offset.commit_timestamp_ms < 0:
                            offset = offset._replace(commit_timestamp_ms=timestamp_ms)
                        self._committed.put(group_id, {(topic, partition): offset})
                case records.GroupKey(group_id):
                    self._replay_group(group_id, value)
        except DecodeError as error:
            log_event(logger, logging.ERROR, "group record unreadable, skipped", reason=str(error))
            return
        self._writer.restore(key, value)

    def _replay_group(self, group_id: str, value: bytes | None) -> None:
        stored = None if value is None else records.decode_group_value(value)
        known = self._groups.pop(group_id, None)
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
            self._groups[group_id] = restored
        if known is not None:
            known.die(ErrorCode.NOT_COORDINATOR)

    def snapshot(self) -> list[tuple[bytes, bytes]]:
        """The newest value of every key the log has, writes under way included; for `replay`."""
        return self._writer.snapshot()

    def start(self) -> None:
        """Begin to watch the members of restored groups; needs the running loop."""
        for group in self._groups.values():
            group.start()
        self._schedule_sweep()

    async def close(self) -> None:
        """Answer all who wait with NOT_COORDINATOR, then wait for the writes under way."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for group in self._groups.values():
            group.die(ErrorCode.NOT_COORDINATOR)
        self._groups.clear()
        await self._writer.close()

    # ---- what groups ask of their host

    def new_member_id(self, prefix: str) -> str:
        return f"{prefix}-{uuid.UUID(bytes=self._rng.random_bytes(16), version=4)}"

    def store(
        self, group: ClassicGroup, assignments: Mapping[str, bytes]
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
        group.state_since_ms = now_ms
        group.journaled = True
        return self._writer.write(group.group_id, [(key, value)], _nothing)

    def unused(self, group: ClassicGroup) -> None:
        if self._groups.get(group.group_id) is group:
            del self._groups[group.group_id]
            group.die(ErrorCode.COORDINATOR_NOT_AVAILABLE)

    # ---- refusals

    def _refusal_of_group(self, group_id: str) -> ErrorCode:
        if self._closed:
            return ErrorCode.NOT_COORDINATOR
        if group_id == "" or len(group_id.encode()) > records.STRING_BYTES_MAX:
            return ErrorCode.INVALID_GROUP_ID
        return ErrorCode.NONE

    def _find(self, group_id: str) -> tuple[ClassicGroup | None, ErrorCode]:
        error = self._refusal_of_group(group_id)
        if error is not ErrorCode.NONE:
            return None, error
        group = self._groups.get(group_id)
        return group, ErrorCode.UNKNOWN_MEMBER_ID if group is None else ErrorCode.NONE

    def _refusal_of_commit(self, group_id: str, member: Identity, generation: int) -> ErrorCode:
        if self._closed:
            return ErrorCode.NOT_COORDINATOR
        # The empty group id may commit: old simple consumers have no other.
        if len(group_id.encode()) > records.STRING_BYTES_MAX:
            return ErrorCode.INVALID_GROUP_ID
        group = self._groups.get(group_id)
        if group is not None:
            return group.check_commit(member, generation)
        # A group without members stores offsets only; a generation then speaks of a forgotten one.
        return ErrorCode.NONE if generation < 0 else ErrorCode.ILLEGAL_GENERATION

    def _refusal_by_limits(
        self, group_id: str, accepted: Mapping[TopicPartition, CommittedOffset]
    ) -> ErrorCode:
        known = self._committed.of(group_id)
        new_count = sum(where not in known for where in accepted)
        if self._committed.count + new_count > self.config.offsets_max_count:
            return ErrorCode.INVALID_COMMIT_OFFSET_SIZE
        if not known and self._committed.groups_count >= self.config.groups_max_count:
            return ErrorCode.GROUP_MAX_SIZE_REACHED
        return ErrorCode.NONE

    # ---- retention

    def _remove_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> asyncio.Future[ErrorCode]:
        gone = list(partitions)
        tombstones: list[Record] = [
            (records.encode_offset_key(group_id, *partition), None) for partition in gone
        ]
        return self._writer.write(
            group_id, tombstones, lambda: self._committed.remove(group_id, gone)
        )

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep_timer = loop.call_later(
            self.config.retention_check_interval_ms / 1_000, self._begin_sweep
        )

    def _begin_sweep(self) -> None:
        self._sweep_queue = list(dict.fromkeys((*self._groups, *self._committed.group_ids())))
        self._sweep_step()

    def _sweep_step(self) -> None:
        now_ms = self._clock.now_ms()
        for _ in range(min(_SWEEP_STEP_GROUPS_COUNT, len(self._sweep_queue))):
            self._expire(self._sweep_queue.pop(), now_ms)
        if self._sweep_queue:
            self._sweep_timer = asyncio.get_running_loop().call_later(0, self._sweep_step)
        else:
            self._schedule_sweep()

    def _expire(self, group_id: str, now_ms: int) -> None:
        """Drop what nobody used for the retention time: offsets first, then the empty group.

        KIP-211: the time runs from the last commit or from the loss of the last member, whichever
        is later. Offsets of groups with members never expire here.
        """
        group = self._groups.get(group_id)
        if group is not None and group.state is not State.EMPTY:
            return
        since_ms = -1 if group is None else group.state_since_ms
        limit_ms = now_ms - self.config.offsets_retention_ms
        old = [
            partition
            for partition, offset in self._committed.of(group_id).items()
            if max(since_ms, offset.commit_timestamp_ms) <= limit_ms
        ]
        if old:
            self._remove_offsets(group_id, old)
        elif group is not None and group_id not in self._committed and not len(group.pending_ids):
            # Forgotten at once: should the tombstone be lost, a restart brings an empty group back.
            self._writer.write(group_id, [(records.encode_group_key(group_id), None)], _nothing)
            self.unused(group)


def java_hash(text: str) -> int:
    """Java's String.hashCode as an unsigned 32-bit number: over UTF-16 code units."""
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for at in range(0, len(units), 2):
        value = (value * 31 + (units[at] << 8) + units[at + 1]) & 0xFFFFFFFF
    return value


def _any_too_long(request: JoinRequest) -> bool:
    names = [request.group_instance_id or "", request.protocol_type]
    names += [name for name, _ in request.protocols]
    return any(len(name.encode()) > _NAME_BYTES_MAX for name in names)


_NAME_BYTES_MAX = 1_024
"""Instance ids, protocol types and names; clients allow 249 characters of an instance id."""


def _nothing() -> None:
    """A group's own state changes when the outcome is known, not when the record is."""
