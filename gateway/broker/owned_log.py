"""A data log that this process owns: the open log, its state, its journal, what lives on it.

Opened, checkpointed, closed and lost as a unit. A log that was fenced, or has failed, is let go of
alone: its partitions answer that they are led elsewhere, and the other logs of the process go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
)
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from gateway.broker.journal_records import (
    JOURNAL_STREAM_ID,
    JournalRecord,
    RecordsDeleted,
    StreamOpened,
    StreamsDropped,
    encode_journal,
)
from gateway.broker.log_state import DataLogState, GroupRecords
from gateway.broker.producer_state import ProducerMemory
from gateway.broker.unknown_streams import drop_those_that_were_dropped
from gateway.broker.waiting import failure
from gateway.observe.logger import log_event
from wal_core import Log, WalError

if TYPE_CHECKING:
    from gateway.broker.partition import Partition
    from gateway.broker.stream_state import StreamState
    from wal_core import Budgets, Clock, LogConfig, Rng, SegmentStore, SteadyClock

STARTS_MOVED_AT_ONCE_COUNT = 500  # log starts moved in one go: about a millisecond
TERM_BITS = COUNTER_BITS = 24  # of a producer id; above them the log's id
NAMED_COUNT = 5  # of streams in a line for people

logger = logging.getLogger(__name__)


class Coordinator(GroupRecords, Protocol):
    """The groups whose records lie on the log."""

    def start(self) -> None: ...
    async def close(self) -> None: ...
    def forget(self) -> None:
        """Let go of all that is remembered: another has it."""
        ...


class OwnedLog:
    """`open`, then all else, then `close`, or `lose` when another has it."""

    def __init__(
        self,
        log_id: int,
        groups: Coordinator,
        memory: ProducerMemory,
        *,
        clock: Clock,
        steady: SteadyClock,
        rng: Rng,
        is_shared: bool = False,
    ) -> None:
        self.log_id = log_id
        self.is_shared = is_shared
        """Whether other nodes may have it: see Partition."""
        self.has_read_catalog = not is_shared
        """Whether its owner has read the catalog since it was opened: see `take_overs`."""
        self.groups = groups
        self.state = DataLogState(log_id, groups, clock, memory, steady)
        self._clock = clock
        self._rng = rng
        self._log: Log | None = None
        self._producers_count = 0  # of this term
        self._tidying: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    async def open(
        self,
        store: SegmentStore,
        config: LogConfig,
        budgets: Budgets,
        may_take: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Recover the log and everything that rides on it; `budgets` are those of the process,
        `may_take` see Log.open."""
        self._log = await Log.open(
            store,
            self.state,
            config,
            clock=self._clock,
            rng=self._rng,
            budgets=budgets,
            may_take=may_take,
        )
        self._resume(self._log)

    def _resume(self, log: Log) -> None:
        """Say again what the log may have forgotten: a dropped stream is in no footer from the end
        of its segment on, and where streams start is in those written since; a crash before that
        brings both back.
        """
        known = self.state.known
        unknown = [s for s in log.stream_ids() if s != JOURNAL_STREAM_ID and known(s) is None]
        if unknown:
            self._tidying = asyncio.create_task(self._tidy(log, unknown))
            log.compact_after(self._tidying)
        for stream in self.state.streams():
            self._resume_start(log, stream)

    async def _tidy(self, log: Log, unknown: Collection[int]) -> None:
        try:
            await drop_those_that_were_dropped(log, unknown)
        except Exception as error:
            log_event(logger, logging.WARNING, "deleted topics are still there", reason=error)

    @property
    def next_stream_id(self) -> int:
        """No stream was ever given this id or a higher one."""
        return max(self.state.next_stream_id, 1 + max(self.log.stream_ids(), default=0))

    def _resume_start(self, log: Log, stream: StreamState) -> None:
        end, start = log.confirmed_offset(stream.stream_id), stream.deleted_below
        if start > end:
            # Whoever deleted them had them: they are lost, and nobody misses them.
            log_event(
                logger,
                logging.ERROR,
                "a partition starts behind what is left of it, and goes on there",
                topic=stream.opened.name if stream.opened else "",
                partition=stream.opened.partition if stream.opened else -1,
                start_offset=start,
                end_offset=end,
            )
            log.lose(stream.stream_id, start)
        if start:
            log.truncate(stream.stream_id, start)
            stream.started_at(log.start_offset(stream.stream_id))

    @property
    def log(self) -> Log:
        assert self._log is not None, "the log is not open"
        return self._log

    @property
    def was_opened(self) -> bool:
        return self._log is not None

    @property
    def is_lost(self) -> bool:
        """Whether it is being let go of, or has been."""
        return self._lost.is_set()

    async def until_lost(self) -> None:
        """Returns once nobody is told anything of it here any more."""
        await self._lost.wait()

    @property
    def is_serving(self) -> bool:
        return self._log is not None and not self.is_lost

    def may_serve(self, partition: Partition) -> bool:
        """Whether it serves a partition that lies on it, by what is known of the catalog. The
        gateway's own topics are never deleted, so what is known of them stays true."""
        if not self.is_serving:
            return False
        if self.has_read_catalog or partition.topic.is_internal:
            return True
        known = self.state.known(partition.stream_id)
        return known is not None and known.opened is not None

    async def close(self) -> None:
        """Confirm what is pending and release the log."""
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait((self._tidying,))
        if self._log is not None:
            await self._log.close()

    async def lose(self) -> None:
        """Let go of it: another process has it or is to have it, or it cannot go on. What was taken
        is confirmed first, if it still can be."""
        self._lost.set()
        for stream in self.state.streams():
            if stream.partition is not None:
                stream.partition.wake()
        await self.groups.close()
        try:
            await self.close()
        except WalError as error:
            log_event(logger, logging.WARNING, "log not closed", log=self.log_id, reason=error)
        # What is remembered here takes room from other logs. The end of the segment had need of it.
        self.groups.forget()
        for stream in self.state.streams():
            stream.producers.clear()

    # -- streams ---------------------------------------------------------------------------

    def stream(self, stream_id: int) -> StreamState:
        return self.state.stream(stream_id)

    def open_stream(self, opened: StreamOpened) -> None:
        """Its first entry; appended during the call."""
        self._write(opened)

    def streams_of(self, topic_ids: Container[bytes]) -> dict[bytes, list[int]]:
        """The streams of some topics, by topic."""
        found: dict[bytes, list[int]] = {}
        for stream in self.state.streams():
            if stream.opened is not None and stream.opened.topic_id in topic_ids:
                found.setdefault(stream.opened.topic_id, []).append(stream.stream_id)
        return found

    def tell_unclaimed(self, tombstones: Container[bytes]) -> None:
        """Streams of topics that the catalog has not heard of are kept: it may be late."""
        unclaimed = [
            stream.stream_id
            for stream in self.state.streams()
            if stream.partition is None
            and stream.opened is not None
            and stream.opened.topic_id not in tombstones
        ]
        if unclaimed:
            log_event(
                logger,
                logging.WARNING,
                "streams of topics that the catalog does not have are kept",
                log=self.log_id,
                streams_count=len(unclaimed),
                streams=unclaimed[:NAMED_COUNT],
            )

    def abandon(self, partitions: Iterable[Partition]) -> None:
        """Of partitions without records nothing is left when their topic goes."""
        for partition in partitions:
            known = self.state.known(partition.stream_id)
            if known is not None and known.opened is None and known.partition is partition:
                self.state.forget(partition.stream_id)

    def drop_streams(self, topic_id: bytes, stream_ids: list[int]) -> asyncio.Future[None]:
        """Write down that they are gone; once that is durable, so are they."""
        self.hurry()
        dropped = self._write(StreamsDropped(topic_id=topic_id, stream_ids=stream_ids))

        def drop(confirmation: asyncio.Future[None]) -> None:
            # Not before: bytes that a crash may bring back must not be given up.
            if failure(confirmation) is None:
                for stream_id in stream_ids:
                    self.log.drop_stream(stream_id)
                self.hurry()

        dropped.add_done_callback(drop)
        return dropped

    def delete_records(self, starts: Mapping[Partition, int]) -> asyncio.Future[None]:
        """Let partitions start there: one record for all of them. Appended during the call; the
        result is settled when the starts have moved, which they do once the record is durable, or
        holds the error of a log that takes nothing."""
        moved = asyncio.get_running_loop().create_future()
        record = RecordsDeleted(starts={p.stream_id: offset for p, offset in starts.items()})
        left = iter(starts.items())
        self.hurry()
        try:
            written = self._write(record)
        except WalError as error:
            moved.set_exception(error)
            moved.exception()  # seen: not everybody waits
        else:
            written.add_done_callback(lambda done: self._move_starts(done, left, moved))
        return moved

    def _move_starts(
        self,
        written: asyncio.Future[None],
        left: Iterator[tuple[Partition, int]],
        moved: asyncio.Future[None],
    ) -> None:
        """Some of them, and the rest in later turns of the loop."""
        error = failure(written)
        if error is not None:
            moved.set_exception(error)
            moved.exception()  # seen: not everybody waits
            return
        some = list(islice(left, STARTS_MOVED_AT_ONCE_COUNT))
        for partition, offset in some:
            partition.start_at(offset)
        if len(some) < STARTS_MOVED_AT_ONCE_COUNT:
            self.hurry()
            moved.set_result(None)
        else:
            asyncio.get_running_loop().call_soon(self._move_starts, written, left, moved)

    def hurry(self) -> None:
        """Before and after a deletion: where room lacks, what it deletes from is ended, and so is
        what the deletion itself is in; for the newest segment of all gives nothing back."""
        if self.log.room.is_low:
            self.log.complete_segment()

    def _write(self, record: JournalRecord) -> asyncio.Future[None]:
        """Append a change and apply it."""
        log = self.log
        offset = log.end_offset(JOURNAL_STREAM_ID)
        payload = encode_journal(record)
        confirmation = log.append(JOURNAL_STREAM_ID, offset, 1, self._clock.now_ms(), payload)
        self.state.take(record)
        return confirmation

    # -- producers -------------------------------------------------------------------------

    def new_producer_id(self) -> int | None:
        """An id that no producer had before: terms are never used twice, so nothing is written.
        None once a term has given out all it has."""
        term = self.log.term
        if self._producers_count >> COUNTER_BITS or term >> TERM_BITS:
            return None
        self._producers_count += 1
        high = self.log_id << TERM_BITS | term
        return high << COUNTER_BITS | (self._producers_count - 1)
