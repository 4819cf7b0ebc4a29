"""A worker's way to the coordination store that its supervisor holds.

One connection, made before the worker began. Its end is the end of everything: the supervisor is
gone, and there is no other. What a watch has brought and nobody has taken is bounded: past that it
ends with `Compacted`, and its reader reads everything again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeVar

import msgspec

from gateway.cluster.coordination import shared_wire as wire
from gateway.cluster.coordination.base import (
    CALL_S_MAX,
    Change,
    Compacted,
    CoordinationError,
    Delete,
    Done,
    Put,
    Snapshot,
    StoreAway,
    Unchanged,
    Watch,
)

UNTAKEN_COUNT_MAX = 10_000
"""Of changes. Larger: a loop that is busy for long reads less again; more memory."""

A = TypeVar("A", bound=wire.Answer)


class SharedStore:
    """A `CoordinationStore`; made by `join`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        gone: Callable[[], None],
        call_s_max: float,
    ) -> None:
        self._writer = writer
        self._gone = gone
        self._call_s_max = call_s_max
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[wire.Answer]] = {}
        self._watches: dict[int, _Watching] = {}
        self._is_closed = False
        loop = asyncio.get_running_loop()
        self._reading = loop.create_task(self._read_all(reader), name="shared coordination store")

    @classmethod
    async def join(
        cls,
        link: socket.socket,
        gone: Callable[[], None],
        *,
        call_s_max: float = CALL_S_MAX,
    ) -> SharedStore:
        """Over a connected socket, which is the store's from now on. `gone` is called once the
        other end is."""
        reader, writer = await asyncio.open_connection(sock=link)
        return cls(reader, writer, gone, call_s_max)

    async def read(self, prefix: str) -> Snapshot:
        return (await self._ask(wire.Read(next(self._numbers), prefix), wire.Found)).snapshot

    async def transact(self, conditions: Sequence[Unchanged], then: Sequence[Put | Delete]) -> Done:
        question = wire.Transact(next(self._numbers), list(conditions), wire.parts(then))
        return (await self._ask(question, wire.Carried)).done

    async def watch(self, prefix: str, after_revision: int) -> Watch:
        self._check()
        number = next(self._numbers)
        watching = self._watches[number] = _Watching()
        try:
            self._send(wire.Watch(number, prefix, after_revision))
            while True:
                yield await watching.next()
        finally:
            if self._watches.pop(number, None) is not None and not self._is_closed:
                self._send(wire.Unwatch(number))

    async def grant(self, ttl_s: int) -> int:
        return (await self._ask(wire.Grant(next(self._numbers), ttl_s), wire.Granted)).lease

    async def keep_alive(self, lease: int) -> None:
        await self._ask(wire.KeepAlive(next(self._numbers), lease), wire.Well)

    async def revoke(self, lease: int) -> None:
        await self._ask(wire.Revoke(next(self._numbers), lease), wire.Well)

    async def close(self) -> None:
        self._is_closed = True
        self._reading.cancel()
        await asyncio.wait((self._reading,))
        self._writer.close()

    def ready(self) -> None:
        """Tell the supervisor that this worker accepts connections."""
        if not self._is_closed:
            self._send(wire.Ready(0))

    async def _ask(self, question: wire.Question, kind: type[A]) -> A:
        self._check()
        future = asyncio.get_running_loop().create_future()
        self._waiting[question.number] = future
        try:
            async with asyncio.timeout(self._call_s_max):
                self._send(question)
                answer = await future
        except TimeoutError:
            raise StoreAway("the supervisor does not answer in time") from None
        finally:
            self._waiting.pop(question.number, None)
        if isinstance(answer, wire.Failed):
            raise wire.error_of(answer)
        if not isinstance(answer, kind):
            raise StoreAway(f"the supervisor answered with {type(answer).__name__}")
        return answer

    def _check(self) -> None:
        if self._is_closed:
            raise StoreAway("the supervisor is gone, or its coordination store closed here")

    def _send(self, question: wire.Question) -> None:
        # A few questions at a time, each waited for: nothing piles up here.
        self._writer.write(wire.frame(question))

    async def _read_all(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                self._take(wire.answers.decode(await wire.read_frame(reader)))
        except (EOFError, OSError, msgspec.MsgspecError):
            self._is_closed = True
            self._gone()
        finally:
            away = StoreAway("the supervisor is gone")
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(away)
            for watching in self._watches.values():
                watching.end(away)

    def _take(self, answer: wire.Answer) -> None:
        watching = self._watches.get(answer.number)
        if watching is None:
            future = self._waiting.get(answer.number)
            if future is not None and not future.done():
                future.set_result(answer)
        elif isinstance(answer, wire.Changed):
            watching.take(answer.changes)
        elif isinstance(answer, wire.Failed):
            watching.end(wire.error_of(answer))


class _Watching:
    """What has come for a watch, and not been taken."""

    def __init__(self) -> None:
        self._come: asyncio.Queue[tuple[Change, ...] | CoordinationError] = asyncio.Queue()
        self._is_over = False

    def take(self, changes: tuple[Change, ...]) -> None:
        if self._is_over:
            return
        self._come.put_nowait(changes)
        if self._come.qsize() > UNTAKEN_COUNT_MAX:
            self.end(Compacted("more has changed than was taken; read everything again"))

    def end(self, error: CoordinationError) -> None:
        if not self._is_over:
            self._is_over = True
            self._come.put_nowait(error)

    async def next(self) -> tuple[Change, ...]:
        come = await self._come.get()
        if isinstance(come, CoordinationError):
            raise come
        return come
