"""Committed offsets of all groups: commit, fetch, expiry, the deletion of topics.

Nothing here takes long at a time: what is asked for in thousands is done in slices, each of which
is a write of its own and looks again at what may have changed, and the loop's other callbacks run
in between. So a commit is one batch of the journal as long as it names no more partitions than a
slice; a larger one that a crash cuts short was never answered.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias

from gateway.groups import records
from gateway.groups.budget import StateBudget
from gateway.groups.commits_under_way import CommitsUnderWay
from gateway.groups.committed import (
    NO_TIME,
    CommittedOffset,
    CommittedOffsets,
    TopicPartition,
    offset_bytes,
)
from gateway.groups.config import GroupConfig
from gateway.groups.journal import JournalWriter, Record
from gateway.groups.sessions import answered
from protocol import ZERO_UUID, ErrorCode
from wal_core import Clock

SLICE_COUNT = 250
"""Offsets written in one go: about 2 ms. Those of an ordinary member fit into one."""
REMOVALS_UNDER_WAY_MAX_COUNT = 64
TIME_MAX_MS = 2**63 - 1
RECORD_BYTES = 50
"""An offset in the journal, beside its names and its metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetToCommit:
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str
    topic_id: bytes = ZERO_UUID
    retention_ms: int | None = None  # None: as long as others


def _kept_until(asked: OffsetToCommit, now_ms: int) -> int:
    if asked.retention_ms is None:
        return NO_TIME
    return min(now_ms + asked.retention_ms, TIME_MAX_MS)


ExpiredOffset: TypeAlias = tuple[TopicPartition, CommittedOffset]


@dataclass(frozen=True, slots=True)
class OffsetsToExpire:
    """Of a group, as they were found."""

    group_id: str
    found: list[ExpiredOffset]

    def __bool__(self) -> bool:
        return bool(self.found)

    def besides(self, topics: Set[str]) -> OffsetsToExpire:
        """Those of other topics than these."""
        return OffsetsToExpire(
            self.group_id, [one for one in self.found if one[0][0] not in topics]
        )

    def slices(self) -> Iterator[list[ExpiredOffset]]:
        for start in range(0, len(self.found), SLICE_COUNT):
            yield self.found[start : start + SLICE_COUNT]


class GroupOffsets:
    def __init__(
        self,
        config: GroupConfig,
        writer: JournalWriter,
        clock: Clock,
        budget: StateBudget | None = None,
    ) -> None:
        self._config = config
        self._writer = writer
        self._clock = clock
        self._budget = budget or StateBudget(config.offsets_bytes_max)
        self._committed = CommittedOffsets(self._budget)
        self._under_way = CommitsUnderWay()
        self._topics_being_forgotten: Counter[str] = Counter()

    def clear(self) -> None:
        """Nobody asks for them any more."""
        self._committed.clear()

    # ---- commit

    async def commit(
        self,
        group_id: str,
        owner: str,
        offsets: Sequence[OffsetToCommit],
        refusal: Callable[[], ErrorCode],
    ) -> list[ErrorCode]:
        """One code for each; NONE means that the offset is durable and visible to `fetch`.

        `refusal` says, for each slice anew, whether the caller may commit.
        """
        error = refusal()
        if error is not ErrorCode.NONE:
            return [error] * len(offsets)
        if len(offsets) > SLICE_COUNT and not await self._fits_a_batch(group_id, offsets):
            return [ErrorCode.INVALID_COMMIT_OFFSET_SIZE] * len(offsets)
        written: list[tuple[list[ErrorCode], Awaitable[ErrorCode]]] = []
        for start in range(0, len(offsets), SLICE_COUNT):
            if start:
                await asyncio.sleep(0)
            some = offsets[start : start + SLICE_COUNT]
            error = refusal()
            if error is not ErrorCode.NONE:
                written.append(([error] * len(some), answered(error)))
            else:
                written.append(self._commit_some(group_id, owner, some))
        codes: list[ErrorCode] = []
        for refused, outcome in written:
            error = await outcome
            codes += [error if code is ErrorCode.NONE else code for code in refused]
        return codes

    async def _fits_a_batch(self, group_id: str, offsets: Sequence[OffsetToCommit]) -> bool:
        """Whether Kafka, which makes one batch of a commit, would take it."""
        size_bytes = 0
        for start in range(0, len(offsets), 10 * SLICE_COUNT):
            if start:
                await asyncio.sleep(0)
            some = offsets[start : start + 10 * SLICE_COUNT]
            size_bytes += self._batch_bytes(group_id, some)
            if size_bytes > self._config.commit_bytes_max:
                return False
        return True

    def _batch_bytes(self, group_id: str, offsets: Iterable[OffsetToCommit]) -> int:
        """Not less than what they take in a batch, but for names that are not ASCII."""
        each_bytes = RECORD_BYTES + len(group_id.encode())
        return sum(each_bytes + len(asked.topic) + len(asked.metadata) for asked in offsets)

    def _commit_some(
        self, group_id: str, owner: str, offsets: Sequence[OffsetToCommit]
    ) -> tuple[list[ErrorCode], Awaitable[ErrorCode]]:
        """A code for each that is refused, NONE for those whose outcome is the second value."""
        now_ms = self._clock.now_ms()
        accepted: dict[TopicPartition, CommittedOffset] = {}
        codes = []
        for asked in offsets:
            code = self._refusal_of(asked)
            codes.append(code)
            if code is ErrorCode.NONE:
                # The last one wins when a request names a partition twice.
                accepted[asked.topic, asked.partition] = CommittedOffset(
                    asked.offset,
                    asked.leader_epoch,
                    asked.metadata,
                    now_ms,
                    asked.topic_id,
                    _kept_until(asked, now_ms),
                )
        if not accepted:
            return codes, answered(ErrorCode.NONE)
        error = self._refusal_by_limits(group_id, owner, accepted)
        if error is not ErrorCode.NONE:
            return codes, answered(error)
        encoded: list[Record] = [
            (records.encode_offset_key(group_id, *where), records.encode_offset_value(what))
            for where, what in accepted.items()
        ]
        if sum(len(key) + len(value or b"") for key, value in encoded) > (
            self._config.commit_bytes_max
        ):
            return codes, answered(ErrorCode.INVALID_COMMIT_OFFSET_SIZE)
        ended = self._under_way.begin(group_id, accepted)
        outcome = self._writer.write(
            group_id, encoded, lambda: self._committed.put(group_id, owner, accepted), ended
        )
        return codes, outcome

    def _refusal_of(self, asked: OffsetToCommit) -> ErrorCode:
        if len(asked.metadata.encode()) > self._config.offset_metadata_bytes_max:
            return ErrorCode.OFFSET_METADATA_TOO_LARGE
        if asked.topic in self._topics_being_forgotten:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return ErrorCode.NONE

    def _refusal_by_limits(
        self, group_id: str, owner: str, accepted: dict[TopicPartition, CommittedOffset]
    ) -> ErrorCode:
        committed = self._committed
        more_bytes = sum(
            offset_bytes(group_id, where[0], what)
            - offset_bytes(group_id, where[0], committed.get(group_id, *where))
            for where, what in accepted.items()
        )
        if more_bytes > 0 and (
            committed.bytes_of(group_id) + more_bytes > self._config.group_offsets_bytes_max
            or not self._budget.allows(owner, more_bytes)
        ):
            return ErrorCode.INVALID_COMMIT_OFFSET_SIZE
        if group_id not in committed and committed.groups_count >= self._config.groups_max_count:
            return ErrorCode.GROUP_MAX_SIZE_REACHED
        return ErrorCode.NONE

    # ---- fetch

    def fetch(self, group_id: str, topic: str, partition: int) -> CommittedOffset | None:
        """None: nothing was committed."""
        if topic in self._topics_being_forgotten:
            return None
        return self._committed.get(group_id, topic, partition)

    def partitions(self, group_id: str) -> list[TopicPartition]:
        """Those of a group that have an offset."""
        gone = self._topics_being_forgotten
        return [where for where, _ in self._committed.of(group_id) if where[0] not in gone]

    def __contains__(self, group_id: str) -> bool:
        return group_id in self._committed

    def group_ids(self) -> list[str]:
        return self._committed.group_ids()

    @property
    def groups_count(self) -> int:
        return self._committed.groups_count

    def topics(self) -> list[str]:
        """The topics with committed offsets."""
        return self._committed.topics()

    # ---- the end of offsets

    def topics_deleted(self, topics: Iterable[str]) -> Coroutine[None, None, None]:
        """Forget the offsets committed for `topics`, those under way included.

        They are gone for `fetch` at once, and for good when this returns, the journal permitting.
        Until then nothing can be committed for topics of these names.
        """
        gone = list(dict.fromkeys(topics))
        self._topics_being_forgotten.update(gone)
        return self._forget(gone)

    def topic_gone(self, topic: str, topic_id: bytes) -> None:
        """Forget what was committed for a topic that another node has deleted; what was committed
        for another one of that name, which may be there already, stays. Nobody is told the former
        meanwhile, for whoever asks compares ids."""
        for group_id in list(self._committed.groups_of(topic)):
            under_way = self._under_way.indexes(group_id, topic)
            doomed = [
                (topic, index)
                for index in self._committed.partitions_of(group_id, topic)
                if index not in under_way  # which takes its place
                and (committed := self._committed.get(group_id, topic, index)) is not None
                and committed.topic_id == topic_id
            ]
            for start in range(0, len(doomed), SLICE_COUNT):
                self.delete(group_id, doomed[start : start + SLICE_COUNT])

    async def _forget(self, gone: list[str]) -> None:
        try:
            outcomes: set[asyncio.Future[ErrorCode]] = set()
            for group_id, doomed in self._doomed(gone):
                outcomes.add(self._remove(group_id, doomed))
                await asyncio.sleep(0)
                if len(outcomes) >= REMOVALS_UNDER_WAY_MAX_COUNT:
                    _, outcomes = await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
            if outcomes:
                await asyncio.wait(outcomes)
        finally:
            self._topics_being_forgotten.subtract(gone)
            self._topics_being_forgotten += Counter()  # without those that count nothing

    def _doomed(self, topics: Iterable[str]) -> Iterator[tuple[str, list[TopicPartition]]]:
        """Slices of what is to go, by group. Nothing is committed for `topics` meanwhile."""
        for topic in topics:
            under_way = self._under_way.by_group(topic)
            for group_id in dict.fromkeys((*self._committed.groups_of(topic), *under_way)):
                known = dict.fromkeys(self._committed.partitions_of(group_id, topic))
                indexes_left = iter(known | under_way.get(group_id, {}))
                while some := [
                    (topic, index) for index in itertools.islice(indexes_left, SLICE_COUNT)
                ]:
                    yield group_id, some

    def _remove(
        self, group_id: str, partitions: Sequence[TopicPartition]
    ) -> asyncio.Future[ErrorCode]:
        """At once, and again when what was under way before has taken effect."""
        self._committed.remove(group_id, partitions)
        return self.delete(group_id, partitions)

    def delete(
        self,
        group_id: str,
        partitions: Sequence[TopicPartition],
        also: Sequence[Record] = (),
        then: Callable[[], None] = lambda: None,
    ) -> asyncio.Future[ErrorCode]:
        """Remove offsets once that is durable, in one batch with records of the group, `also`; and
        then do what comes of these.
        """
        tombstones: list[Record] = [
            (records.encode_offset_key(group_id, *partition), None) for partition in partitions
        ]

        def apply() -> None:
            self._committed.remove(group_id, partitions)
            then()

        return self._writer.write(group_id, [*tombstones, *also], apply)

    def known(self, group_id: str) -> list[TopicPartition]:
        """Those of a group that have an offset, or get one by a commit that is under way."""
        has = (where for where, _ in self._committed.of(group_id))
        return list(dict.fromkeys((*has, *self._under_way.partitions(group_id))))

    def expired(self, group_id: str, since_ms: int = -1) -> OffsetsToExpire:
        """What was to be kept until now, or for the retention time since its commit, and since
        `since_ms`.
        """
        now_ms = self._clock.now_ms()
        limit_ms = now_ms - self._config.offsets_retention_ms
        is_unused = since_ms <= limit_ms
        return OffsetsToExpire(
            group_id,
            [
                (where, offset)
                for where, offset in self._committed.of(group_id)
                if (
                    offset.expire_timestamp_ms <= now_ms
                    if offset.expire_timestamp_ms >= 0
                    else is_unused and offset.commit_timestamp_ms <= limit_ms
                )
            ],
        )

    def expire(self, old: OffsetsToExpire, some: Sequence[ExpiredOffset]) -> None:
        """Remove those that nobody has committed anew meanwhile, or is about to."""
        group_id = old.group_id
        left = [
            where
            for where, offset in some
            if self._committed.get(group_id, *where) is offset
            and where[1] not in self._under_way.indexes(group_id, where[0])
        ]
        if left:
            self._remove(group_id, left)

    def count_of(self, group_id: str) -> int:
        return self._committed.count_of(group_id)

    # ---- the log's side

    def replay(self, key: records.OffsetKey, value: bytes | None, timestamp_ms: int) -> None:
        """Take a record that is in the log already. Raises DecodeError."""
        group_id, topic, partition = key
        if value is None:
            self._committed.remove(group_id, [(topic, partition)])
            return
        offset = records.decode_offset_value(value)
        if offset.commit_timestamp_ms < 0:
            offset = offset._replace(commit_timestamp_ms=timestamp_ms)
        self._committed.put(group_id, "", {(topic, partition): offset})
