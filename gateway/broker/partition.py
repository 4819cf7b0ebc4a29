"""A Kafka partition over one stream of the log.

It assigns offsets, stamps batches, watches sequences and epochs, and wakes parked fetches. The
records themselves stay opaque: they were checked before, only the 61-byte header is read here.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
from typing import TYPE_CHECKING, NamedTuple

from gateway.broker import state_keys
from gateway.broker.producer_state import KeptBatch, ProducerMemory, ProducerStates
from gateway.observe.logger import log_event
from protocol import BatchHeader, ErrorCode, read_header, set_log_append_time, stamp
from wal_core import Corrupt

if TYPE_CHECKING:
    from gateway.broker.topic_rules import TopicRules
    from gateway.broker.waiting import Waiter
    from wal_core import Entry, Log

logger = logging.getLogger(__name__)

NO_OFFSET = -1
NO_EPOCH = -1
NO_TIMESTAMP = -1
PARTITION_BYTES, EPOCH_BYTES, PRODUCER_BYTES = 32, 16, 96  # about what remembering each takes
PLACES_TOLD_COUNT = 16  # of damage in one partition; fsck lists them all


class Appended(NamedTuple):
    """Where a batch went. `confirmation` is None when it is durable already (a repeat)."""

    base_offset: int
    confirmation: asyncio.Future[None] | None
    log_append_time_ms: int  # -1 unless the topic stamps its own time


class SavedPartition(NamedTuple):
    """What is remembered of a partition besides its producers; offsets are the log's business."""

    epochs: list[tuple[int, int]]
    deleted_below: int


class Partition:
    """Invariant: log start <= last stable offset == high watermark <= log end, none ever goes back
    (I3).

    Without transactions every confirmed record is stable.
    """

    __slots__ = (
        "_damage_told",
        "_log",
        "deleted",
        "deleted_below",
        "epochs",
        "index",
        "producers",
        "stream_id",
        "topic",
        "waiters",
    )

    def __init__(
        self,
        topic: TopicRules,
        index: int,
        stream_id: int,
        log: Log | None,
        producer_memory: ProducerMemory | None = None,
    ) -> None:
        self.topic = topic
        self.index = index
        self.stream_id = stream_id
        self._log = log
        self.deleted = False
        # As the log's entries have it, durable or not: what `start_at` will follow.
        self.deleted_below = 0
        self.producers = ProducerStates(producer_memory, self._note_producer)
        # (leader epoch, first offset written in it), both rising.
        self.epochs: list[tuple[int, int]] = []
        self.waiters: dict[Waiter, None] = {}  # who came first is woken first
        self._damage_told: tuple[str, ...] = ()

    @property
    def _attached(self) -> Log:
        """Nobody else goes to the log for this partition."""
        assert self._log is not None, "the log is still being replayed"
        return self._log

    def attach(self, log: Log) -> None:
        """Called once after replay, or at creation: from now on the partition can append and
        read.
        """
        self._log = log

    @property
    def leader_epoch(self) -> int:
        return self._attached.term

    @property
    def log_start_offset(self) -> int:
        return self._attached.start_offset(self.stream_id)

    @property
    def high_watermark(self) -> int:
        """One past the last durable record: all that is ever served."""
        return self._attached.confirmed_offset(self.stream_id)

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
        if not self.topic.is_internal:
            log.room.admit(len(batch))
        base_offset = log.end_offset(self.stream_id)
        stamp(batch, base_offset, log.term)
        confirmation = log.append(
            self.stream_id, base_offset, header.record_count, max_timestamp_ms, batch
        )
        if header.producer_id >= 0:
            self.producers.record(header, base_offset, steady_ms, confirmation)
        self._remember_epoch(base_offset, log.term)
        return Appended(base_offset, confirmation, append_time_ms)

    def apply(self, entry: Entry, now_ms: int) -> None:
        """Replay of an entry of this partition at start-up."""
        header = read_header(entry.payload)
        if header.producer_id >= 0:
            self.producers.record(header, entry.base_offset, now_ms, None)
        self._remember_epoch(entry.base_offset, header.partition_leader_epoch)

    def _remember_epoch(self, base_offset: int, epoch: int) -> None:
        if not self.epochs or self.epochs[-1][0] < epoch:
            if self.epochs and self.epochs[-1][1] == base_offset:
                self.epochs.pop()  # all it wrote was deleted
            self.epochs.append((epoch, base_offset))
            self._note()

    def delete_below(self, offset: int) -> None:
        """An entry says that the partition starts there, or further on."""
        self.deleted_below = max(self.deleted_below, offset)
        self._note()

    def _note(self) -> None:
        size = PARTITION_BYTES + EPOCH_BYTES * len(self.epochs)
        self.topic.changes.note(state_keys.partition(self.stream_id), size)

    def _note_producer(self, producer_id: int) -> None:
        key = state_keys.producer(self.stream_id, producer_id)
        self.topic.changes.note(key, PRODUCER_BYTES)

    def start_at(self, offset: int) -> None:
        """Let the log start at `offset`; for what is durable alone, for clients see it at once.

        Producers are kept: a retry of what was deleted meanwhile is still a repeat, and one that
        is idle is forgotten in time (KIP-360).
        """
        if self.deleted:
            return
        self._attached.truncate(self.stream_id, offset)
        start = self.log_start_offset
        # As Kafka's LeaderEpochFileCache.truncateFromStart: the epoch that holds the start stays.
        at = bisect.bisect_right(self.epochs, start, key=lambda e: e[1]) - 1
        if at >= 0:
            self.epochs[: at + 1] = [(self.epochs[at][0], start)]
            self._note()
        self.wake()  # a fetch that is parked below

    def resume(self) -> None:
        """After a start: begin where deletions said, for the newest footer may be older."""
        if self.deleted_below > self.high_watermark:
            # Whoever deleted them had them: they are lost, and nobody misses them.
            log_event(
                logger,
                logging.ERROR,
                "a partition starts behind what is left of it, and goes on there",
                topic=self.topic.name,
                partition=self.index,
                start_offset=self.deleted_below,
                end_offset=self.high_watermark,
            )
            self._attached.lose(self.stream_id, self.deleted_below)
        if self.deleted_below:
            self.start_at(self.deleted_below)

    def drop(self) -> None:
        """Give up what is stored of it; for a topic whose deletion is durable."""
        self._attached.drop_stream(self.stream_id)

    # Reading: as the log's methods of these names, which say more.

    def read_tail(self, offset: int, bytes_max: int) -> list[Entry] | None:
        """Durable batches from memory, the one that holds `offset` first; None: use `read`."""
        return self._attached.read_tail(self.stream_id, offset, bytes_max)

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
        wait.
        """
        if current_leader_epoch < 0 or current_leader_epoch == self.leader_epoch:
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
        if epoch < 0 or epoch > self.leader_epoch:
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
            reason=str(error),
            remedy="`woodpecker-gateway fsck` with the --data of this broker lists all damage",
        )

    def save(self) -> SavedPartition:
        return SavedPartition(self.epochs, self.deleted_below)

    def load(self, saved: SavedPartition) -> None:
        self.epochs = list(saved.epochs)
        self.deleted_below = saved.deleted_below


def _repeated(kept: KeptBatch) -> Appended:
    """What a repeat of `kept` is answered with; raises the error that its block ended with, since
    what never became durable must not be acknowledged the second time (I1).
    """
    confirmation = kept.confirmation
    if confirmation is None or not confirmation.done():
        return Appended(kept.base_offset, confirmation, NO_TIMESTAMP)
    confirmation.result()
    return Appended(kept.base_offset, None, NO_TIMESTAMP)
