"""A logstore as others reach it: a connection each, questions in, answers out as they are ready.

Blocks are taken without a task each, and share the logstore's syncs; what a connection has to say
in a turn of the loop leaves in one write. Who sends more than may be under way is not read from
until answers have left. Every wait has a deadline, after which the connection ends: who asked knows
nothing then, and asks again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, cast

from wal_core.errors import Corrupt, Invalid, Unavailable, WalError
from wal_core.format.logstore_records import Final
from wal_core.logstore import wire
from wal_core.logstore.frames import Frame, FrameReceiver
from wal_core.logstore.logstore import Logstore
from wal_core.types import Buffer

MIB = 1024 * 1024
READ_BYTES_MAX = 8 * MIB
"""Of one answer, as long as it is more than one block."""

_logger = logging.getLogger(__name__)


class ServiceLimits(NamedTuple):
    """What connections may take of the process."""

    connections_max_count: int = 256
    connection_bytes_max: int = 32 * MIB
    """Of questions that were read and whose answers have not left. One is read in any case."""
    bytes_max: int = 256 * MIB
    """Of all connections together."""
    questions_max_count: int = 1_000
    """Of one connection, that were read and are not answered."""
    hello_s: float = 10
    idle_s: float = 600
    """Nothing is under way and nothing comes."""
    frame_s: float = 30
    """From a frame's begin to its end, and until a peer takes an answer."""


class Service:
    """Of one logstore; `connection` for each that comes, then `close`."""

    def __init__(self, store: Logstore, limits: ServiceLimits | None = None) -> None:
        self.store = store
        self.limits = limits or ServiceLimits()
        self.used_bytes = 0
        """Of questions under way, over all connections."""
        self.refused_count = 0
        """Of connections, for there were too many."""
        self._connections: set[LogstoreConnection] = set()
        self._waiting: dict[LogstoreConnection, None] = {}

    @property
    def connections_count(self) -> int:
        return len(self._connections)

    def connection(self) -> LogstoreConnection:
        """The protocol of one more peer."""
        return LogstoreConnection(self)

    async def close(self) -> None:
        """End all connections; what was asked for goes on in the logstore."""
        tasks = [task for connection in self._connections for task in connection.tasks]
        for connection in tuple(self._connections):
            connection.abort()
        if tasks:
            await asyncio.wait(tasks)

    # -- for connections -------------------------------------------------------------------------

    def admit(self, connection: LogstoreConnection) -> bool:
        if len(self._connections) >= self.limits.connections_max_count:
            self.refused_count += 1
            return False
        self._connections.add(connection)
        return True

    def gone(self, connection: LogstoreConnection) -> None:
        self._connections.discard(connection)

    def has_room(self, count_bytes: int) -> bool:
        """One that is alone may be larger than all room."""
        return not self.used_bytes or self.used_bytes + count_bytes <= self.limits.bytes_max

    def wait(self, connection: LogstoreConnection) -> None:
        """It is called once there is room again."""
        self._waiting[connection] = None

    def use(self, count_bytes: int) -> None:
        """Or, below zero, give back."""
        self.used_bytes += count_bytes
        if count_bytes < 0 and self._waiting and self.has_room(0):
            waiting, self._waiting = self._waiting, {}
            for connection in waiting:
                asyncio.get_running_loop().call_soon(connection.go_on)


class LogstoreConnection(asyncio.BufferedProtocol):
    """The logstore's end."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.store
        self._limits = service.limits
        self._receiver = FrameReceiver()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._cluster: str | None = None  # None: it has not said hello
        self._out: list[Buffer] = []
        self._unheeded: deque[Frame] = deque()  # for want of room; no more than came at a stretch
        self.tasks: set[asyncio.Task[None]] = set()
        self._unstarted_count = 0
        self._asked_count = 0  # and not answered
        self._used_bytes = 0
        self._reserved_bytes = 0  # for a large frame that is coming
        self._is_paused = self._is_full = False
        self._heard_s = self._taken_s = self._loop.time()
        self._frame_since_s: float | None = None
        self._watch: asyncio.TimerHandle | None = None

    # -- the transport's calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        if not self._service.admit(self):
            self._transport.abort()
            return
        self._look()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receiver.room()

    def buffer_updated(self, nbytes: int) -> None:
        self._heard_s = self._loop.time()
        try:
            frames = self._receiver.received(nbytes)
        except Corrupt as error:
            self._give_up(str(error))
            return
        if frames:
            self._unheeded += frames
            if self._reserved_bytes:
                self._service.use(-self._reserved_bytes)
                self._reserved_bytes = 0
        if self._receiver.is_within_frame:
            if frames or self._frame_since_s is None:
                self._frame_since_s = self._heard_s
        else:
            self._frame_since_s = None
        self.go_on()

    def pause_writing(self) -> None:
        self._is_full = True
        self._taken_s = self._loop.time()
        self.go_on()

    def resume_writing(self) -> None:
        self._is_full = False
        self.go_on()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._watch is not None:
            self._watch.cancel()
        self._service.use(-self._used_bytes - self._reserved_bytes)
        self._used_bytes = self._reserved_bytes = 0
        self._out.clear()
        self._unheeded.clear()
        for task in self.tasks:
            task.cancel()
        self._service.gone(self)

    def abort(self) -> None:
        """At once, with whatever was not sent."""
        if self._transport is not None:
            self._transport.abort()

    # -- how much is read ----------------------------------------------------------------------

    def go_on(self) -> None:
        """Heed what has come and read on, as far as there is room; else wait for it."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            while self._unheeded and self._has_room(0):
                self._heed(self._unheeded.popleft())
        except Corrupt as error:
            self._give_up(str(error))
            return
        awaited = self._receiver.awaited_bytes
        if not self._unheeded and (self._reserved_bytes or self._has_room(awaited)):
            if awaited:
                self._reserved_bytes = awaited
                self._service.use(awaited)
                self._receiver.receive_large()
            if self._is_paused:
                self._is_paused = False
                transport.resume_reading()
        elif not self._is_paused:
            self._is_paused = True
            transport.pause_reading()

    def _has_room(self, count_bytes: int) -> bool:
        """If only others' answers are in the way, it is called back."""
        if (
            self._is_full
            or self._asked_count >= self._limits.questions_max_count
            or self._used_bytes >= self._limits.connection_bytes_max
        ):
            return False
        if not self._service.has_room(count_bytes):
            self._service.wait(self)
            return False
        return True

    def _look(self) -> None:
        """Ends what waits too long; now and then."""
        now_s, limits = self._loop.time(), self._limits
        if self._cluster is None and now_s - self._heard_s > limits.hello_s:
            self._give_up("no hello came in time")
        elif self._is_full and now_s - self._taken_s > limits.frame_s:
            self._give_up("answers are not taken")
        elif (
            self._frame_since_s is not None
            and not self._is_paused
            and now_s - self._frame_since_s > limits.frame_s
        ):
            self._give_up("a frame did not end in time")
        elif not self._asked_count and now_s - self._heard_s > limits.idle_s:
            self._give_up("nothing came for long", level=logging.DEBUG)
        else:
            wait_s = min(limits.hello_s, limits.frame_s, limits.idle_s) / 4
            self._watch = self._loop.call_later(wait_s, self._look)

    def _give_up(self, why: str, *, level: int = logging.WARNING) -> None:
        transport = self._transport
        if transport is not None:
            peer = transport.get_extra_info("peername")
            _logger.log(level, "the connection of %s to a logstore is ended: %s", peer, why)
            transport.abort()

    # -- questions -----------------------------------------------------------------------------

    def _heed(self, frame: Frame) -> None:
        question = wire.question_in(frame)
        cost_bytes = frame.total_bytes
        if isinstance(question, wire.Read):
            cost_bytes += min(question.bytes_max, READ_BYTES_MAX)
        self._asked_count += 1
        self._used_bytes += cost_bytes
        self._service.use(cost_bytes)
        if self._cluster is None:
            self._greet(question, cost_bytes)
        elif isinstance(question, wire.Append):
            if self._unstarted_count:
                # What came before takes its first step in the loop's order; so must this.
                self._loop.call_soon(self._append, question, frame)
            else:
                self._append(question, frame)
        elif isinstance(question, wire.Ping):
            self._answer(wire.Done(question.number), cost_bytes)
        else:
            self._unstarted_count += 1
            task = self._loop.create_task(self._serve(question, cost_bytes))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _greet(self, question: wire.Question, cost_bytes: int) -> None:
        if not isinstance(question, wire.Hello):
            raise Corrupt("the first question is no hello")
        version = min(question.newest, wire.NEWEST_VERSION)
        identity = self._store.identity
        try:
            if version < max(question.oldest, wire.OLDEST_VERSION):
                raise Invalid(
                    f"versions {question.oldest} to {question.newest} are spoken there, "
                    f"{wire.OLDEST_VERSION} to {wire.NEWEST_VERSION} here"
                )
            if question.disk not in (b"", identity.disk):
                raise Unavailable("another disk than the one that is wanted is at this address")
            self._store.check_cluster(question.cluster)
        except WalError as error:
            self._answer(wire.failed(question.number, error), cost_bytes)
            return
        self._cluster = question.cluster
        self._answer(
            wire.Welcome(question.number, version, identity.disk, identity.cluster), cost_bytes
        )

    def _append(self, question: wire.Append, frame: Frame) -> None:
        cost_bytes = frame.total_bytes
        told = partial(self._appended, question.number, cost_bytes)
        try:
            self._store.begin_append(question.asker, frame.body, told)
        except WalError as error:
            self._appended(question.number, cost_bytes, error)

    def _appended(self, number: int, cost_bytes: int, end: int | WalError) -> None:
        if isinstance(end, WalError):
            self._answer(wire.failed(number, end), cost_bytes)
        else:
            self._answer(wire.Stored(number, end), cost_bytes)

    async def _serve(self, question: wire.Question, cost_bytes: int) -> None:
        self._unstarted_count -= 1
        body: bytes = b""
        try:
            if isinstance(question, wire.Read):
                body = await self._read(question)
                answer: wire.Answer = wire.Blocks(question.number)
            else:
                answer = await _SERVED[type(question)](self, question)
        except WalError as error:
            answer = wire.failed(question.number, error)
        self._answer(answer, cost_bytes, body)

    async def _join(self, question: wire.Join) -> wire.Answer:
        assert self._cluster is not None
        await self._store.belong_to(self._cluster)
        birth = await self._store.join(question.log, question.term, question.nonce)
        return wire.Joined(question.number, birth)

    async def _promise(self, question: wire.Promise) -> wire.Answer:
        tails = await self._store.promise(question.asker)
        return wire.Tails(question.number, wire.say_tails(tails))

    async def _look_at(self, question: wire.Look) -> wire.Answer:
        tails = await self._store.look(question.asker)
        return wire.Tails(question.number, wire.say_tails(tails))

    async def _confirm(self, question: wire.Confirm) -> wire.Answer:
        await self._store.confirm(question.asker, question.segment, question.count)
        return wire.Done(question.number)

    async def _end(self, question: wire.End) -> wire.Answer:
        asker = question.asker
        final = Final(
            asker.log_id, question.segment, asker.term, question.end, bytes(question.footer)
        )
        await self._store.end(asker, final)
        return wire.Done(question.number)

    async def _forget(self, question: wire.Forget) -> wire.Answer:
        await self._store.forget(question.asker, question.before)
        return wire.Done(question.number)

    async def _read(self, question: wire.Read) -> bytes:
        return await self._store.read(
            question.asker,
            question.segment,
            question.first,
            min(question.bytes_max, READ_BYTES_MAX),
            recovering=question.recovering,
        )

    async def _hello(self, question: wire.Hello) -> wire.Answer:
        return wire.failed(question.number, Invalid("hello was said before"))

    # -- answers -------------------------------------------------------------------------------

    def _answer(self, answer: wire.Answer, cost_bytes: int, body: bytes = b"") -> None:
        if self._transport is None:
            return
        if not self._out:
            self._loop.call_soon(self._send)
        try:
            self._out += wire.encode(answer, [body] if body else ())
        except Invalid as error:  # more than a frame may hold: of one block, or of many footers
            self._out += wire.encode(wire.failed(answer.number, error))
        self._asked_count -= 1
        self._used_bytes -= cost_bytes
        self._service.use(-cost_bytes)

    def _send(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(out)
            if self._is_paused:
                self.go_on()  # what was answered left room


_SERVED: dict[type[wire.Question], Callable[[Any, Any], Awaitable[wire.Answer]]] = {
    wire.Hello: LogstoreConnection._hello,
    wire.Join: LogstoreConnection._join,
    wire.Promise: LogstoreConnection._promise,
    wire.Look: LogstoreConnection._look_at,
    wire.Confirm: LogstoreConnection._confirm,
    wire.End: LogstoreConnection._end,
    wire.Forget: LogstoreConnection._forget,
}
