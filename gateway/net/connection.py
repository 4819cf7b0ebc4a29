"""One client connection: its socket, frames in, replies out, and who may send how much.

Rules (I6, I7, I8):
- Requests start in arrival order, and a handler makes its change before it first waits; so appends
  happen in arrival order. Which may start, and which reply may leave, its `RequestLine` knows.
  Requests behind a waiting Produce or Fetch start at once; any other API holds back what follows it
  until it is answered, as a Kafka broker does for all of them.
- Past a limit (requests or bytes in flight, here or over all connections; replies the client does
  not read) the socket is not read: the sender slows down, nothing is dropped.
- A handler that fails answers Kafka's code. Only a frame that cannot be parsed closes the
  connection, and a request that Kafka, too, answers so; what came before it is answered first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from gateway.api import Call, CloseConnection
from gateway.broker.order_line import OrderLine
from gateway.fairness.reply_share import ReplyShare
from gateway.fairness.turns import Turns
from gateway.net.answering import answer
from gateway.net.frame_lanes import IncomingFrame
from gateway.net.frame_reader import FrameReader, FrameTooLarge, is_large
from gateway.net.hub import Hub
from gateway.net.pending_request import PendingRequest
from gateway.net.request_line import RequestLine
from gateway.observe.logger import log_event
from gateway.settings.config import LATE_READ_BYTES_MAX
from protocol import DecodeError

if TYPE_CHECKING:
    from protocol import Buffer

logger = logging.getLogger(__name__)

STALL_TIMEOUT_S = 120.0  # a peer that neither takes its replies nor finishes its frame is let go


class Connection(asyncio.BufferedProtocol):
    """See the module. One instance per socket."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._transport: asyncio.Transport | None = None
        limits = hub.limits
        self._line: RequestLine[PendingRequest] = RequestLine(
            limits.requests_in_flight_max_count, limits.buffered_bytes_max
        )
        self._reader = FrameReader(hub.pool, limits.request_bytes_max)
        self._writing_paused = False
        self._reading_paused = False
        self._asked_for_budget = False
        self._stall_timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0  # in the transport when the stall timer was armed
        self._client_host = ""
        self._turns = Turns()
        self._produces = OrderLine()
        self._lookups = hub.services.lookups.share()
        self._share = ReplyShare(hub.replies, self._write_buffer_bytes, self._let_go)
        self._incoming = IncomingFrame(hub.frames, self._resume_reading_if_room, self._abort)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._client_host = str(peer[0]) if peer else "unknown"
        hub = self._hub
        if hub.stopping or len(hub.connections) >= hub.limits.connections_max_count:
            log_event(
                logger,
                logging.WARNING,
                "connection refused",
                client=self._client_host,
                open_count=len(hub.connections),
                limit="connections_max_count",
            )
            self._transport.abort()
            return
        hub.connections[self] = None
        hub.idle_watch.watch(self)
        hub.replies.shares[self._share] = None
        # Paused means that the system does not take more: what is unsent is a reply of ours.
        self._transport.set_write_buffer_limits(0)

    def connection_lost(self, exc: Exception | None) -> None:
        hub = self._hub
        hub.gone(self)
        hub.budget.forget(self._resume_after_budget)
        hub.budget.has_finished(self)
        hub.budget.give_back(self._reader.large_bytes)
        self._reader.drop()
        self._incoming.lost()
        self._share.lost()
        self._stop_stall_timer()
        self._writing_paused = False
        # What runs goes on to its end, unless all it does is wait for the client's sake.
        for request in self._line.sever():
            if request.is_parking or request.is_queued:
                self._line.done(request, (), 0)
                request.cancel()
        self._reply()
        self._start_waiting()

    def get_buffer(self, sizehint: int) -> memoryview:
        room, budget = self._reader.buffer(), self._hub.budget
        if self._incoming.is_late or (budget.is_exceeded and not budget.is_finisher(self)):
            return room[:LATE_READ_BYTES_MAX]  # on its way already when others filled the memory
        return room

    def buffer_updated(self, nbytes: int) -> None:
        reader, budget = self._reader, self._hub.budget
        was_inside = reader.is_inside_large
        if was_inside:
            budget.take(nbytes)
            self._incoming.brought(nbytes)
        try:
            for frame in reader.received(nbytes):
                self._stop_stall_timer()
                self._incoming.ended()
                self._arrived(frame)
                if self._line.is_ending:
                    break
        except FrameTooLarge as error:
            self._stop_stall_timer()
            self._end_with(PendingRequest(memoryview(b""), self._share), str(error))
        if not was_inside and reader.is_inside_large:
            budget.take(reader.large_bytes)  # the head of a large frame that has just begun
            self._incoming.began(reader.announced_bytes)
        self._pause_reading_if_full()
        self._watch_for_stall()

    def eof_received(self) -> bool:
        return False  # the client has gone: close

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._pause_reading_if_full()
        self._stop_stall_timer()  # its time was for a frame; the time for the replies begins now
        self._watch_for_stall()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._stop_stall_timer()
        self._share.all_taken()
        self._reply()
        self._start_waiting()
        self._resume_reading_if_room()

    # Requests

    def _arrived(self, frame: memoryview) -> None:
        if not is_large(len(frame)):  # a large one was charged as it came
            self._hub.budget.take(len(frame))
        request = PendingRequest(frame, self._share)
        try:
            request.parse_header()
        except DecodeError as error:
            self._hub.budget.has_finished(self)
            self._end_with(request, f"a request header cannot be parsed: {error}")
            return
        self._hub.budget.hand_over(self, request)
        if not self._line:
            self._share.asked()
        if not request.brings_data:
            self._hub.budget.has_finished(request)  # it may be parked for minutes
        self._hub.idle_watch.used(self)
        self._line.add(request)
        self._start_waiting()

    def _end_with(self, request: PendingRequest, reason: str) -> None:
        """The stream makes no sense from `request` on: close once what came before is answered."""
        self._line.add_last(request, reason)
        self._reply()

    def _start_waiting(self) -> None:
        while not self._writing_paused and (request := self._line.next_to_start()) is not None:
            # Tasks take their first step in the order of their making: that is the order of
            # appends.
            task = asyncio.get_running_loop().create_task(self._serve(request))
            request.task = task
            self._hub.started(task)

    async def _serve(self, request: PendingRequest) -> None:
        reply: Sequence[Buffer] = ()
        close_reason: str | None = "a request was given up"
        try:
            services = self._hub.services
            shared = self._turns, self._produces, self._lookups
            call = Call(request.header, self._client_host, services, *shared, request.room)
            reply = await answer(request, call, self._hub)
            close_reason = None
        except CloseConnection as error:
            close_reason = str(error)
        except DecodeError as error:
            close_reason = f"a request cannot be parsed: {error}"
        except Exception as error:
            # The handler itself is guarded: this is an answer that cannot be encoded.
            log_event(logger, logging.ERROR, "request failed", error=error)
            close_reason = "its answer could not be made"
        finally:
            self._served(request, reply, close_reason)

    def _served(
        self, request: PendingRequest, reply: Sequence[Buffer], close_reason: str | None
    ) -> None:
        request.task = None  # which knows the request: neither may keep the other
        reply_bytes = sum(map(len, reply))
        self._line.done(request, reply, reply_bytes, close_reason)
        if self._line.is_ending:
            self._pause_reading_if_full()
        request.room.done(reply_bytes)
        self._release(request)
        self._reply()
        self._start_waiting()
        self._resume_reading_if_room()

    # Replies

    def _reply(self) -> None:
        """Send what is ready at the head of the line."""
        transport = self._transport
        assert transport is not None
        while not self._writing_paused and (request := self._line.next_to_leave()) is not None:
            if request.close_reason is not None:
                self._close(request.close_reason)
            # A closed transport drops what it is given, but some versions of asyncio first register
            # its dead descriptor again (gh-136234): so ask.
            elif request.reply and not transport.is_closing():
                transport.writelines(request.reply)
                request.room.sent(transport.get_write_buffer_size())
            request.room.close()
            if request.size_bytes:  # it was never served
                self._release(request)
        if not self._line:
            self._hub.idle_watch.used(self)
            if self._line.is_ending:
                transport.close()

    # Back-pressure

    def _release(self, request: PendingRequest) -> None:
        """Give back the request's bytes: it is done, though perhaps not yet answered.

        Others may be called, and this connection again: nothing of ours may be half done.
        """
        size_bytes = self._line.release(request)
        if size_bytes:
            self._hub.budget.give_back(size_bytes)
        self._hub.budget.has_finished(request)

    def _is_full(self) -> bool:
        """Whether this connection has reached a limit of its own."""
        return self._writing_paused or self._line.is_full

    def _lacks_budget(self) -> bool:
        """Whether all connections together have reached theirs, and it is not our turn."""
        budget = self._hub.budget
        if not self._incoming.may_go_on():
            budget.has_finished(self)  # it could not use a turn there
            return True
        if self._incoming.must_pause and not budget.is_finisher(self):
            return True
        return budget.is_exceeded and not (self._reader.is_inside_large and budget.may_finish(self))

    def _pause_reading_if_full(self) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        is_full = self._is_full()
        if not is_full and not self._lacks_budget():
            return
        if not self._reading_paused:
            self._reading_paused = True
            self._incoming.paused()
            self._transport.pause_reading()
        if not self._writing_paused:
            self._stop_stall_timer()
        if is_full:
            self._hub.budget.has_finished(self)
            self._incoming.cannot_go_on()
        elif self._incoming.must_pause or not self._incoming.may_go_on():
            self._incoming.wait()
        elif not self._asked_for_budget:
            self._asked_for_budget = True
            self._hub.budget.call_when_free(self._resume_after_budget)

    def _resume_after_budget(self) -> None:
        self._asked_for_budget = False
        self._resume_reading_if_room()

    def _resume_reading_if_room(self) -> None:
        assert self._transport is not None
        if not self._reading_paused or self._transport.is_closing() or self._hub.stopping:
            return
        if self._is_full() or self._lacks_budget():
            self._pause_reading_if_full()
            return
        self._reading_paused = False
        self._incoming.resumed()
        self._transport.resume_reading()
        self._watch_for_stall()

    # The end

    def _watch_for_stall(self) -> None:
        """A deadline while the peer owes us something: to read its replies or to finish a frame."""
        owes_frame = self._reader.is_inside_frame and not self._reading_paused
        if self._stall_timer is None and (self._writing_paused or owes_frame):
            assert self._transport is not None
            self._unsent_bytes = self._transport.get_write_buffer_size()
            loop = asyncio.get_running_loop()
            self._stall_timer = loop.call_later(STALL_TIMEOUT_S, self._stalled)

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _stalled(self) -> None:
        assert self._transport is not None
        self._stall_timer = None
        if self._writing_paused and self._transport.get_write_buffer_size() < self._unsent_bytes:
            self._watch_for_stall()  # slow, but reading
            return
        if not self._writing_paused and self._incoming.is_on_its_way(STALL_TIMEOUT_S):
            self._watch_for_stall()  # slow, but sending
            return
        self._abort(f"no progress for {STALL_TIMEOUT_S:g} s")

    def _abort(self, reason: str) -> None:
        assert self._transport is not None
        self._tell_closed(reason)
        self._transport.abort()

    def _tell_closed(self, reason: str) -> None:
        host = self._client_host
        log_event(logger, logging.WARNING, "connection closed", client=host, reason=reason)

    def _write_buffer_bytes(self) -> int:
        assert self._transport is not None
        return self._transport.get_write_buffer_size()

    def _let_go(self) -> None:
        """Others need the memory of replies that the peer does not take."""
        self._abort("it takes no replies, whose memory others need")

    def _close(self, reason: str) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._tell_closed(reason)
            self._transport.close()

    def stop_reading(self) -> None:
        """Graceful stop: take nothing new; what was read is still answered."""
        assert self._transport is not None
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()
        self._stop_stall_timer()

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way, or what has a deadline of its own: a frame, replies."""
        return bool(self._line) or self._reader.is_inside_frame or self._writing_paused

    def close_idle(self) -> None:
        assert self._transport is not None
        log_event(logger, logging.DEBUG, "idle connection closed", client=self._client_host)
        if self._transport.get_write_buffer_size():
            self.abort()  # it has not even taken its last reply in all that time
        else:
            self.close()

    def close(self) -> None:
        """Send what is left and close."""
        self._line.finish()
        self._reply()

    def give_up(self) -> None:
        """Whatever is not done now is not answered: the time for it is over."""
        for request in self._line.give_up("the gateway stops"):
            request.cancel()
        self._reply()

    def abort(self) -> None:
        assert self._transport is not None
        self._transport.abort()
