"""A bucket of the simulated world, and each process's client of it.

The bucket is not part of any process. A request travels to it, has its effect there, and the answer
travels back; the process may be paused, killed or have lost interest meanwhile, and the effect
comes all the same. Requests overtake each other. Long listings are made page by page, so what is
created meanwhile may be in a later page.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from wal_core.errors import Unavailable
from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectInfo
from wal_core.stores.objects.memory import MemoryStore
from wal_core.testing.faulty_object_store import Fault
from wal_core.testing.seeds import Random
from wal_core.testing.sim_process import Process, current_process
from wal_core.types import Buffer

PAGE_ROWS_COUNT = 10
"""So few that tests have listings of several pages."""
SENT_BEFORE_DEATH_SHARE = 0.7
"""Of the requests that a process has just made when it dies, or gives up: those on the wire."""


@dataclass(slots=True, kw_only=True)
class StoreFault:
    """What goes wrong, with which calls, how often or until when."""

    fault: Fault
    operations: frozenset[str]  # method names of ObjectStore
    key_part: str = ""
    process: str | None = None  # whose calls; None: everybody's
    skip_count: int = 0  # matching calls that still go well
    count: float = 1  # then so many do not
    until_s: float = math.inf  # by the loop's clock
    share: float = 1.0
    late_s: float = 1.0
    rng: Random | None = None

    def hits(self, call: _Call, now_s: float) -> bool:
        if self.count <= 0 or now_s > self.until_s or call.operation not in self.operations:
            return False
        if self.key_part not in call.key:
            return False
        if self.process is not None and (call.process is None or call.process.name != self.process):
            return False
        if self.rng is not None and self.rng.random() >= self.share:
            return False
        if self.skip_count > 0:
            self.skip_count -= 1
            return False
        self.count -= 1
        return True


@dataclass(slots=True)
class _Call:
    """One request on its way."""

    operation: str
    key: str
    process: Process | None
    reply: asyncio.Future[Any]
    sent: bool  # it reaches the bucket even if the process dies now
    back_s: float
    fault: Fault | None = None
    late_s: float = 0.0
    good_steps_count: int = 0  # of several, before one that fails
    done_steps_count: int = 0
    steps: list[Callable[[], Any]] = field(default_factory=list)  # the last one's result counts


class Bucket:
    """The objects, and what goes wrong on the way to them.

    `watch` is told of every effect: operation, key, outcome ("ok" or an error's name).
    """

    def __init__(self, *, latency_s: tuple[float, float] = (0.004, 0.02)) -> None:
        self.memory = MemoryStore()
        self.latency_s = latency_s  # least and typical, there and back
        self.slow: list[float] = []  # factors in force; the worst one counts
        self.faults: list[StoreFault] = []
        self.watch: Callable[[str, str, str, str], None] = lambda who, what, key, outcome: None
        self.created: Callable[[str, bytes], None] = lambda key, body: None
        self.deleted: Callable[[str], None] = lambda key: None

    @property
    def objects(self) -> dict[str, bytes]:
        return self.memory.objects

    # The effects, each in one step of the world

    def create(self, key: str, body: bytes) -> None:
        if key in self.objects:
            raise AlreadyExists(key)
        _now(self.memory.create(key, [body]))
        self.created(key, body)

    def read(self, key: str, start: int, length: int | None) -> bytes:
        return bytes(_now(self.memory.get_range(key, start, length)))

    def rows(self, prefix: str, start_after: str) -> list[ObjectInfo]:
        return list(_now(self.memory.list(prefix, start_after)))

    def size(self, key: str) -> int | None:
        size: int | None = _now(self.memory.size(key))
        return size

    def delete(self, key: str) -> None:
        _now(self.memory.delete(key))
        self.deleted(key)

    # The way there and back

    def submit(self, call: _Call, rng: Random) -> None:
        loop = asyncio.get_running_loop()
        for fault in self.faults:
            if fault.hits(call, loop.time()):
                call.fault, call.late_s = fault.fault, fault.late_s
                if call.operation in ("list", "delete"):
                    call.good_steps_count = rng.choice((0, 0, 1, 2))
                break
        least_s, typical_s = self.latency_s
        slowness = max(self.slow, default=1.0) / 2
        there_s = (least_s + rng.expovariate(1 / typical_s)) * slowness
        call.back_s = (least_s + rng.expovariate(1 / typical_s)) * slowness
        if call.fault is Fault.LATE:
            self._later(there_s, self._answer, call, None, _failure(call))
            there_s += call.late_s
        self._later(there_s, self._arrive, call)

    def _arrive(self, call: _Call) -> None:
        process = call.process
        unwanted = call.reply.cancelled() or (process is not None and not process.alive)
        if unwanted and not call.sent:
            return
        if call.fault is Fault.HANG:
            self._tell(call, "hangs before")
            return
        if call.fault is Fault.BEFORE and call.good_steps_count <= 0:
            self._tell(call, "fails halfway" if call.done_steps_count else "fails before")
            self._later(call.back_s, self._answer, call, None, _failure(call))
            return
        result, error = None, None
        try:
            call.good_steps_count -= 1
            result = call.steps.pop(0)()
            call.done_steps_count += 1
        except (AlreadyExists, NotFound, AssertionError) as raised:
            error = raised
        if call.steps and error is None:
            self._later(call.back_s, self._arrive, call)  # the next page
            return
        outcome = type(error).__name__ if error else "ok"
        if call.fault is Fault.LATE:
            self._tell(call, f"late {outcome}")
        elif call.fault is Fault.HANG_AFTER:
            self._tell(call, f"{outcome}, then hangs")
        elif call.fault in (Fault.AFTER, Fault.BEFORE):
            self._tell(call, f"{outcome}, then fails")
            self._later(call.back_s, self._answer, call, None, _failure(call))
        else:
            self._tell(call, outcome)
            self._later(call.back_s, self._answer, call, result, error)

    def _answer(self, call: _Call, result: Any, error: BaseException | None) -> None:
        if call.reply.done():
            return
        if error is None:
            call.reply.set_result(result)
        else:
            call.reply.set_exception(error)

    def _tell(self, call: _Call, outcome: str) -> None:
        who = "?" if call.process is None else call.process.name
        self.watch(who, call.operation, call.key, outcome)

    def _later(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(delay_s, act, *args, context=contextvars.Context())


class BucketClient:
    """An ObjectStore: one process's way to the bucket."""

    def __init__(self, bucket: Bucket, rng: Random) -> None:
        self.location = "sim:"
        self._bucket = bucket
        self._rng = rng

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        body = b"".join(pieces)
        process = current_process()

        def effect() -> None:
            # Real clients read the caller's buffers until the request is over.
            assert not (process is None or process.alive) or b"".join(pieces) == body, (
                f"the buffers of {key} changed while they were being sent"
            )
            self._bucket.create(key, body)

        await self._call("create", key, effect)

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        body: bytes = await self._call(
            "get_range", key, lambda: self._bucket.read(key, start, length)
        )
        return body

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        found: list[ObjectInfo] = []

        def page() -> list[ObjectInfo]:
            last = found[-1].key if found else start_after
            rows = self._bucket.rows(prefix, last)
            found.extend(rows[:PAGE_ROWS_COUNT])
            if len(rows) > PAGE_ROWS_COUNT:
                call.steps.append(page)
            return found

        call = self._prepare("list", prefix, page)
        rows: list[ObjectInfo] = await self._send(call)
        return rows

    async def size(self, key: str) -> int | None:
        size: int | None = await self._call("size", key, lambda: self._bucket.size(key))
        return size

    async def delete(self, *keys: str) -> None:
        """After an error some may be left: each is a step of its own."""
        if keys:
            call = self._prepare("delete", keys[0], lambda: self._bucket.delete(keys[0]))
            call.steps += [partial(self._bucket.delete, key) for key in keys[1:]]
            await self._send(call)

    async def close(self) -> None:
        """Nothing to release."""

    async def _call(self, operation: str, key: str, effect: Callable[[], Any]) -> Any:
        return await self._send(self._prepare(operation, key, effect))

    def _prepare(self, operation: str, key: str, effect: Callable[[], Any]) -> _Call:
        reply = asyncio.get_running_loop().create_future()
        sent = self._rng.random() < SENT_BEFORE_DEATH_SHARE
        return _Call(operation, key, current_process(), reply, sent, 0.0, steps=[effect])

    async def _send(self, call: _Call) -> Any:
        if call.process is None or call.process.alive:
            self._bucket.submit(call, self._rng)
        return await call.reply


def _failure(call: _Call) -> Unavailable:
    return Unavailable(f"planned: {call.operation} of {call.key}")


def _now(effect: Any) -> Any:
    """The result of one of the memory store's methods, which never wait."""
    try:
        effect.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a memory store waited")
