"""A log: one writer, many streams, confirmed in order. The facade over writer, reader, recovery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from wal_core.budgets import Budgets
from wal_core.clock import Clock, Rng
from wal_core.config import LogConfig
from wal_core.errors import Fenced, Invalid, Unavailable
from wal_core.format.block import NONCE_BYTES, KnownCrc
from wal_core.format.chain import Completed
from wal_core.format.footer import Footer
from wal_core.read.log_reader import LogReader, check_read
from wal_core.read.time_search import TimeSearch
from wal_core.state.contents import Contents
from wal_core.state.rebuild import Rebuild
from wal_core.state.streams import Stream
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.tally import LogTally
from wal_core.tenure import Tenure
from wal_core.types import Entry, LogState, Payloads
from wal_core.upkeep.maintenance import Maintenance
from wal_core.upkeep.upload_lag import UploadLag
from wal_core.write import still_ours
from wal_core.write.log_writer import LogWriter
from wal_core.write.recovery import Recovery
from wal_core.write.term_check import TermCheck

_FULL_PATIENCE_S = 1.0
"""At a close, for a disk that was full."""
_LOOK_PAUSE_S = 1.0
"""Whoever reads what is damaged again and again asks no more often whose the log is."""


class Log:
    """Open with `Log.open`. All methods belong to the event loop it was opened on."""

    def __init__(
        self,
        store: SegmentStore,
        state: LogState,
        recovered: Recovery,
        budgets: Budgets,
        since_ms: int,
    ) -> None:
        """`since_ms`: when its opening began, by the wall clock."""
        tenure = recovered.tenure
        config = tenure.config
        self._store = store
        self._config = config
        self._contents = Contents(recovered.streams, recovered.chain)
        self._streams = self._contents.streams
        self._closed = False
        self.term = tenure.term
        """Higher than that of every earlier writer; the gateway's leader epoch."""
        self._term_check = TermCheck(tenure, recovered.manifests, since_ms)
        self._writer = LogWriter(
            store,
            tenure,
            self._contents,
            state=state,
            checkpoint=recovered.checkpoint,
            budgets=budgets,
            finished=self._segment_finished,
            term_check=self._term_check,
        )
        self._tenure = tenure
        self._manifests = recovered.manifests
        self._persist = persist = Persistence(config, tenure.rng)
        rebuild = Rebuild(store, config.log_id, recovered.manifests, persist)
        self._reader = LogReader(
            store, config, self._contents, rebuild, budgets, confirm=self._confirm_damage
        )
        self._looked_s = -_LOOK_PAUSE_S
        self._times = TimeSearch(self._reader)
        for segment, footer in recovered.newest_footers.items():
            self._reader.tables.put(Completed(segment), footer)
        self._maintenance = Maintenance(
            store,
            tenure,
            self._contents,
            writer=self._writer,
            reader=self._reader,
            manifests=recovered.manifests,
            manifest=recovered.manifest,
            alone=budgets.compaction,
        )
        self._upload_lag = UploadLag(store, self._contents, self._writer)
        self._maintenance.start()
        store.when_spare(config.log_id, self._writer.end_empty_segment)
        self.room = store.room
        self._unwatch_room = self.room.watch(
            lambda: self._writer.unconfirmed_bytes, self._maintenance.poke
        )
        self.failed = self._writer.failed
        """Holds the exception once the writer had to step down (Fenced, Corrupt); else pending."""

    @classmethod
    async def open(
        cls,
        store: SegmentStore,
        state: LogState,
        config: LogConfig,
        *,
        clock: Clock,
        rng: Rng,
        budgets: Budgets | None = None,
        may_take: Callable[[], Awaitable[None]] | None = None,
    ) -> Log:
        """Take the log over from whoever wrote it last and recover it.

        The cost does not grow with history. A store that fails or does not answer is tried again
        for ever: put a deadline around the call if that is not wanted; cancelling is safe. Raises
        Unavailable when another process holds the log, Corrupt when stored bytes are damaged.
        `budgets`: what it shares with the other logs of this process; by itself it has its own.
        `may_take` is awaited right before the log is taken, and raises if it is not to be: then its
        writer is left in peace, whatever happened between the answer and the taking.
        """
        since_ms = clock.now_ms()
        nonce = rng.random_bytes(NONCE_BYTES)
        opening = Tenure(config=config, clock=clock, rng=rng, nonce=nonce)
        recovery = Recovery(store, state, opening, may_take=may_take)
        try:
            await store.room.open(config)  # a full disk takes a recovery by its reserve alone
            await recovery.run()
        except BaseException:
            await store.room.close()
            if recovery.locked:
                await store.unlock(config.log_id)
            raise
        return cls(store, state, recovery, budgets or Budgets(config), since_ms)

    async def check_owner(self) -> None:
        """See whether another process has taken the log, which else the next write tells. Raises
        Fenced, and the log stops, if one had before the call; else whatever has stopped it."""
        if (pending := self._writer.barrier()) is not None:
            await asyncio.wait((pending,))
        if self.failed.done():
            self.failed.result()
        try:
            await still_ours.check(
                self._store, self._tenure, self._contents, self._manifests, self._persist
            )
        except Fenced as error:
            self._writer.fail(error)
            raise

    async def _confirm_damage(self) -> None:
        """Something that should be there is not. Raises Fenced, and the log stops, if another has
        the log, who deletes what is replaced; Unavailable when that cannot be seen now."""
        now_s = asyncio.get_running_loop().time()
        if self._store.locks or now_s < self._looked_s + _LOOK_PAUSE_S:
            return
        try:
            async with asyncio.timeout(self._config.store_timeout_ms / 1_000):
                await self._term_check.until_sure()
        except TimeoutError:
            raise Unavailable(
                "whose the log is cannot be seen now", log_id=self._config.log_id
            ) from None
        except Fenced as error:
            self._writer.fail(error)
            raise
        self._looked_s = now_s

    # -- writing ---------------------------------------------------------------------------

    def append(
        self,
        stream_id: int,
        base_offset: int,
        record_count: int,
        max_timestamp_ms: int,
        payload: bytes | memoryview,
        *,
        offset_span: int | None = None,
        crc: KnownCrc | None = None,
    ) -> asyncio.Future[None]:
        """Add an entry to the open block; never waits. It covers as many offsets as it has records,
        or `offset_span`, where some of its records are left out. `crc` saves the block's checksum
        to go through a large payload that was verified just now.

        Returns the confirmation of the whole block, shared by everybody in it: shield it, never
        await it bare in a task that may be cancelled. It resolves once the block and all before
        it are durable and `LogState.confirmed` has run. The payload must not change afterwards.

        Raises Invalid unless `base_offset` is the stream's end; Unavailable while more than
        `unconfirmed_bytes_max` waits; whatever stopped the log, if it has stopped.
        """
        return self._writer.append(
            stream_id,
            base_offset,
            record_count,
            max_timestamp_ms,
            payload,
            offset_span=offset_span,
            crc=crc,
        )

    def complete_segment(self) -> None:
        """End the unfinished segment now: what is deleted from it can go once another has followed.
        For want of room only, since small segments cost everybody."""
        self._writer.complete_segment()

    @property
    def unconfirmed_bytes(self) -> int:
        """Bytes appended and not yet durable: slow producers down long before the bound."""
        return self._writer.unconfirmed_bytes

    def drop_stream(self, stream_id: int) -> None:
        """Forget a stream, and give its memory back; its id must never be used again.

        A crash before the next segment's end brings it back: keep the fact of the drop in your own
        entries, have that entry confirmed first, and drop again after opening.
        """
        self._writer.drop_stream(stream_id)
        self._maintenance.starts_changed()

    def compact_after(self, work: asyncio.Future[None]) -> None:
        """Compact nothing before `work` is over, however it ends: it drops again what a crash has
        brought back, of which there may be some in one segment and nothing in another."""
        self._maintenance.compact_after(work)

    def truncate(self, stream_id: int, offset: int) -> None:
        """Let a stream start at `offset`; nothing below is read again. Never moves back.

        Every later footer says so, but a crash before the next one forgets it: keep the fact in
        your own entries, have that entry confirmed first, and truncate again after opening.
        Raises Invalid beyond the confirmed end.
        """
        stream = self._contents.live(stream_id)
        confirmed = stream.confirmed if stream else 0
        if not 0 <= offset <= confirmed:
            raise Invalid(f"stream {stream_id} can start at 0 .. {confirmed}, not at {offset}")
        if stream is not None:
            stream.truncate(offset)
            self._maintenance.starts_changed()

    def lose(self, stream_id: int, offset: int) -> None:
        """A stream went up to `offset`, as you know, and nothing is left of its end: go on there.

        For offsets are never given out again. To be said after opening, before anything is
        appended, like `truncate`.
        """
        stream = self._contents.streams.setdefault(stream_id, Stream())
        if offset > stream.end:
            stream.skip(offset)

    async def close(self) -> None:
        """Confirm what was appended, complete the segment, let the next writer in.

        Raises Unavailable if the store did not take everything in `close_timeout_ms`, or in a
        moment where it is full; what is unconfirmed then has failed. A log that has stopped just
        lets go.
        """
        if self._closed:
            return
        self._closed = True
        late = False
        try:
            late = not await self._drained()
        finally:
            self._unwatch_room()
            await self.room.close()
            await self._maintenance.stop()
            await self._writer.stop()
            await self._reader.close()
            await self._unlock()
        if late:
            raise Unavailable(
                f"{self._store.location} did not take everything in time",
                log_id=self._config.log_id,
            )

    async def _drained(self) -> bool:
        """Whether the store took everything in time. What no full disk takes in a moment nobody was
        told to be there."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        draining = loop.create_task(self._writer.drain())
        try:
            while not draining.done():
                patience_s = self._config.close_timeout_ms / 1000
                if self.room.is_spent:
                    patience_s = min(patience_s, _FULL_PATIENCE_S)
                left_s = begun_s + patience_s - loop.time()
                if left_s <= 0:
                    return False
                await asyncio.wait((draining,), timeout=min(left_s, _FULL_PATIENCE_S))
            draining.result()
            return True
        finally:
            draining.cancel()

    def tally(self) -> LogTally:
        """What was counted so far, and what is under way."""
        writer, reader, contents = self._writer, self._reader, self._contents
        lag_s, lag_bytes = self._upload_lag.now()
        return LogTally(
            flushed=writer.flushed,
            in_flight_count=writer.in_flight_count,
            waiting_s=writer.waiting_s,
            upload_lag_s=lag_s,
            upload_lag_bytes=lag_bytes,
            logstores_away_count=self._store.away_count(self._config.log_id),
            segments_count=len(contents.chain.links) + (contents.active is not None),
            tail_reads=reader.tail_reads,
            block_reads=reader.blocks.reads,
            table_reads=reader.tables.reads,
        )

    async def until_quiet(self) -> None:
        """Returns once compaction and deletion have nothing to do at the moment."""
        await self._maintenance.until_quiet()

    async def _unlock(self) -> None:
        try:
            async with asyncio.timeout(self._config.close_timeout_ms / 1000):
                await self._store.unlock(self._config.log_id)
        except TimeoutError:
            pass  # a write hangs in the device; the lock goes when the process does

    def _segment_finished(self, footer: Footer) -> None:
        self._reader.tables.put(Completed(footer.segment), footer)
        self._upload_lag.finished(footer)
        self._maintenance.poke()

    # -- offsets ---------------------------------------------------------------------------

    def stream_ids(self) -> list[int]:
        """All streams with entries that were not dropped."""
        return self._contents.live_ids()

    def start_offset(self, stream_id: int) -> int:
        """The first offset that can be read; 0 for an unknown stream."""
        stream = self._streams.get(stream_id)  # as `Contents.live`: readers ask very often
        return 0 if stream is None or stream.dropped else stream.start

    def end_offset(self, stream_id: int) -> int:
        """The next offset to append at (exclusive end of what was assigned)."""
        stream = self._streams.get(stream_id)  # as `Contents.live`: readers ask very often
        return 0 if stream is None or stream.dropped else stream.end

    def confirmed_offset(self, stream_id: int) -> int:
        """Exclusive end of what is durable and readable: the high watermark."""
        stream = self._streams.get(stream_id)  # as `Contents.live`: readers ask very often
        return 0 if stream is None or stream.dropped else stream.confirmed

    # -- reading ---------------------------------------------------------------------------

    def read_tail(self, stream_id: int, offset: int, bytes_max: int) -> Payloads | None:
        """Confirmed entries from memory, the one holding `offset` first: at least one, more
        while they fit `bytes_max` and one step of the loop. None of them at or beyond the confirmed
        end; None when it is not in memory: use `read`."""
        check_read(offset, bytes_max)
        return self._reader.read_tail(stream_id, offset, bytes_max)

    def read_at_hand(self, stream_id: int, offset: int, bytes_max: int) -> Payloads | None:
        """As `read_tail`, of what is stored and can be had without a wait for a store, a thread or
        those who write; None: use `read`, which also says what is wrong."""
        check_read(offset, bytes_max)
        return self._reader.at_hand.read(stream_id, offset, bytes_max)

    async def read(
        self, stream_id: int, offset: int, bytes_max: int, bytes_enough: int | None = None
    ) -> list[Entry]:
        """The same entries, from wherever the entries are. Raises Truncated below the start,
        Unavailable when the store is late, Corrupt when what it returns is damaged; when that
        happens behind entries that were found, returns those.

        Once it has `bytes_enough` it returns what it has, rather than wait for the store or use
        more than some milliseconds of the loop. Before that, and without, it lets others have the
        loop every now and then.
        """
        check_read(offset, bytes_max)
        return await self._reader.read(stream_id, offset, bytes_max, bytes_enough)

    async def find_timestamp(
        self, stream_id: int, timestamp_ms: int, offset: int = 0
    ) -> Entry | None:
        """The first confirmed entry that ends behind `offset` and the stream's start, and whose
        greatest timestamp is >= `timestamp_ms`; or None."""
        return await self._times.find(stream_id, timestamp_ms, offset)

    async def find_latest(self, stream_id: int, offset: int = 0) -> Entry | None:
        """Of the confirmed entries that end behind `offset` and the stream's start, the one with
        the greatest timestamp, the first of several; None when none has one."""
        return await self._times.find_latest(stream_id, offset)

    # -- retention -------------------------------------------------------------------------

    async def offset_for_time(self, stream_id: int, timestamp_ms: int) -> int:
        """The offset from which on everything has to stay if all older than `timestamp_ms` may go.

        As exact as the index, which knows blocks: never too high, so that some older records may
        stay with a younger neighbour in their block, and all that is left behind them. The
        confirmed end when all may go. Entries without a time go with their neighbours, and stay
        where none of these has one. Between start and confirmed end.
        """
        return await self._times.offset_for_time(stream_id, timestamp_ms)

    async def offset_for_size(self, stream_id: int, bytes_count: int) -> int:
        """The highest offset the index can name that leaves at least `bytes_count` of payload;
        at least the newest block stays."""
        return await self._reader.offset_for_size(stream_id, bytes_count)

    async def size_bytes(self, stream_id: int) -> int:
        """Payload bytes from the block that holds the stream's start on."""
        return await self._reader.size_bytes(stream_id)
