"""A Kafka partition over one stream of one log.

It assigns offsets, stamps batches, watches sequences and epochs, and wakes parked fetches. The
records themselves stay opaque: they were checked before, only the 61-byte header is read here.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
from typing import TYPE_CHECKING, Protocol

from gateway.broker.journal_records import StreamOpened
from gateway.broker.metadata_records import Placement
from gateway.broker.producer_state import KeptBatch, ProducerStates
from gateway.observe.logger import log_event
from protocol import CRC_START, BatchHeader, ErrorCode, said_crc, set_log_append_time, stamp
from wal_core import Corrupt, KnownCrc

if TYPE_CHECKING:
    from gateway.broker.stream_state import StreamState
    from gateway.broker.topic_rules import TopicRules
    from gateway.broker.waiting import Waiter
    from wal_core import Entry, Log, Payloads

logger = logging.getLogger(__name__)

LARGE_BATCH_BYTES = 64 * 1024
"""From here on its checksum, which was verified, is worth more than what it takes to pass it on."""
NO_OFFSET = -1
NO_EPOCH = -1
NO_TIMESTAMP = -1
PLACES_TOLD_COUNT = 16  # of damage in one partition; fsck lists them all


class Appended:
    """Where a batch went. `confirmation` is None when it is durable already (a repeat)."""

    __slots__ = ("base_offset", "confirmation", "log_append_time_ms")

    def __init__(
        self,
        base_offset: int,
        confirmation: asyncio.Future[None] | None,
        log_append_time_ms: int,
    ) -> None:
        self.base_offset = base_offset
        self.confirmation = confirmation
        self.log_append_time_ms = log_append_time_ms  # -1 unless the topic stamps its own time


class Owner(Protocol):
    """What a partition asks of the owned log that it lies on."""

    @property
    def log(self) -> Log: ...
    @property
    def is_serving(self) -> bool:
        """False once the log is lost: somebody else may serve it."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other nodes tell of its partitions, too, which know nothing but its term."""
        ...

    def stream(self, stream_id: int) -> StreamState: ...
    def open_stream(self, opened: StreamOpened) -> None:
        """Write down whose the stream is, during the call; before its first record."""
        ...


class Partition:
    """Invariant: log start <= last stable offset == high watermark <= log end, none ever goes back
    (I3).

    Without transactions every confirmed record is stable.
    """

    __slots__ = (
        "_born_term",
        "_damage_told",
        "_epoch_min",
        "_log",
        "_owner",
        "_stream",
        "deleted",
        "index",
        "log_id",
        "stream_id",
        "topic",
        "waiters",
    )

    def __init__(self, topic: TopicRules, index: int, placement: Placement) -> None:
        self.topic = topic
        self.index = index
        self.log_id, self.stream_id = placement
        self._owner: Owner | None = None
        self._log: Log | None = None  # the owner's
        self._stream: StreamState | None = None
        self.deleted = False
        self.waiters: dict[Waiter, None] = {}  # who came first is woken first
        self._damage_told: tuple[str, ...] = ()
        self._born_term = 0  # of the log, if the partition came into being under it
        self._epoch_min = 0

    @property
    def _attached(self) -> Log:
        """Nobody else goes to the log for this partition."""
        assert self._log is not None, "the log is still being replayed"
        return self._log

    def attach(self, owner: Owner) -> bool:
        """Called once the log it lies on is open: from now on the partition can append and read.

        False, and nothing changes, when its stream is that of another topic: nobody's records are
        shown to anybody else, whatever a catalog says.
        """
        stream = owner.stream(self.stream_id)
        if stream.opened is not None and (
            stream.opened.topic_id != self.topic.id or stream.opened.partition != self.index
        ):
            return False
        self._owner, self._stream, self._log = owner, stream, owner.log
        if stream.epochs:
            self._epoch_min = stream.epochs[-1][0] + 1
        stream.partition = self
        return True

    @property
    def number(self) -> int:
        """No other partition has it; streams of two logs may have the same id."""
        return self.log_id << 64 | self.stream_id

    def begin(self) -> None:
        """It has just come into being, and is attached."""
        self._born_term = self._attached.term

    @property
    def is_served(self) -> bool:
        """Whether this process has the log that the partition lies on."""
        return self._owner is not None and self._owner.is_serving

    @property
    def _state(self) -> StreamState:
        assert self._stream is not None, "the log is still being replayed"
        return self._stream

    @property
    def producers(self) -> ProducerStates:
        return self._state.producers

    @property
    def deleted_below(self) -> int:
        """As the log's entries have it, durable or not: what `start_at` will follow."""
        return self._state.deleted_below

    @property
    def epochs(self) -> list[tuple[int, int]]:
        return self._state.epochs

    @property
    def is_begun(self) -> bool:
        """Whether it ever had a record."""
        return self._state.opened is not None

    @property
    def leader_epoch(self) -> int:
        """How often the log was opened since the partition came into being: 0 at first, as in
        Kafka. Of one without records a start does not know when that was, so it may be any time
        ago: an owner that somebody has fenced meanwhile must not have the same. Where nodes share
        the logs it is the term itself, which is never less, and it goes on from there after that.
        """
        term = self._attached.term
        if self._owner is not None and self._owner.is_shared:
            return term
        opened = self._state.opened
        born_term = self._born_term if opened is None else opened.term
        return max(self._epoch_min, term - born_term)

    @property
    def log_start_offset(self) -> int:
        assert self._log is not None  # as in `_attached`, one call less: fetches ask a lot
        return self._log.start_offset(self.stream_id)

    @property
    def high_watermark(self) -> int:
        """One past the last durable record: all that is ever served."""
        assert self._log is not None
        return self._log.confirmed_offset(self.stream_id)

    def append(
        self, batch: memoryview, header: BatchHeader, now_ms: int, steady_ms: int
    ) -> Appended:
        """Assign offsets to a checked batch and hand it to the log; `batch` is stamped in place.

        The header's greatest timestamp is that of the records. `now_ms` is what a topic with
        LogAppendTime stamps and the time of a batch that has none, `steady_ms` what producers age
        by.
        Does not wait: `confirmation` resolves when the batch is durable, in order.
        Raises SequenceError, wal_core.Unavailable (NoRoom for want of that), wal_core.Fenced.
        """
        if header.producer_id >= 0:
            kept = self.producers.check(header)
            if kept is not None:
                return _repeated(kept)
        append_time_ms = NO_TIMESTAMP
        # Without a time, or before 1970: it is as old as its arrival.
        max_timestamp_ms = header.max_timestamp_ms if header.max_timestamp_ms >= 0 else now_ms
        if self.topic.log_append_time:
            append_time_ms = max_timestamp_ms = now_ms
            set_log_append_time(batch, now_ms)
        log = self._attached
        if self.topic.is_internal:
            log.room.admit_change()
        else:
            log.room.admit(len(batch))
        if self._state.opened is None:
            self._open_stream()
        base_offset = log.end_offset(self.stream_id)
        leader_epoch = self.leader_epoch
        stamp(batch, base_offset, leader_epoch)
        crc = None
        if len(batch) >= LARGE_BATCH_BYTES:
            crc = KnownCrc(CRC_START, said_crc(batch))
        confirmation = log.append(
            self.stream_id, base_offset, header.record_count, max_timestamp_ms, batch, crc=crc
        )
        if header.producer_id >= 0:
            self.producers.record(header, base_offset, steady_ms, confirmation)
        self._state.remember_epoch(base_offset, leader_epoch)
        return Appended(base_offset, confirmation, append_time_ms)

    def _open_stream(self) -> None:
        """A crash between the two leaves a stream without records, which is nothing lost."""
        assert self._owner is not None
        self._owner.open_stream(
            StreamOpened(
                stream_id=self.stream_id,
                topic_id=self.topic.id,
                name=self.topic.name,
                partition=self.index,
                kind="group_offsets" if self.topic.is_internal else "records",
                term=self._born_term,
            )
        )

    def start_at(self, offset: int) -> None:
        """Let the log start at `offset`; for what is durable alone, for clients see it at once.

        Producers are kept: a retry of what was deleted meanwhile is still a repeat, and one that
        is idle is forgotten in time (KIP-360).
        """
        if self.deleted:
            return
        self._attached.truncate(self.stream_id, offset)
        self._state.started_at(self.log_start_offset)
        self.wake()  # a fetch that is parked below

    # Reading: as the log's methods of these names, which say more.

    def read_tail(self, offset: int, bytes_max: int) -> Payloads | None:
        """Durable batches from memory, the one that holds `offset` first; None: use `read`."""
        assert self._log is not None
        return self._log.read_tail(self.stream_id, offset, bytes_max)

    def read_at_hand(self, offset: int, bytes_max: int) -> Payloads | None:
        """The same of what is stored, if that takes no wait; None: use `read`."""
        return self._attached.read_at_hand(self.stream_id, offset, bytes_max)

    async def read(
        self, offset: int, bytes_max: int, bytes_enough: int | None = None
    ) -> list[Entry]:
        """Durable batches from wherever they are. Raises WalError."""
        return await self._attached.read(self.stream_id, offset, bytes_max, bytes_enough)

    async def find_timestamp(self, timestamp_ms: int, offset: int) -> Entry | None:
        """The first batch that ends behind `offset` and may have a record so late."""
        return await self._attached.find_timestamp(self.stream_id, timestamp_ms, offset)

    async def find_latest(self, offset: int = 0) -> Entry | None:
        """Of the batches that end behind `offset`, the one with the greatest timestamp."""
        return await self._attached.find_latest(self.stream_id, offset)

    async def size_bytes(self) -> int:
        """Of its batches, from the block on that holds the log start."""
        return await self._attached.size_bytes(self.stream_id)

    async def kept_from(self, now_ms: int) -> int:
        """Where its topic's retention lets it start now."""
        topic, log = self.topic, self._attached
        offset = self.log_start_offset
        if not topic.deletes_old or self.deleted or offset == self.high_watermark:
            return offset
        if topic.retention_ms >= 0:
            offset = await log.offset_for_time(self.stream_id, now_ms - topic.retention_ms)
        if topic.retention_bytes >= 0:
            size_offset = await log.offset_for_size(self.stream_id, topic.retention_bytes)
            offset = max(offset, size_offset)
        return offset

    def epoch_error(self, current_leader_epoch: int) -> ErrorCode:
        """KIP-320: a client that knows an older leader is fenced, one that knows a newer must
        wait. Before anything else: whether there is a leader here.
        """
        if not self.is_served:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        if current_leader_epoch in (NO_EPOCH, self.leader_epoch):
            return ErrorCode.NONE
        if current_leader_epoch < self.leader_epoch:
            return ErrorCode.FENCED_LEADER_EPOCH
        return ErrorCode.UNKNOWN_LEADER_EPOCH

    def epoch_of(self, offset: int) -> int:
        """The leader epoch under which the record at `offset` was (or will next be) written."""
        at = bisect.bisect_right(self.epochs, offset, key=lambda e: e[1]) - 1
        if offset >= self.high_watermark or at < 0:
            return self.leader_epoch
        return self.epochs[at][0]

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """(largest epoch <= `epoch`, its end offset), or (-1, -1) when `epoch` is not known
        (KIP-101).
        """
        if epoch == NO_EPOCH or epoch > self.leader_epoch:
            return NO_EPOCH, NO_OFFSET
        if epoch == self.leader_epoch:
            return epoch, self.high_watermark
        at = bisect.bisect_right(self.epochs, epoch, key=lambda e: e[0])
        # The current epoch begins where the log stood when it began, even before its first record.
        end = self.epochs[at][1] if at < len(self.epochs) else self.high_watermark
        return (self.epochs[at - 1][0] if at else epoch), end

    def wake(self) -> None:
        for waiter in self.waiters:
            waiter.wake()

    def tell_damage(self, error: Exception) -> None:
        """Log that stored records cannot be read: once a place, however often clients try it."""
        told = self._damage_told
        if not isinstance(error, Corrupt) or str(error) in told or len(told) == PLACES_TOLD_COUNT:
            return
        self._damage_told = (*told, str(error))
        log_event(
            logger,
            logging.ERROR,
            "stored records cannot be read",
            topic=self.topic.name,
            partition=self.index,
            reason=error,
            remedy="`woodpecker-gateway fsck` with the --data of this broker lists all damage",
        )


def _repeated(kept: KeptBatch) -> Appended:
    """What a repeat of `kept` is answered with; raises the error that its block ended with, since
    what never became durable must not be acknowledged the second time (I1).
    """
    confirmation = kept.confirmation
    if confirmation is None or not confirmation.done():
        return Appended(kept.base_offset, confirmation, NO_TIMESTAMP)
    confirmation.result()
    return Appended(kept.base_offset, None, NO_TIMESTAMP)
