"""A supervisor's end of the way between its coordination store and one of its workers.

A worker's leases end with its connection, which ends with its process: others take over its logs
at once, not after a lease. A worker that is there and silent for a lease is told of, since what it
has locked nobody else can open.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from contextlib import aclosing

import msgspec

from gateway.cluster.coordination import shared_wire as wire
from gateway.cluster.coordination.base import (
    CoordinationError,
    CoordinationStore,
    LeaseLost,
)

LATE_S_MAX = 1.0
"""A look at a worker that comes later than this found the supervisor standing still itself."""


class StoreLink:
    """Of one worker: `serve` until the connection ends."""

    def __init__(
        self,
        store: CoordinationStore,
        *,
        ready: Callable[[], None],
        silent: Callable[[], None],
    ) -> None:
        """`ready` is called when the worker accepts connections, `silent` when it has not been
        heard of for the life of its lease."""
        self._store = store
        self._ready = ready
        self._silent = silent
        self._leases: dict[int, int] = {}  # and how many seconds each lasts
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._alarm: asyncio.TimerHandle | None = None

    async def serve(self, link: socket.socket) -> None:
        """The socket is the link's from now on."""
        reader, writer = await asyncio.open_connection(sock=link)
        try:
            while True:
                question = wire.questions.decode(await wire.read_frame(reader))
                answer = await self._answer(question, writer)
                if answer is not None:
                    writer.write(wire.frame(answer))
                    await writer.drain()
        except (EOFError, OSError, msgspec.MsgspecError):
            pass  # it has ended, or is none of ours
        finally:
            await self._end()
            writer.close()

    async def _end(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        watches = list(self._watches.values())
        for task in watches:
            task.cancel()
        with contextlib.suppress(CoordinationError):
            for lease in self._leases:
                await self._store.revoke(lease)
        if watches:
            await asyncio.wait(watches)

    async def _answer(
        self, question: wire.Question, writer: asyncio.StreamWriter
    ) -> wire.Answer | None:
        store, number = self._store, question.number
        try:
            match question:
                case wire.Read(_, prefix):
                    return wire.Found(number, await store.read(prefix))
                case wire.Transact(_, conditions, then):
                    done = await store.transact(conditions, wire.puts_and_deletes(then))
                    return wire.Carried(number, done)
                case wire.Grant(_, ttl_s):
                    lease = await store.grant(ttl_s)
                    self._leases[lease] = ttl_s
                    self._heard(ttl_s)
                    return wire.Granted(number, lease)
                case wire.KeepAlive() | wire.Revoke():
                    await self._lease(question)
                    return wire.Well(number)
                case _:
                    self._act(question, writer)
                    return None
        except CoordinationError as error:
            return wire.failed(number, error)

    async def _lease(self, question: wire.KeepAlive | wire.Revoke) -> None:
        lease = question.lease
        if isinstance(question, wire.KeepAlive):
            if lease not in self._leases:
                raise LeaseLost(f"lease {lease} is none of this worker's")
            await self._store.keep_alive(lease)
            self._heard(self._leases[lease])
            return
        await self._store.revoke(lease)
        self._leases.pop(lease, None)
        if not self._leases and self._alarm is not None:
            self._alarm.cancel()

    def _act(
        self, question: wire.Watch | wire.Unwatch | wire.Ready, writer: asyncio.StreamWriter
    ) -> None:
        match question:
            case wire.Watch(number, prefix, after_revision):
                following = self._follow(number, prefix, after_revision, writer)
                task = asyncio.get_running_loop().create_task(following, name="a watch")
                self._watches[number] = task
                task.add_done_callback(lambda _: self._watches.pop(number, None))
            case wire.Unwatch(number):
                if (watch := self._watches.get(number)) is not None:
                    watch.cancel()
            case _:
                self._ready()

    async def _follow(
        self, number: int, prefix: str, after_revision: int, writer: asyncio.StreamWriter
    ) -> None:
        watch = self._store.watch(prefix, after_revision)
        try:
            async with aclosing(watch) as changes:
                async for some in changes:
                    writer.write(wire.frame(wire.Changed(number, some)))
                    await writer.drain()
        except CoordinationError as error:
            writer.write(wire.frame(wire.failed(number, error)))
        except OSError:
            pass  # it has ended, as `serve` sees

    def _heard(self, ttl_s: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_at(loop.time() + ttl_s, self._look, loop.time() + ttl_s, ttl_s)

    def _look(self, due_s: float, ttl_s: int) -> None:
        if asyncio.get_running_loop().time() - due_s > LATE_S_MAX:
            self._heard(ttl_s)  # all stood still, for example a suspended job of a shell
        else:
            self._silent()
