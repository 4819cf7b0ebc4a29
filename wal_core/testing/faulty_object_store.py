"""An object store with latency and faults, over any other; scripted or drawn from a seed."""

from __future__ import annotations

import asyncio
import enum
import random  # noqa: TID251 - seeded, for tests
from collections.abc import Callable, Sequence
from typing import NamedTuple

from wal_core.errors import Unavailable
from wal_core.stores.objects.base import ObjectInfo, ObjectStore
from wal_core.types import Buffer

LATE_S_MAX = 0.5
"""How late a create by chance may still arrive."""


class Fault(enum.Enum):
    """What can happen to one call."""

    BEFORE = enum.auto()  # fails, nothing happened
    AFTER = enum.auto()  # fails, although it happened
    HANG = enum.auto()  # never answers, nothing happened
    HANG_AFTER = enum.auto()  # never answers, although it happened
    LATE = enum.auto()  # fails now, happens `late_s` later whatever the caller does


class Planned(NamedTuple):
    """One scripted fault: used up by the first call it matches."""

    operation: str  # method name
    key_part: str  # substring of the key or prefix
    fault: Fault
    late_s: float = 1.0


class Call(NamedTuple):
    """One call as it was made."""

    at_s: float
    operation: str
    key: str


class FaultyObjectStore:
    """Wraps `inner`. Without latency, faults and script it behaves exactly like it.

    `latency_s`: seconds per call, or a function (operation, key) -> seconds. `fault_rate`: the
    share of calls that fail by chance: before the effect, after it, or long before it. `plan`
    (a list, also to be extended while running) takes precedence.
    """

    def __init__(
        self,
        inner: ObjectStore,
        *,
        latency_s: float | Callable[[str, str], float] = 0.0,
        jitter_s: float = 0.0,
        fault_rate: float = 0.0,
        plan: Sequence[Planned] = (),
        seed: int = 0,
    ) -> None:
        self.inner = inner
        self.location = inner.location
        self.latency_s = latency_s
        self.jitter_s = jitter_s
        self.fault_rate = fault_rate
        self.plan = list(plan)
        self.calls: list[Call] = []
        self.in_flight_count = 0
        self.in_flight_max_count = 0
        self._rng = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self._late: set[asyncio.Task[None]] = set()

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        fault, late_s = await self._arrive("create", key)
        if fault is Fault.LATE:
            copy = b"".join(pieces)  # on the wire: what the caller does next cannot change it
            self._spawn_late(key, copy, late_s)
            raise Unavailable(f"planned: late create of {key}")
        await self._before(fault, key)
        await self.inner.create(key, pieces)
        await self._after(fault, key)

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        fault, _ = await self._arrive("get_range", key)
        await self._before(fault, key)
        body = await self.inner.get_range(key, start, length)
        await self._after(fault, key)
        return body

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        fault, _ = await self._arrive("list", prefix)
        await self._before(fault, prefix)
        rows = await self.inner.list(prefix, start_after)
        await self._after(fault, prefix)
        return rows

    async def size(self, key: str) -> int | None:
        fault, _ = await self._arrive("size", key)
        await self._before(fault, key)
        size = await self.inner.size(key)
        await self._after(fault, key)
        return size

    async def delete(self, *keys: str) -> None:
        fault, _ = await self._arrive("delete", keys[0] if keys else "")
        await self._before(fault, keys[0] if keys else "")
        await self.inner.delete(*keys)
        await self._after(fault, keys[0] if keys else "")

    async def close(self) -> None:
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await self.inner.close()

    def count(self, operation: str, key_part: str = "") -> int:
        """Calls made so far."""
        return sum(call.operation == operation and key_part in call.key for call in self.calls)

    async def _arrive(self, operation: str, key: str) -> tuple[Fault | None, float]:
        self.calls.append(Call(asyncio.get_running_loop().time(), operation, key))
        fault, late_s = self._pick(operation, key)
        delay_s = self.latency_s if isinstance(self.latency_s, float | int) else 0.0
        if callable(self.latency_s):
            delay_s = self.latency_s(operation, key)
        delay_s += self._rng.random() * self.jitter_s
        self.in_flight_count += 1
        self.in_flight_max_count = max(self.in_flight_max_count, self.in_flight_count)
        try:
            if delay_s > 0:
                await asyncio.sleep(delay_s)
        finally:
            self.in_flight_count -= 1
        return fault, late_s

    def _pick(self, operation: str, key: str) -> tuple[Fault | None, float]:
        for at, planned in enumerate(self.plan):
            if planned.operation == operation and planned.key_part in key:
                del self.plan[at]
                return planned.fault, planned.late_s
        if self._rng.random() < self.fault_rate:
            kinds = [Fault.BEFORE, Fault.AFTER] + [Fault.LATE] * (operation == "create")
            return self._rng.choice(kinds), self._rng.random() * LATE_S_MAX
        return None, 0.0

    async def _before(self, fault: Fault | None, key: str) -> None:
        if fault is Fault.BEFORE or fault is Fault.LATE:
            raise Unavailable(f"planned: failed before {key}")
        if fault is Fault.HANG:
            await asyncio.get_running_loop().create_future()

    async def _after(self, fault: Fault | None, key: str) -> None:
        if fault is Fault.AFTER:
            raise Unavailable(f"planned: failed after {key}")
        if fault is Fault.HANG_AFTER:
            await asyncio.get_running_loop().create_future()

    def _spawn_late(self, key: str, body: bytes, late_s: float) -> None:
        async def late() -> None:
            await asyncio.sleep(late_s)
            try:
                await self.inner.create(key, [body])
            except Exception:  # noqa: S110 - nobody waits for this answer
                pass

        task = asyncio.ensure_future(late())
        self._late.add(task)
        task.add_done_callback(self._late.discard)
