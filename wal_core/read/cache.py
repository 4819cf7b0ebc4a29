"""A bytes-bounded cache whose concurrent misses of one key share one load."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from wal_core.budgets import Room, SharedMemory
from wal_core.errors import Unavailable
from wal_core.stores.deadline import Attempts, deadline_s
from wal_core.tally import ReadTally

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LoadingCache(Generic[K, V]):
    """Least recently used values, as far as the memory goes that is shared with others; a value
    larger than all of it is never kept.

    A load belongs to the cache, not to the reader who asked first: a reader that goes away does
    not fail the others. Failures are not kept.
    """

    def __init__(
        self,
        memory: SharedMemory,
        load: Callable[[K], Awaitable[V]],
        size_bytes: Callable[[V], int],
        deadline_ms: int,
        *,
        room: Room | None = None,
        expected_bytes: Callable[[K], int] = lambda _: 0,
    ) -> None:
        self._memory = memory
        self._room = room  # for what is being loaded; None: as much as comes
        self._expected_bytes = expected_bytes
        self._load = load
        self._size_bytes = size_bytes
        self._attempts = Attempts(deadline_ms)
        self._values: OrderedDict[K, V] = OrderedDict()
        self._loads: dict[K, asyncio.Task[V]] = {}
        self.bytes_count = 0
        self.reads = ReadTally()
        memory.join(self)

    def peek(self, key: K) -> V | None:
        """The value if it is here."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
            self.reads.found_count += 1
        return value

    def knows(self, key: K) -> bool:
        """Whether it is here or on its way."""
        return key in self._values or key in self._loads

    async def get(self, key: K) -> V:
        """The value, loaded if need be. Raises what the load raises, Unavailable when late.

        A load is late after `deadline_ms` and what its bytes take (deadline.py), a reader that had
        to wait for room after twice that. The load keeps its place then: whoever asks again finds
        it further on.
        """
        value = self.peek(key)
        if value is not None:
            return value
        self.reads.missed_count += 1
        load = self._start(key)
        try:
            async with asyncio.timeout(2 * self._deadline_s(key)):
                return await asyncio.shield(load)
        except TimeoutError:
            raise self._late() from None

    def prefetch(self, key: K) -> None:
        """Start loading if it is not here and there is room for it; nobody waits."""
        if key not in self._values and (
            self._room is None or self._room.has(self._expected_bytes(key))
        ):
            self._start(key)

    def put(self, key: K, value: V) -> None:
        """Insert a value somebody else made."""
        self.forget(key)
        size = self._size_bytes(value)
        if size > self._memory.bytes_max:
            return
        self._values[key] = value
        self.bytes_count += size
        self._memory.fit()

    def forget(self, key: K) -> None:
        """Nobody will ask for it soon; one that is not here is fine."""
        old = self._values.pop(key, None)
        if old is not None:
            self.bytes_count -= self._size_bytes(old)

    def give_back(self) -> None:
        """See Holder: what was not used for longest."""
        _, evicted = self._values.popitem(last=False)
        self.bytes_count -= self._size_bytes(evicted)

    async def close(self) -> None:
        """Cancel loads and forget everything."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        self._values.clear()
        self.bytes_count = 0
        self._memory.leave(self)
        if self._room is not None:
            self._room.close()

    def _start(self, key: K) -> asyncio.Task[V]:
        task = self._loads.get(key)
        if task is None:
            task = self._loads[key] = asyncio.ensure_future(self._run(key))
            task.add_done_callback(lambda task: self._done(key, task))
        return task

    async def _run(self, key: K) -> V:
        if self._room is None:
            return await self._load_in_time(key)
        bytes_count = self._expected_bytes(key)
        await self._room.take(bytes_count)
        try:
            return await self._load_in_time(key)
        finally:
            self._room.give_back(bytes_count)

    async def _load_in_time(self, key: K) -> V:
        try:
            async with self._attempts.one():
                value = await self._load(key)
        except TimeoutError:
            raise self._late() from None
        self.put(key, value)
        return value

    def _deadline_s(self, key: K) -> float:
        bytes_count = self._attempts.flying_bytes + self._expected_bytes(key)
        return deadline_s(self._attempts.timeout_ms, bytes_count)

    def _late(self) -> Unavailable:
        return Unavailable(
            f"no answer within {self._attempts.timeout_ms:g} ms, and the time its bytes may take"
        )

    def _done(self, key: K, task: asyncio.Task[V]) -> None:
        del self._loads[key]
        if not task.cancelled():
            task.exception()  # seen: every reader may have gone away
