"""A coordination store in virtual time: latency, lost replies, times away, a past that returns.

Randomness is the SimLoop's. A call that fails may have taken effect, as with a real store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.cluster.coordination.base import (
    CALL_S_MAX,
    Change,
    Delete,
    Done,
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
        self.is_cut = False

    def cut(self) -> None:
        """From now on nothing gets through; watches end."""
        self.is_cut = True
        self._cuts.set()

    def heal(self) -> None:
        """The way is open again."""
        self.is_cut = False
        self._cuts = asyncio.Event()

    async def _way(self) -> None:
        if self.is_cut:
            await asyncio.sleep(CALL_S_MAX)
            raise StoreAway("cut from the coordination store")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        await asyncio.sleep(loop.rng.random() * LATENCY_S_MAX)

    async def _back(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        if self.is_cut or loop.rng.random() < self._lost_replies:
            await asyncio.sleep(CALL_S_MAX)
            raise StoreAway("no answer in time; it may have been carried out")
        await self._way()

    async def read(self, prefix: str) -> Snapshot:
        await self._way()
        snapshot = await self._store.read(prefix)
        await self._back()
        return snapshot

    async def transact(self, conditions: Sequence[Unchanged], then: Sequence[Put | Delete]) -> Done:
        await self._way()
        done = await self._store.transact(conditions, then)
        await self._back()
        return done

    async def watch(self, prefix: str, after_revision: int) -> Watch:
        await self._way()
        changes = self._store.watch(prefix, after_revision)
        cuts = asyncio.ensure_future(self._cuts.wait())
        try:
            while True:
                following = asyncio.ensure_future(_next(changes))
                await asyncio.wait({following, cuts}, return_when=asyncio.FIRST_COMPLETED)
                if cuts.done():
                    following.cancel()
                    await asyncio.wait({following})
                    raise StoreAway("cut from the coordination store")
                yield await following
        finally:
            cuts.cancel()

    async def grant(self, ttl_s: int) -> int:
        await self._way()
        lease = await self._store.grant(ttl_s)
        await self._back()
        return lease

    async def keep_alive(self, lease: int) -> None:
        await self._way()
        await self._store.keep_alive(lease)
        await self._back()

    async def revoke(self, lease: int) -> None:
        await self._way()
        await self._store.revoke(lease)
        await self._back()

    async def close(self) -> None:
        await self._store.close()


async def _next(changes: Watch) -> tuple[Change, ...]:
    return await anext(changes)
