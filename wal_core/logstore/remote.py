"""A logstore behind a connection, as who asks it sees it.

One connection for all logs, made when something is asked and made again after it broke, not sooner
than a wait that doubles. Nothing is sent twice: what was under way when a connection broke, or
waits for longer than its deadline, is Unavailable, and may have been done or be done later. Who
writes a log goes on from the end that the logstore tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from wal_core.clock import Rng
from wal_core.errors import Corrupt, Invalid, Unavailable, WalError
from wal_core.format.logstore_records import Final
from wal_core.logstore import wire
from wal_core.logstore.frames import FrameReceiver
from wal_core.logstore.replica import Asker, Tail, Told, tell
from wal_core.types import Buffer

MIB = 1024 * 1024
A = TypeVar("A", bound=wire.Answer)

Dial: TypeAlias = Callable[[Callable[[], asyncio.BaseProtocol]], Awaitable[object]]
"""Make a connection for the protocol that is made then. Raises OSError."""

_logger = logging.getLogger(__name__)


def dial(host: str, port: int) -> Dial:
    """Over TCP."""

    async def connect(protocol: Callable[[], asyncio.BaseProtocol]) -> object:
        return await asyncio.get_running_loop().create_connection(protocol, host, port)

    return connect


class RemoteLimits(NamedTuple):
    """Patience, and memory."""

    connect_s: float = 5
    """Until the logstore has answered the hello."""
    answer_s: float = 10
    """Longer: a slow disk is waited for; shorter: one that hangs is noticed sooner."""
    idle_s: float = 60
    """Without a question for so long, one is asked, lest the logstore end the connection."""
    wait_first_s: float = 0.05
    wait_max_s: float = 5
    in_flight_bytes_max: int = 64 * MIB
    """Of questions without an answer: what comes on top is Unavailable at once."""


class RemoteReplica:
    """A Replica; `close` it. Errors as `Replica` says."""

    def __init__(
        self,
        name: str,
        dial: Dial,
        rng: Rng,
        *,
        cluster: str = "",
        disk: bytes = b"",
        limits: RemoteLimits | None = None,
    ) -> None:
        """`name` is for people; `disk` is which one must be there, if that is known."""
        self.name = name
        self._dial = dial
        self._rng = rng
        self._limits = limits or RemoteLimits()
        self._hello = wire.Hello(0, wire.OLDEST_VERSION, wire.NEWEST_VERSION, cluster, disk)
        self._numbers = count(1)
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self._wait_s = 0.0
        self._not_before_s = float("-inf")
        self._reason = ""
        self._is_closed = False

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def in_flight_bytes(self) -> int:
        """Of questions that were sent and have no answer."""
        return self._connection.in_flight_bytes if self._connection is not None else 0

    async def close(self) -> None:
        """What is under way is Unavailable."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        if self._connection is not None:
            self._connection.end("it was closed here")
            self._connection = None

    async def identity(self) -> tuple[bytes, str]:
        """The disk that is there, and the cluster it belongs to. Raises Unavailable, Invalid."""
        welcome = (await self._connected()).welcome
        assert welcome is not None
        return welcome.disk, welcome.cluster

    # -- Replica -------------------------------------------------------------------------------

    async def join(self, log_id: int, term: int, nonce: bytes) -> bytes:
        question = wire.Join(next(self._numbers), log_id, term, nonce)
        return (await self._ask(question, wire.Joined)).birth

    async def promise(self, asker: Asker) -> list[Tail]:
        answer = await self._ask(wire.Promise(next(self._numbers), *asker), wire.Tails)
        return wire.tails_said(asker.log_id, answer.tails)

    async def look(self, asker: Asker) -> list[Tail]:
        answer = await self._ask(wire.Look(next(self._numbers), *asker), wire.Tails)
        return wire.tails_said(asker.log_id, answer.tails)

    async def append(self, asker: Asker, stored: Buffer) -> int:
        question = wire.Append(next(self._numbers), *asker)
        return (await self._ask(question, wire.Stored, [stored])).end

    def begin_append(self, asker: Asker, stored: Buffer, told: Told) -> None:
        if self._connection is None:
            raise Unavailable(f"logstore {self.name} is not connected")
        question = wire.Append(next(self._numbers), *asker)
        self._connection.begin(question, [stored], partial(_tell_end, told))
        self._connection.send()

    async def confirm(self, asker: Asker, segment: int, count: int) -> None:
        await self._ask(wire.Confirm(next(self._numbers), *asker, segment, count), wire.Done)

    async def end(self, asker: Asker, final: Final) -> None:
        if (final.log_id, final.term) != (asker.log_id, asker.term):
            raise Invalid("a final is proposed under one's own term", log_id=asker.log_id)
        question = wire.End(next(self._numbers), *asker, final.segment, final.end, final.footer)
        await self._ask(question, wire.Done)

    async def forget(self, asker: Asker, before: int) -> None:
        await self._ask(wire.Forget(next(self._numbers), *asker, before), wire.Done)

    async def read(
        self, asker: Asker, segment: int, first: int, bytes_max: int, *, recovering: bool = False
    ) -> bytes:
        number = next(self._numbers)
        question = wire.Read(number, *asker, segment, first, bytes_max, recovering)
        connection = await self._connected()
        answer, body = await connection.ask(question, ())
        if not isinstance(answer, wire.Blocks):
            raise _unexpected(answer)
        return bytes(body)

    # -- asking --------------------------------------------------------------------------------

    async def _ask(self, question: wire.Question, kind: type[A], body: Sequence[Buffer] = ()) -> A:
        connection = self._connection or await self._connected()
        answer, _ = await connection.ask(question, body)
        if not isinstance(answer, kind):
            raise _unexpected(answer)
        return answer

    async def _connected(self) -> _Connection:
        """Raises Unavailable where it cannot be had, or cannot yet; Invalid for a logstore that
        does not want to know us."""
        if self._connection is not None:
            return self._connection
        loop = asyncio.get_running_loop()
        if self._is_closed:
            raise Unavailable(f"the connection to logstore {self.name} was closed")
        if self._connecting is None:
            if loop.time() < self._not_before_s:
                raise Unavailable(f"logstore {self.name} is away: {self._reason}")
            self._connecting = loop.create_task(self._connect(), name=f"to logstore {self.name}")
            self._connecting.add_done_callback(_heeded)
        connecting = self._connecting
        # Several may wait; those who do go on in the order in which they came.
        await asyncio.wait((connecting,))
        if connecting.cancelled():
            raise Unavailable(f"the connection to logstore {self.name} was closed")
        return connecting.result()

    def _lost(self, connection: _Connection, reason: str) -> None:
        if connection is self._connection and not self._is_closed:
            _logger.warning("the connection to logstore %s is lost: %s", self.name, reason)
            self._connection = None
            self._back_off(reason)

    def _back_off(self, reason: str) -> None:
        limits = self._limits
        self._reason = reason
        self._wait_s = min(max(limits.wait_first_s, self._wait_s * 2), limits.wait_max_s)
        # Not all who lost it come back in the same moment.
        wait_s = self._wait_s * (0.5 + self._rng.random() / 2)
        self._not_before_s = asyncio.get_running_loop().time() + wait_s

    async def _connect(self) -> _Connection:
        connection = _Connection(self.name, self._limits, self._answered, self._lost)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._dial(lambda: connection)
                answer, _ = await connection.ask(self._hello, ())
            if not isinstance(answer, wire.Welcome):
                raise _unexpected(answer)
            connection.welcome = answer
        except (OSError, TimeoutError, WalError) as error:
            reason = str(error) or f"it did not answer within {self._limits.connect_s} s"
            connection.end(reason)
            self._back_off(reason)
            if isinstance(error, Invalid):
                raise
            raise Unavailable(f"logstore {self.name} is away: {reason}") from error
        finally:
            self._connecting = None
            if connection.welcome is None:
                connection.end("it was given up")
        self._connection = connection
        return connection

    def _answered(self) -> None:
        """It works: the next wait is a short one."""
        self._wait_s = 0.0


def _unexpected(answer: wire.Answer) -> WalError:
    if isinstance(answer, wire.Failed):
        return wire.error_of(answer)
    return Corrupt(f"a logstore answered with {type(answer).__name__}")


_Reply: TypeAlias = tuple[wire.Answer, memoryview]
"""An answer and its body."""


def _tell_end(told: Told, reply: _Reply | WalError) -> None:
    if isinstance(reply, WalError):
        told(reply)
        return
    answer, _ = reply
    told(answer.end if isinstance(answer, wire.Stored) else _unexpected(answer))


class _Asked(NamedTuple):
    heard: Callable[[_Reply | WalError], None]
    count_bytes: int
    since_s: float


class _Connection(asyncio.BufferedProtocol):
    """From its beginning to its end; `reason` says why it has ended."""

    def __init__(
        self,
        name: str,
        limits: RemoteLimits,
        answered: Callable[[], None],
        lost: Callable[[_Connection, str], None],
    ) -> None:
        self.reason: str | None = None
        self.welcome: wire.Welcome | None = None
        self.in_flight_bytes = 0
        self._name = name
        self._limits = limits
        self._answered = answered
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._receiver = FrameReceiver()
        self._waiting: dict[int, _Asked] = {}  # all with the same patience, so in order of deadline
        self._out: list[Buffer] = []
        self._heard_s = self._asked_s = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        if self.reason is not None:
            self._transport.abort()
            return
        self._look()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receiver.room()

    def buffer_updated(self, nbytes: int) -> None:
        self._heard_s = self._loop.time()
        try:
            for frame in self._receiver.received(nbytes):
                answer = wire.answer_in(frame)
                asked = self._waiting.pop(answer.number, None)
                if asked is None:
                    continue  # it came too late
                self.in_flight_bytes -= asked.count_bytes
                asked.heard((answer, frame.body))
        except Corrupt as error:
            self.end(str(error))
            return
        if self._receiver.awaited_bytes:
            self._receiver.receive_large()  # we asked for it, and how large it may be
        self._answered()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.end(str(exc) if exc is not None else "the logstore has ended it")

    def end(self, reason: str) -> None:
        """All that waits is Unavailable."""
        if self.reason is None:
            self.reason = reason
            self._lost(self, reason)
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting, self.in_flight_bytes = self._waiting, {}, 0
        for asked in waiting.values():
            asked.heard(Unavailable(f"logstore {self._name} did not answer: {self.reason}"))
        self._out.clear()

    def ask(self, question: wire.Question, body: Sequence[Buffer]) -> asyncio.Future[_Reply]:
        """The question leaves at the end of this turn of the loop. Raises as `begin`."""
        future: asyncio.Future[_Reply] = self._loop.create_future()
        if not self._out:
            self._loop.call_soon(self.send)
        self.begin(question, body, partial(tell, future))
        return future

    def begin(
        self,
        question: wire.Question,
        body: Sequence[Buffer],
        heard: Callable[[_Reply | WalError], None],
    ) -> None:
        """The question leaves with the next `send`; `heard` is called once, in another turn of the
        loop. Raises Unavailable, Invalid."""
        if self.reason is not None:
            raise Unavailable(f"logstore {self._name} is away: {self.reason}")
        pieces = wire.encode(question, body)
        count_bytes = sum(map(len, pieces))
        if self.in_flight_bytes and (
            self.in_flight_bytes + count_bytes > self._limits.in_flight_bytes_max
        ):
            raise Unavailable(
                f"logstore {self._name} is slow: {self.in_flight_bytes} bytes are on their way"
            )
        self._out += pieces
        self.in_flight_bytes += count_bytes
        self._asked_s = self._loop.time()
        self._waiting[question.number] = _Asked(heard, count_bytes, self._asked_s)

    def send(self) -> None:
        """All questions that have not left."""
        out, self._out = self._out, []
        if self._transport is not None and out:
            self._transport.writelines(out)

    def _look(self) -> None:
        """Now and then: who has waited long enough?"""
        now_s, limits = self._loop.time(), self._limits
        for number, asked in list(self._waiting.items()):
            if now_s - asked.since_s < limits.answer_s:
                break
            del self._waiting[number]
            self.in_flight_bytes -= asked.count_bytes
            asked.heard(Unavailable(f"logstore {self._name} gave no answer in {limits.answer_s} s"))
            if self._heard_s <= asked.since_s:
                self.end(f"nothing came within {limits.answer_s} s")
                return
        if now_s - max(self._asked_s, self._heard_s) > limits.idle_s and self.welcome is not None:
            with contextlib.suppress(Unavailable):
                # The answer is for nobody; that none comes is told by the deadline.
                self.ask(wire.Ping(_PING_NUMBER), ()).add_done_callback(_heeded)
        self._watch = self._loop.call_later(limits.answer_s / 4, self._look)


def _heeded(future: asyncio.Future[Any]) -> None:
    """Nobody may be there any more to whom its error matters."""
    if not future.cancelled():
        future.exception()


_PING_NUMBER = 0
"""That of the hello, whose answer has come."""
