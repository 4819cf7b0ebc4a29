"""A coordination store in virtual time: latency, lost replies, times away, a past that returns.

The store is no part of any process: a call travels to it, has its effect there, and the answer
travels back, whatever becomes of the caller meanwhile; leases run out by the store's own time.
Randomness is the SimLoop's. A call that fails may have taken effect, as with a real store.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gateway.cluster.coordination.base import (
    CALL_S_MAX,
    Change,
    CoordinationError,
    Delete,
    Done,
    KeyValue,
    Put,
    Snapshot,
    StoreAway,
    Unchanged,
    Watch,
)
from gateway.cluster.coordination.static import StaticStore
from wal_core.testing.sim_loop import SimLoop

LATENCY_S_MAX = 0.05


class SimCoordination:
    """One node's way to a store that several share."""

    def __init__(self, store: StaticStore, *, lost_replies: float = 0.0) -> None:
        self._store = store
        self._lost_replies = lost_replies
        self._cuts = asyncio.Event()
        self._is_closed = False
        self.is_cut = False
        self.watch_late_s = 0.0
        """How much later than it could be what a watch brings is here."""

    def cut(self) -> None:
        """From now on nothing gets through; watches end."""
        self.is_cut = True
        self._cuts.set()

    def heal(self) -> None:
        """The way is open again, unless it was closed at this end."""
        if not self._is_closed:
            self.is_cut = False
            self._cuts = asyncio.Event()

    def end_watches(self) -> None:
        """They end, and nothing else."""
        self._cuts.set()
        self._cuts = asyncio.Event()

    def lead_to(self, store: StaticStore) -> None:
        """Another store is there from now on, at the same address."""
        self._store = store
        self.end_watches()

    async def _call(self, effect: Callable[[StaticStore], Coroutine[Any, Any, Any]]) -> Any:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        reply: asyncio.Future[Any] = loop.create_future()

        def arrive() -> None:
            if self.is_cut:
                return
            result, error = None, None
            try:
                result = at_once(effect(self._store))
            except CoordinationError as raised:
                error = raised
            if loop.rng.random() >= self._lost_replies:
                _later(loop, answer, result, error)

        def answer(result: Any, error: Exception | None) -> None:
            if self.is_cut or reply.done():
                return
            if error is None:
                reply.set_result(result)
            else:
                reply.set_exception(error)

        _later(loop, arrive)
        try:
            async with asyncio.timeout(CALL_S_MAX):
                return await reply
        except TimeoutError:
            raise StoreAway("no answer in time; it may have been carried out") from None

    async def read(self, prefix: str) -> Snapshot:
        snapshot: Snapshot = await self._call(lambda store: store.read(prefix))
        return snapshot

    async def transact(self, conditions: Sequence[Unchanged], then: Sequence[Put | Delete]) -> Done:
        done: Done = await self._call(lambda store: store.transact(conditions, then))
        return done

    async def watch(self, prefix: str, after_revision: int) -> Watch:
        loop, cuts = asyncio.get_running_loop(), asyncio.ensure_future(self._cuts.wait())
        assert isinstance(loop, SimLoop)
        try:
            await asyncio.sleep(loop.rng.random() * LATENCY_S_MAX)
            changes = self._store.watch(prefix, after_revision)
            while not (cuts.done() or self.is_cut):
                following = asyncio.ensure_future(_next(changes))
                await asyncio.wait({following, cuts}, return_when=asyncio.FIRST_COMPLETED)
                if cuts.done():
                    following.cancel()
                    await asyncio.wait({following})
                    break
                found = await following
                if self.watch_late_s:
                    await asyncio.wait({cuts}, timeout=self.watch_late_s)
                yield found
            raise StoreAway("cut from the coordination store")
        finally:
            cuts.cancel()

    async def grant(self, ttl_s: int) -> int:
        lease: int = await self._call(lambda store: store.grant(ttl_s))
        return lease

    async def keep_alive(self, lease: int) -> None:
        await self._call(lambda store: store.keep_alive(lease))

    async def revoke(self, lease: int) -> None:
        await self._call(lambda store: store.revoke(lease))

    async def close(self) -> None:
        """Of this way alone; the store is there for others."""
        self.cut()
        self._is_closed = True


def replaced(
    before: StaticStore,
    keys: Sequence[KeyValue],
    store_id: int,
    ttl_s: int,
    *,
    with_leases: bool = True,
) -> StaticStore:
    """A store that takes another's place, with these keys, as one that was restored: its revisions
    and those of the keys are lower than they were, and their leases run from now on: they are those
    of before, as in what etcd restores, or leases of which nobody knows."""
    store = StaticStore(store_id)
    store._leases_given = before._leases_given  # no two leases have the same id
    leases: dict[int, int] = {}
    for pair in keys:
        if pair.lease and pair.lease not in leases:
            if with_leases:
                store._leases_given = pair.lease - 1
            leases[pair.lease] = at_once(store.grant(ttl_s))
        put = Put(pair.key, pair.value, leases.get(pair.lease, 0))
        at_once(store.transact([], [put]))
    store._leases_given = max(store._leases_given, before._leases_given)
    return store


def _later(loop: SimLoop, act: Callable[..., None], *args: Any) -> None:
    """On the wire: a step of no process."""
    delay_s = loop.rng.random() * LATENCY_S_MAX
    loop.call_later(delay_s, act, *args, context=contextvars.Context())


def at_once(effect: Coroutine[Any, Any, Any]) -> Any:
    """The result of one of the store's methods, which never wait."""
    try:
        effect.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a store in memory waited")


async def _next(changes: Watch) -> tuple[Change, ...]:
    return await anext(changes)
