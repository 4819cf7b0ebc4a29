"""The writing half of a log: gather entries into blocks, flush, confirm in order, roll.

Life of a block: *open* (takes entries) -> *queued* (full, or frozen by a roll) -> *in flight*
(numbered, encoded, with the store) -> *durable* -> *confirmed* (it and every earlier one durable).
Everything runs on the event loop; the only tasks are one per block in flight and one per footer.

A store that fails does not fail the log: the same bytes go to the same slot again until they are
durable or a newer writer is met. Nothing is skipped and nothing is rolled back, so offsets handed
out stay right.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from wal_core.errors import Invalid, Unavailable, WalError
from wal_core.format.block import (
    HEADER_BYTES,
    INDEX_ENTRY,
    BlockIds,
    BlockKind,
    encode_entries,
    encode_payload,
)
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.footer import Footer
from wal_core.format.places import Slot
from wal_core.state.checkpoint import Checkpoint, with_start
from wal_core.state.contents import Contents
from wal_core.state.streams import Stream
from wal_core.state.tail import Tail
from wal_core.stores.off_loop import WRITER, off_loop_if_large
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.tenure import Tenure
from wal_core.types import Entry, LogState
from wal_core.write.entry_checks import STREAM_ID_MAX, check_entry, is_flat
from wal_core.write.flights import Ending, Flight, Gathering, as_fatal
from wal_core.write.flush_policy import TokenBucket, should_flush
from wal_core.write.handover import Listener
from wal_core.write.id_ranges import IdRanges


class LogWriter:
    """Owned by the Log."""

    def __init__(
        self,
        store: SegmentStore,
        tenure: Tenure,
        contents: Contents,
        *,
        state: LogState,
        checkpoint: Checkpoint,
        finished: Callable[[Footer], None],
    ) -> None:
        config = tenure.config
        self._store = store
        self._tenure = tenure
        self._config = config
        self._contents = contents
        self._streams = contents.streams
        self._state = state
        self._checkpoint = checkpoint
        self._finished = finished
        self._persist = Persistence(config, tenure.rng)
        self._loop = asyncio.get_running_loop()
        self._bucket: TokenBucket | None = None
        if config.writes_per_s_max:
            self._bucket = TokenBucket(
                config.writes_per_s_max, config.writes_burst_count, self._loop.time()
            )

        # Where a lock decides, an opener does not race for slots.
        self._listener = None if store.locks else Listener(store.objects, config.log_id)
        self.tail = Tail(config.tail_bytes_max)
        self.unconfirmed_bytes = 0
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._error: WalError | None = None
        self._closing = False

        self._open: Gathering | None = None
        self._queue: deque[Gathering] = deque()
        self._flights: deque[Flight] = deque()  # unconfirmed, in slot order
        self._in_flight_count = 0  # of those, the ones not durable yet
        self._cut_blocks = 0  # of the active segment: numbered so far
        self._cut_bytes = 0
        self._pump_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._age_timer: asyncio.TimerHandle | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}

        # A roll: what the footer says of the checkpoint, and how many queued blocks still go in.
        self._roll: Ending | None = None
        self._roll_left_count = 0
        self._start_before = 0  # of the checkpoint's stream, in the footer before
        self._dropped = IdRanges()
        self._dropped_late: set[int] = set()  # still in the footer that is being prepared
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()

    # -- appending -------------------------------------------------------------------------

    def append(
        self,
        stream_id: int,
        base_offset: int,
        record_count: int,
        max_timestamp_ms: int,
        payload: bytes | memoryview,
        *,
        offset_span: int | None = None,
    ) -> asyncio.Future[None]:
        """See Log.append."""
        if offset_span is None:
            offset_span = record_count
        if self._error is not None:
            # One object raised again and again would grow its traceback each time.
            raise self._error.with_traceback(None)
        if self._closing:
            raise Unavailable("the log is closing", log_id=self._config.log_id)
        if payload.__class__ is not bytes and not is_flat(payload):
            raise Invalid("a payload must be bytes or a contiguous memoryview of bytes")
        stored_bytes = len(payload) + INDEX_ENTRY.size
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._new_stream(stream_id)
        entry = Entry(stream_id, base_offset, offset_span, record_count, max_timestamp_ms, payload)
        check_entry(stream, entry)
        if stored_bytes == INDEX_ENTRY.size:
            raise Invalid("an entry must not be empty")
        if self.unconfirmed_bytes + stored_bytes > self._config.unconfirmed_bytes_max:
            self._refuse(stored_bytes)
        future = self._add(entry, stream, stored_bytes)
        if not self._pump_scheduled:
            # At the end of this turn of the loop: what arrives together rides together.
            self._pump_scheduled = True
            self._loop.call_soon(self._pump)
        return future

    def _add(self, entry: Entry, stream: Stream, stored_bytes: int) -> asyncio.Future[None]:
        block = self._open
        if block is None or (
            block.bytes_count + stored_bytes > self._config.block_bytes_max and block.entries
        ):
            block = self._next_open()
        block.entries.append(entry)
        block.owners.append(stream)
        block.bytes_count += stored_bytes
        self.unconfirmed_bytes += stored_bytes
        if not entry.base_offset:
            self._streams[entry.stream_id] = stream  # its first entry
        stream.end = entry.base_offset + entry.offset_span
        return block.future

    def _write_piece(self) -> bool:
        """Write down some of what has changed, where enough has; True when there may be more."""
        stream = self._streams.get(CHECKPOINT_STREAM_ID) or Stream()
        piece = self._checkpoint.next_piece(stream.end)
        if piece is not None:
            entry = Entry(CHECKPOINT_STREAM_ID, stream.end, 1, 1, -1, piece)
            self._add(entry, stream, len(piece) + INDEX_ENTRY.size)
        return self._checkpoint.is_due

    def _new_stream(self, stream_id: int) -> Stream:
        if not 0 <= stream_id <= STREAM_ID_MAX:
            raise Invalid(f"stream id {stream_id} is not in 0 .. 2**64-1")
        if stream_id in self._dropped:
            raise Invalid(f"stream {stream_id} was dropped; ids are not used again")
        return Stream()

    def _refuse(self, stored_bytes: int) -> None:
        if stored_bytes > self._config.unconfirmed_bytes_max:
            raise Invalid(
                f"an entry of {stored_bytes} bytes exceeds unconfirmed_bytes_max "
                f"({self._config.unconfirmed_bytes_max})"
            )
        raise Unavailable(
            f"{self.unconfirmed_bytes} bytes already wait for the store",
            log_id=self._config.log_id,
        )

    def _next_open(self) -> Gathering:
        if self._open is not None:
            self._queue.append(self._open)
        self._open = Gathering(self._loop.create_future(), self._loop.time())
        self._idle.clear()
        return self._open

    def drop_stream(self, stream_id: int) -> None:
        """See Log.drop_stream. Gives its memory back, but for that its id is never used again."""
        self._dropped.add(stream_id)
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.drop()
        if self._roll is not None:
            # The footer being prepared states the moment before.
            self._dropped_late.add(stream_id)
            return
        del self._streams[stream_id]
        active = self._contents.active
        if active is not None:
            active.forget(stream_id)

    # -- flushing --------------------------------------------------------------------------

    def _pump(self) -> None:
        """Start whatever flushes and rolls are due."""
        self._pump_scheduled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._error is not None:
            return
        try:
            if self._write_piece():
                self._pump_scheduled = True  # the rest in turns of its own
                self._loop.call_soon(self._pump)
            else:
                self._start_roll_if_due()
            while self._start_next():
                pass
        except Exception as error:
            self.fail(as_fatal(error))

    def _start_next(self) -> bool:
        """Start one flush if the policy says so; else see to it that we come back in time."""
        rolling = self._roll is not None
        if rolling and not self._roll_left_count:
            return False  # the footer's turn; everything newer waits for the next segment
        block = self._queue[0] if self._queue else self._open
        if block is None:
            return False
        now_s = self._loop.time()
        if self._listener is not None and now_s < self._listener.held_until_s:
            self._come_back_at(self._listener.held_until_s)
            return False
        if self._in_flight_count:
            age_ms = (now_s - block.since_s) * 1000
            waiting = self._config.block_bytes_max if self._queue else block.bytes_count
            if not should_flush(waiting, age_ms, self._in_flight_count, self._config):
                if self._in_flight_count < self._config.flushes_in_flight_max_count:
                    self._come_back_at(block.since_s + self._config.gather_ms / 1000)
                return False
        if self._bucket is not None:
            wait_s = self._bucket.take(now_s)
            # A full block does not wait: holding it back would save nothing, only slow down.
            if wait_s > 0 and not self._queue:
                self._come_back_at(now_s + wait_s)
                return False
        if self._queue:
            self._queue.popleft()
        else:
            self._open = None
        if rolling:
            self._roll_left_count -= 1
        self._start_flush(block)
        return True

    def _come_back_at(self, when_s: float) -> None:
        if when_s != float("inf"):
            self._timer = self._loop.call_at(when_s, self._pump)

    def _start_flush(self, block: Gathering) -> None:
        active = self._contents.active
        if active is None:
            active = self._contents.begin_segment()
            self._cut_blocks = self._cut_bytes = 0
            age_s = self._config.segment_age_max_ms / 1000
            self._age_timer = self._loop.call_later(age_s, self.complete_segment)
        own, segment, number = self._tenure, active.segment, self._cut_blocks
        ids = BlockIds(own.log_id, segment, number, own.term, active.block_count, own.nonce)
        encoded = encode_entries(ids, block.entries)
        slot = Slot(own.log_id, segment, number, self._cut_bytes)
        flight = Flight(block, slot, encoded)
        self._cut_blocks += 1
        self._cut_bytes += encoded.length
        self._flights.append(flight)
        self._in_flight_count += 1
        self._spawn(self._flush(flight))
        if self._listener is not None and self._listener.is_due():
            self._spawn(self._listener.listen())

    async def _flush(self, flight: Flight) -> None:
        pieces = flight.encoded.pieces
        await self._persist(lambda: self._store.append(flight.slot, pieces, final=False))
        flight.durable = True
        self._in_flight_count -= 1
        while self._flights and self._flights[0].durable and self._error is None:
            # Off the list only afterwards: if the state raises, its waiters learn about it.
            self._confirm(self._flights[0])
            self._flights.popleft()
        self._after_progress()

    def _confirm(self, flight: Flight) -> None:
        """The block and everything before it is durable: let the world see it."""
        active = self._contents.active
        assert active is not None
        assert flight.slot.block == active.block_count
        encoded = flight.encoded
        active.add_block(encoded.length, encoded.data_bytes)
        ends: dict[int, int] = {}
        for row, stream in zip(encoded.rows(), flight.owners, strict=True):
            stream_id, base_offset, offset_span, _, timestamp_ms, _, payload_bytes = row
            end_offset = base_offset + offset_span
            before_bytes = stream.confirm(end_offset, timestamp_ms, payload_bytes)
            if not stream.dropped or stream_id in self._dropped_late:
                active.note_entry(stream_id, base_offset, timestamp_ms, before_bytes)
            ends[stream_id] = end_offset
        self.tail.add(encoded, flight.owners)
        self.unconfirmed_bytes -= flight.bytes_count - HEADER_BYTES
        ends.pop(CHECKPOINT_STREAM_ID, None)
        self._state.confirmed(ends)
        if not flight.future.done():
            flight.future.set_result(None)

    def _after_progress(self) -> None:
        if self._error is not None:
            return
        if self._roll is not None and not self._roll_left_count and not self._flights:
            self._spawn(self._finish_segment(self._roll))
        elif self._open is not None or self._queue:
            self._pump()
        elif not self._flights:
            self._idle.set()

    # -- rolling ---------------------------------------------------------------------------

    def _start_roll_if_due(self) -> None:
        if self._roll is not None or (self._open is None and not self._queue):
            return
        blocks, size = len(self._queue), sum(block.bytes_count for block in self._queue)
        if self._open is not None:
            blocks, size = blocks + 1, size + self._open.bytes_count
        if self._contents.active is not None:
            blocks, size = blocks + self._cut_blocks, size + self._cut_bytes
        if blocks >= self._config.segment_blocks_max or size >= self._config.segment_bytes_max:
            self._start_roll()

    def _start_roll(self) -> None:
        """Everything appended up to here is this segment's, and the checkpoint is its sum.

        Both are taken in one step without an await: that is what makes the checkpoint equal to the
        replay of the segment.
        """
        while self._write_piece():
            pass
        if self._open is not None:
            self._queue.append(self._open)
            self._open = None
        self._roll_left_count = len(self._queue)
        self._roll = Ending(self._checkpoint.changes(), self._checkpoint.start)

    def complete_segment(self) -> None:
        """End the unfinished segment now, with all that has been appended; if there is one."""
        if self._error is not None or self._roll is not None or self._closing:
            return
        if self._contents.active is not None or self._open is not None or self._queue:
            try:
                self._start_roll()
            except Exception as error:
                self.fail(as_fatal(error))
            self._after_progress()

    def _stop_timers(self) -> None:
        for timer in (self._timer, self._age_timer):
            if timer is not None:
                timer.cancel()

    async def _finish_segment(self, ending: Ending) -> None:
        own, active = self._tenure, self._contents.active
        assert active is not None
        assert active.block_count == self._cut_blocks
        if self._age_timer is not None:
            self._age_timer.cancel()
        # All blocks of the segment and none of a later one are confirmed, so the confirmed
        # offsets are the offsets at the segment's end.
        rows = [
            stream.row(stream_id) for stream_id, stream in self._streams.items() if stream.confirmed
        ]
        rows = [*with_start(rows, ending.start)]
        encode = partial(active.encode_footer, rows, ending.changes, own.clock.now_ms())
        payload = await off_loop_if_large(WRITER, active.run_count, encode)
        count = active.block_count
        ids = BlockIds(own.log_id, active.segment, count, own.term, count, own.nonce)
        encoded = encode_payload(BlockKind.COMPLETE, ids, payload)
        slot = Slot(own.log_id, active.segment, count, active.bytes_count)
        await self._persist(lambda: self._store.append(slot, encoded.pieces, final=True))
        if self._error is not None:
            return
        self._free_pieces(ending.start)
        self._contents.end_segment()
        self._finished(Footer(BlockKind.COMPLETE, active.segment, own.term, payload))
        self._roll = None
        for stream_id in self._dropped_late:
            del self._streams[stream_id]
        self._dropped_late.clear()
        self._after_progress()

    def _free_pieces(self, start: int) -> None:
        """Pieces are dead once two footers do without them: a start may have to go by the last but
        one."""
        stream = self._streams.get(CHECKPOINT_STREAM_ID)
        if stream is not None:
            stream.truncate(self._start_before)
        self._start_before = start

    # -- ending ----------------------------------------------------------------------------

    async def drain(self) -> None:
        """Accept nothing more, confirm everything, complete the segment."""
        self._closing = True
        while self._error is None and not (
            self._idle.is_set() and self._contents.active is None and self._roll is None
        ):
            if self._idle.is_set() and self._roll is None:
                self._idle.clear()
                self._start_roll()
                self._after_progress()
            await self._wait_idle()

    async def _wait_idle(self) -> None:
        idle = asyncio.ensure_future(self._idle.wait())
        try:
            either: set[asyncio.Future[Any]] = {idle, self.failed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()

    async def stop(self) -> None:
        """End all tasks, whatever state they are in; what is unconfirmed gets an error."""
        if self._error is None and (self._flights or self._open or self._queue):
            self.fail(Unavailable("the log was closed before the store answered"), announce=False)
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._stop_timers()

    def fail(self, error: WalError, *, announce: bool = True) -> None:
        """Stop for good: no block is confirmed from here on, every waiter learns why."""
        if self._error is not None:
            return
        self._error = error
        waiting = [flight.future for flight in self._flights]
        waiting += [block.future for block in self._queue]
        if self._open is not None:
            waiting.append(self._open.future)
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: not every appender waits
        if announce and not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()
        for task in self._tasks:
            task.cancel()
        self._stop_timers()

    def barrier(self) -> asyncio.Future[None] | None:
        """Settled once everything appended so far is confirmed; None when it is already."""
        if self._open is not None:
            return self._open.future
        if self._queue:
            return self._queue[-1].future
        return self._flights[-1].future if self._flights else None

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(as_fatal(error))
