"""The writing half of a log: gather entries into blocks, flush, confirm in order, roll.

Life of a block: *open* (takes entries) -> *queued* (full, or frozen by a roll) -> *in flight*
(numbered, encoded, with the store) -> *durable* -> *confirmed* (it and every earlier one durable).
Everything runs on the event loop; the only tasks are one per footer, and one per block in flight
where the store takes its time or has failed.

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

from wal_core.budgets import Budgets
from wal_core.errors import Invalid, Unavailable, WalError
from wal_core.format.block import (
    HEADER_BYTES,
    INDEX_ENTRY,
    KnownCrc,
)
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.footer import Footer
from wal_core.state.checkpoint import Checkpoint
from wal_core.state.contents import Contents
from wal_core.state.streams import STREAM_ID_MAX, Stream
from wal_core.state.tail import Tail
from wal_core.stores.deadline import deadline_s
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.tally import Written
from wal_core.tenure import Tenure
from wal_core.types import EntryFields, LogState
from wal_core.write.entry_checks import is_flat
from wal_core.write.flights import Flight, Gathering, Waiting, as_fatal
from wal_core.write.flush_gate import FlushGate
from wal_core.write.handover import Listener
from wal_core.write.roll import Roll
from wal_core.write.term_check import TermCheck


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
        budgets: Budgets,
        finished: Callable[[Footer], None],
        term_check: TermCheck,
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
        self._roll = Roll(store, tenure, contents, checkpoint, too_old=self.complete_segment)
        self._persist = Persistence(config, tenure.rng)
        self._loop = asyncio.get_running_loop()
        self._allowance = budgets.unconfirmed

        # Where a lock decides, an opener does not race for slots.
        quiet = store.locks or store.claims
        self._term_check = None if quiet else term_check
        self._listener = None if quiet else Listener(store.objects, config.log_id)
        self._gate = FlushGate(config, self._listener, budgets.writes)
        self.tail = Tail(budgets.tails)
        self.flushed = Written()
        """Blocks, from their first entry until they were confirmed."""
        self.unconfirmed_bytes = 0
        self._allowance.join(self)
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._error: WalError | None = None
        self._closing = False

        self._waiting = Waiting()
        self._flights: deque[Flight] = deque()  # unconfirmed, in slot order
        self._in_flight_count = 0  # of those, the ones not durable yet
        self._pump_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}
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
        crc: KnownCrc | None = None,
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
        entry = (stream_id, base_offset, offset_span, record_count, max_timestamp_ms, payload)
        if stored_bytes == INDEX_ENTRY.size:
            raise Invalid("an entry must not be empty")
        if self.unconfirmed_bytes + stored_bytes > self._allowance.part_bytes:
            self._check_allowance(stored_bytes)
        future = self._add(entry, stream, stored_bytes, crc)
        if not self._pump_scheduled:
            # At the end of this turn of the loop: what arrives together rides together.
            self._pump_scheduled = True
            self._loop.call_soon(self._pump)
        return future

    def _add(
        self, entry: EntryFields, stream: Stream, stored_bytes: int, crc: KnownCrc | None = None
    ) -> asyncio.Future[None]:
        stream.assign(entry)
        block = self._waiting.open
        if block is None or (
            block.bytes_count + stored_bytes > self._config.block_bytes_max and block.entries
        ):
            block = self._next_open()
        if crc is not None:
            block.crcs[len(block.entries)] = crc
        block.entries.append(entry)
        block.owners.append(stream)
        block.bytes_count += stored_bytes
        self.unconfirmed_bytes += stored_bytes
        if not entry[1]:
            self._streams[entry[0]] = stream  # its first entry
        return block.future

    def _write_piece(self) -> bool:
        """Write down some of what has changed, where enough has; True when there may be more."""
        stream = self._streams.get(CHECKPOINT_STREAM_ID) or Stream()
        piece = self._checkpoint.next_piece(stream.end)
        if piece is not None:
            entry = (CHECKPOINT_STREAM_ID, stream.end, 1, 1, -1, piece)
            self._add(entry, stream, len(piece) + INDEX_ENTRY.size)
        return self._checkpoint.is_due

    def _new_stream(self, stream_id: int) -> Stream:
        if not 0 <= stream_id <= STREAM_ID_MAX:
            raise Invalid(f"stream id {stream_id} is not in 0 .. 2**64-1")
        if self._roll.was_dropped(stream_id):
            raise Invalid(f"stream {stream_id} was dropped; ids are not used again")
        return Stream()

    def _check_allowance(self, stored_bytes: int) -> None:
        allowance = self._allowance
        if stored_bytes > allowance.largest_bytes:
            raise Invalid(
                f"an entry of {stored_bytes} bytes exceeds what may wait for the store "
                f"({allowance.largest_bytes}, see unconfirmed_bytes_max)"
            )
        if self.unconfirmed_bytes + stored_bytes <= allowance.limit_bytes(self):
            return
        raise Unavailable(
            f"{self.unconfirmed_bytes} bytes already wait for the store",
            log_id=self._config.log_id,
        )

    def _next_open(self) -> Gathering:
        block = Gathering(self._loop.create_future(), self._loop.time())
        self._waiting.begin(block)
        self._idle.clear()
        return block

    def drop_stream(self, stream_id: int) -> None:
        """See Log.drop_stream."""
        self._roll.drop(stream_id)

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
            elif self._roll.is_due(self._waiting):
                self._start_roll()
            while self._start_next():
                pass
        except Exception as error:
            self.fail(as_fatal(error))

    def _start_next(self) -> bool:
        """Start one flush if the policy says so; else see to it that we come back in time."""
        if not self._waiting or self._roll.holds_back:
            return False
        now_s = self._loop.time()
        until_s = self._gate.closed_until_s(self._waiting, self._in_flight_count, now_s)
        if until_s is None:
            self._start_flush(self._waiting.pop())
        elif until_s != float("inf"):
            self._timer = self._loop.call_at(until_s, self._pump)
        return until_s is None

    def _start_flush(self, block: Gathering) -> None:
        flight = self._roll.cut(block)
        self._flights.append(flight)
        self._in_flight_count += 1
        if not self._begin(flight):
            self._spawn(self._flush(flight))
        if self._listener is not None and self._listener.is_due():
            self._spawn(self._listen(self._listener))

    def _begin(self, flight: Flight) -> bool:
        """Have it written without a task, which would be half of what a small block costs; False:
        that cannot be."""
        encoded = flight.encoded
        if self._term_check is not None or not self._store.begin(
            flight.slot, encoded.pieces, partial(self._landed, flight)
        ):
            return False
        patience_s = deadline_s(self._config.store_timeout_ms, encoded.length)
        flight.timer = self._loop.call_later(patience_s, self._overdue, flight)
        return True

    def _landed(self, flight: Flight, error: Exception | None) -> None:
        timer, flight.timer = flight.timer, None
        if timer is None:
            return  # a task waits for it
        timer.cancel()
        if self._error is not None:
            return
        if error is not None:
            self._spawn(self._flush(flight))
            return
        try:
            self._is_durable(flight)
        except Exception as wrong:
            self.fail(as_fatal(wrong))

    def _overdue(self, flight: Flight) -> None:
        """From here on it goes as where the store takes its time."""
        flight.timer = None
        self._spawn(self._flush(flight))

    async def _listen(self, listener: Listener) -> None:
        await listener.listen()
        if self._waiting:
            self._pump()  # who asked us to hold on may have hung up early

    async def _flush(self, flight: Flight) -> None:
        pieces = flight.encoded.pieces
        await self._persist(lambda: self._store.append(flight.slot, pieces, final=False))
        if self._term_check is not None and self._term_check.is_due:
            await self._term_check.until_sure()
        self._is_durable(flight)

    def _is_durable(self, flight: Flight) -> None:
        flight.durable = True
        self._in_flight_count -= 1
        while self._flights and self._flights[0].durable and self._error is None:
            # Off the list only afterwards: if the state raises, its waiters learn about it.
            self._confirm(self._flights[0])
            self._flights.popleft()
        self._check()
        self._after_progress()

    def _check(self) -> None:
        """What is durable was written, what was written was appended, and nothing is forgotten."""
        if self._error is not None:
            return
        flights = self._flights
        assert self._in_flight_count == sum(not flight.durable for flight in flights)
        assert self._in_flight_count <= self._config.flushes_in_flight_max_count
        assert not (flights and flights[0].durable)
        self._roll.check(len(flights))
        unconfirmed = (block.bytes_count - HEADER_BYTES for block in (*flights, *self._waiting))
        assert self.unconfirmed_bytes == sum(unconfirmed)

    def _confirm(self, flight: Flight) -> None:
        """The block and everything before it is durable: let the world see it."""
        active = self._contents.active
        assert active is not None
        assert flight.slot.block == active.block_count
        encoded = flight.encoded
        active.add_block(encoded.length, encoded.data_bytes)
        ends: dict[int, int] = {}
        rows = list(encoded.rows())
        for row, stream in zip(rows, flight.owners, strict=True):
            stream_id, base_offset, offset_span, _, timestamp_ms, _, payload_bytes = row
            end_offset = base_offset + offset_span
            before_bytes = stream.confirm(end_offset, timestamp_ms, payload_bytes)
            if not stream.dropped or self._roll.states(stream_id):
                active.note_entry(stream_id, base_offset, timestamp_ms, before_bytes)
            ends[stream_id] = end_offset
        self.tail.add(encoded, rows, flight.owners)
        self.flushed.add(self._loop.time() - flight.since_s, encoded.length)
        self.unconfirmed_bytes -= flight.bytes_count - HEADER_BYTES
        ends.pop(CHECKPOINT_STREAM_ID, None)
        self._state.confirmed(ends)
        if not flight.future.done():
            flight.future.set_result(None)

    def _after_progress(self) -> None:
        if self._error is not None:
            return
        if self._roll.holds_back and not self._flights:
            self._spawn(self._finish_segment())
        elif self._waiting:
            self._pump()
        elif not self._flights:
            self._idle.set()

    # -- rolling ---------------------------------------------------------------------------

    def _start_roll(self) -> None:
        """Everything appended up to here is this segment's, and the checkpoint is its sum."""
        self._idle.clear()  # until the footer is durable, whether or not anything waits before it
        while self._write_piece():
            pass
        self._roll.begin(self._waiting)

    def complete_segment(self) -> None:
        """End the unfinished segment now, with all that has been appended; if there is one."""
        if self._error is not None or self._roll.is_begun or self._closing:
            return
        if self._contents.active is not None or self._waiting:
            try:
                self._start_roll()
            except Exception as error:
                self.fail(as_fatal(error))
            self._after_progress()

    def end_empty_segment(self) -> None:
        """Where nothing is written: the next segment is kept elsewhere. See
        SegmentStore.when_spare."""
        is_idle = self._contents.active is None and not self._waiting and not self._roll.is_begun
        if is_idle and self._error is None and not self._closing:
            try:
                self._roll.begin_segment()
            except Exception as error:
                self.fail(as_fatal(error))
            self.complete_segment()

    async def _finish_segment(self) -> None:
        footer = await self._roll.write_footer()
        if self._error is not None:
            return
        self._roll.end()
        self._finished(footer)
        self._after_progress()

    # -- what others see -------------------------------------------------------------------

    @property
    def in_flight_count(self) -> int:
        """Blocks that the store has not answered for yet."""
        return self._in_flight_count

    @property
    def waiting_s(self) -> float:
        """How long the oldest entry that is not confirmed has waited; 0: there is none."""
        oldest = self._flights[0] if self._flights else self._waiting.first
        return 0.0 if oldest is None else self._loop.time() - oldest.since_s

    @property
    def segment_since_s(self) -> float:
        """When the segment began that was begun last, on the loop's clock."""
        return self._roll.since_s

    # -- ending ----------------------------------------------------------------------------

    async def drain(self) -> None:
        """Accept nothing more, confirm everything, complete the segment."""
        self._closing = True
        while self._error is None and not (self._idle.is_set() and self._roll.is_over):
            if self._idle.is_set():
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
        if self._error is None and (self._flights or self._waiting):
            self.fail(Unavailable("the log was closed before the store answered"), announce=False)
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._stop_timers()
        self._leave()
        self.tail.close()

    def _leave(self) -> None:
        """What is on its way counts no more: nothing comes of it."""
        self._allowance.leave(self)
        self._gate.leave()

    def fail(self, error: WalError, *, announce: bool = True) -> None:
        """Stop for good: no block is confirmed from here on, every waiter learns why."""
        if self._error is not None:
            return
        self._error = error
        self._leave()
        for future in [on.future for on in (*self._flights, *self._waiting)]:
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
        last = self._waiting.last or (self._flights[-1] if self._flights else None)
        return None if last is None else last.future

    def _stop_timers(self) -> None:
        self._roll.stop()
        for timer in (self._timer, *(flight.timer for flight in self._flights)):
            if timer is not None:
                timer.cancel()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(as_fatal(error))
