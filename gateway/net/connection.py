"""One client connection: its socket, frames in, replies out, and who may send how much.

Rules (I6, I7, I8):
- Requests start in arrival order, and a handler makes its change before it first waits; so appends
  happen in arrival order. Which may start, and which reply may leave, its `RequestLine` knows.
  Requests behind a waiting Produce or Fetch start at once; any other API holds back what follows it
  until it is answered, as a Kafka broker does for all of them.
- Past a limit the socket is not read (`Intake`): the sender slows down, nothing is dropped.
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
from gateway.net.frame_reader import is_large
from gateway.net.hub import Hub
from gateway.net.intake import Intake
from gateway.net.mute import Mute
from gateway.net.pending_request import PendingRequest
from gateway.net.request_line import RequestLine
from gateway.net.sending import Sending
from gateway.net.stall_watch import STALL_TIMEOUT_S, StallWatch
from gateway.net.throttling import charge_records
from gateway.observe.logger import log_event
from protocol import DecodeError, encode_response

if TYPE_CHECKING:
    from protocol import Piece

logger = logging.getLogger(__name__)

SENT_TOGETHER_COUNT = 256
"""Small replies, in one system call."""


class Connection(asyncio.BufferedProtocol):
    """See the module. One instance per socket."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._transport: asyncio.Transport | None = None
        limits = hub.limits
        self._line: RequestLine[PendingRequest] = RequestLine(
            limits.requests_in_flight_max_count, limits.buffered_bytes_max
        )
        self._stall = StallWatch(self)
        self._intake = Intake(hub, self._line, self._stall, self._abort)
        self._mute = Mute(self._intake)
        self._sending: Sending
        self._writing_paused = False
        self._client_host = ""
        self._turns = Turns()
        self._produces = OrderLine()
        self._unbegun_count = 0  # requests whose tasks have not taken their first step
        self._lookups = hub.services.lookups.share()
        self._share = ReplyShare(hub.replies, self.unsent_bytes, self._let_go)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._sending = Sending(
            self._transport, self._hub.late_parts, self.resume_writing, self._sending_failed
        )
        self._intake.made(self._transport)
        peer = transport.get_extra_info("peername")
        self._client_host = str(peer[0]) if peer else "unknown"
        hub = self._hub
        if hub.stopping or len(hub.connections) >= hub.connections_max_count:
            hub.counts.connections_refused += 1
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
        hub.counts.connections_opened += 1
        hub.idle_watch.watch(self)
        hub.replies.shares[self._share] = None
        # Paused means that the system does not take more: what is unsent is a reply of ours.
        self._transport.set_write_buffer_limits(0)

    def connection_lost(self, exc: Exception | None) -> None:
        hub = self._hub
        hub.gone(self)
        self._mute.end()
        self._intake.lost()
        self._share.lost()
        self._stall.lost()
        self._sending.stop()
        self._writing_paused = False
        # What runs goes on to its end, unless all it does is wait for the client's sake.
        for request in self._line.sever():
            if request.is_parking or request.is_queued:
                self._line.done(request, (), 0)
                request.cancel()
        self._reply()
        self._start_waiting()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._intake.room()

    def buffer_updated(self, nbytes: int) -> None:
        self._intake.brought(nbytes, self._arrived, self._refused)

    def eof_received(self) -> bool:
        return False  # the client has gone: close

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._intake.hold()
        self._stall.stop()  # its time was for a frame; the time for the replies begins now
        self._stall.watch()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._intake.release()
        self._stall.stop()
        self._share.all_taken()
        self._reply()
        self._start_waiting()
        self._intake.resume_if_room()

    # Replies that go past the transport

    def _sending_failed(self, error: OSError) -> None:
        if isinstance(error, ConnectionError):
            self.abort()
        else:
            self._abort(f"its reply cannot be read any more: {error}")

    # Requests

    def _arrived(self, frame: memoryview) -> None:
        if not is_large(len(frame)):  # a large one was charged as it came
            self._hub.budget.take(len(frame))
        request = PendingRequest(frame, self._share)
        try:
            request.parse_header()
        except DecodeError as error:
            self._intake.yield_turn()
            self._end_with(request, f"a request header cannot be parsed: {error}")
            return
        self._intake.hand_over(request)
        if not self._line:
            self._share.asked()
        if not request.brings_data:
            self._hub.budget.has_finished(request)  # it may be parked for minutes
        # Busy from now on until its reply leaves, which is a sign of life.
        self._line.add(request)
        self._start_waiting()

    def _refused(self, reason: str) -> None:
        self._end_with(PendingRequest(memoryview(b""), self._share), reason)

    def _end_with(self, request: PendingRequest, reason: str) -> None:
        """The stream makes no sense from `request` on: close once what came before is answered."""
        self._line.add_last(request, reason)
        self._reply()

    @property
    def _may_start(self) -> bool:
        return not (self._writing_paused or self._mute.is_on)

    def _start_waiting(self) -> None:
        while self._may_start and (request := self._line.next_to_start()) is not None:
            if request.small is not None and self._begin_at_once(request):
                continue
            request.parse_all()
            if request.brings_data and self._hub.services.broker.quotas.is_any:
                # Before what was sent behind it begins, which would not have been read.
                charge_records(request, self._hub.services.broker.quotas)
                self._throttle(request)
            # Tasks take their first step in the order of their making: that is the order of
            # appends.
            task = asyncio.get_running_loop().create_task(self._serve(request))
            request.task = task
            self._unbegun_count += 1
            self._hub.started(task)

    def _begin_at_once(self, request: PendingRequest) -> bool:
        """False, and nothing has changed: it takes a task."""
        hub = self._hub
        broker = hub.services.broker
        # Nothing that came before it, and has to begin before it, may still have to.
        if self._unbegun_count or not self._produces.is_free or broker.quotas.is_any:
            return False
        api, frame = request.api, request.frame
        assert api is not None and api.at_once is not None and frame is not None
        try:
            begun = api.at_once.begin(request.small, frame, broker)
        except Exception as error:
            # Nothing is appended then, and a task knows how to answer of what it meets.
            log_event(logger, logging.ERROR, "request was not begun at once", error=error)
            return False
        if begun is None:
            return False
        request.frame = None
        request.begun = begun
        if begun.error is not None:
            asyncio.get_running_loop().call_soon(self._refuse, request, begun.error)
        else:
            assert begun.confirmation is not None
            hub.acknowledgements.wait(begun.confirmation, self, request, begun.patience_s)
        return True

    def _refuse(self, request: PendingRequest, error: Exception) -> None:
        if request.is_waiting:
            self.acknowledged(request, error)
            self.go_on()

    def acknowledged(self, request: PendingRequest, error: BaseException | None) -> None:
        """See Asker."""
        begun, api = request.begun, request.api
        assert begun is not None and api is not None
        if error is None:
            self._done(request, (begun.answer(),), None)
            return
        response = begun.refusal(error)
        self._hub.counts.answered(api, response)
        reply = encode_response(api.key, begun.version, begun.correlation_id, response)
        self._done(request, reply, None)

    def go_on(self) -> None:
        """See Asker."""
        self._reply()
        self._start_waiting()
        self._intake.resume_if_room()

    def _throttle(self, request: PendingRequest) -> None:
        """Its client has used more than its quota, if it has."""
        assert self._transport is not None
        if request.throttle_s and not (self._hub.stopping or self._transport.is_closing()):
            self._mute.begin(request.throttle_s, self._start_waiting)

    async def _serve(self, request: PendingRequest) -> None:
        self._unbegun_count -= 1
        reply: Sequence[Piece] = ()
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
            self._done(request, reply, close_reason)
            self.go_on()

    def _done(
        self, request: PendingRequest, reply: Sequence[Piece], close_reason: str | None
    ) -> None:
        # Those know the request: neither may keep the other.
        request.task = request.begun = None
        reply_bytes = sum(map(len, reply))
        self._hub.counts.served(request.api, request.size_bytes, reply_bytes, request.arrived_s)
        self._line.done(request, reply, reply_bytes, close_reason)
        if self._line.is_ending:
            self._intake.pause_if_full()
        leaves_at_once = not self._writing_paused and self._line.is_first(request)
        request.replied(reply_bytes, leaves_at_once=leaves_at_once)
        self._throttle(request)
        self._release(request)

    # Replies

    def _reply(self) -> None:
        """Send what is ready at the head of the line, small replies together."""
        transport = self._transport
        assert transport is not None
        leaving: list[PendingRequest] = []
        while not self._writing_paused and (request := self._line.next_to_leave()) is not None:
            if request.reply and request.close_reason is None:
                leaving.append(request)
                if len(request.reply) == 1 and len(leaving) < SENT_TOGETHER_COUNT:
                    continue
            self._send(leaving)
            leaving = []
            if request.close_reason is not None:
                self._close(request.close_reason)
            self._left(request)
        self._send(leaving)
        if not self._line:
            self._hub.idle_watch.used(self)
            if self._line.is_ending and not self._sending.is_busy:
                transport.close()

    def _send(self, requests: Sequence[PendingRequest]) -> None:
        transport = self._transport
        assert transport is not None
        # A closed transport drops what it is given, but some versions of asyncio first register its
        # dead descriptor again (gh-136234): so ask.
        if requests and not transport.is_closing():
            self._sending.send([piece for request in requests for piece in request.reply or ()])
            if self._sending.is_busy:
                self.pause_writing()
            unsent_bytes = self.unsent_bytes()
            for request in requests:
                request.sent(unsent_bytes)
        for request in requests:
            self._left(request)

    def _left(self, request: PendingRequest) -> None:
        request.has_left()
        if request.size_bytes:  # it was never served
            self._release(request)

    def _release(self, request: PendingRequest) -> None:
        """Give back the request's bytes: it is done, though perhaps not yet answered.

        Others may be called, and this connection again: nothing of ours may be half done.
        """
        size_bytes = self._line.release(request)
        if size_bytes:
            self._hub.budget.give_back(size_bytes)
        self._hub.budget.has_finished(request)

    # What others ask of it

    @property
    def owes_room(self) -> bool:
        """See Peer."""
        return self._writing_paused

    @property
    def owes_frame(self) -> bool:
        """See Peer."""
        return self._intake.is_owed

    def unsent_bytes(self) -> int:
        """Of replies, which the system has not taken."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size() + self._sending.left_bytes

    def is_sending(self) -> bool:
        """See Peer."""
        return self._intake.is_on_its_way(STALL_TIMEOUT_S)

    def stalled(self, reason: str) -> None:
        """See Peer."""
        self._abort(reason)

    # The end

    def _abort(self, reason: str) -> None:
        assert self._transport is not None
        self._hub.closings.tell(self._client_host, reason)
        self._transport.abort()

    def _let_go(self) -> None:
        """Others need the memory of replies that the peer does not take."""
        self._abort("it takes no replies, whose memory others need")

    def _close(self, reason: str) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._hub.closings.tell(self._client_host, reason)
            self._transport.close()

    def stop_reading(self) -> None:
        """Graceful stop: take nothing new; what was read is still answered."""
        self._mute.end()
        self._intake.stop()
        self._start_waiting()

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way, or what has a deadline of its own: a frame, replies."""
        return bool(self._line) or self._intake.is_inside_frame or self._writing_paused

    def close_idle(self) -> None:
        assert self._transport is not None
        log_event(logger, logging.DEBUG, "idle connection closed", client=self._client_host)
        if self.unsent_bytes():
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
            if request.is_waiting:
                self._done(request, (), "the gateway stops")
            else:
                request.cancel()
        self._reply()

    def abort(self) -> None:
        assert self._transport is not None
        self._transport.abort()
