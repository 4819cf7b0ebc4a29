"""A coordination store in the memory of one process: for the workers of one machine, and tests.

Its owner's event loop is the only one that may call it. Time is that loop's. `compact` forgets
changes, as etcd does; there are never more than `CHANGES_COUNT_MAX` of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from gateway.cluster.coordination.base import (
    Change,
    Compacted,
    Delete,
    Done,
    KeyValue,
    LeaseLost,
    Put,
    Snapshot,
    StoreAway,
    Unchanged,
    Watch,
)

CHANGES_COUNT_MAX = 10_000
"""Larger: who watches may be away longer without reading everything again; more memory."""


class StaticStore:
    """See the module."""

    def __init__(self, store_id: int = 1) -> None:
        self._store_id = store_id
        self._revision = 1
        self._keys: dict[str, KeyValue] = {}
        self._leases: dict[int, _Lease] = {}
        self._leases_given = 0
        self._changes: deque[tuple[Change, ...]] = deque()
        self._forgotten = 1  # changes up to this revision are not known any more
        self._changed = asyncio.Event()
        self._is_closed = False

    async def read(self, prefix: str) -> Snapshot:
        self._check()
        keys = sorted(key for key in self._keys if key.startswith(prefix))
        return Snapshot(self._store_id, self._revision, tuple(self._keys[key] for key in keys))

    async def transact(self, conditions: Sequence[Unchanged], then: Sequence[Put | Delete]) -> Done:
        self._check()
        for part in then:
            if isinstance(part, Put) and part.lease and part.lease not in self._leases:
                raise LeaseLost(f"lease {part.lease} is over; register again")
        for condition in conditions:
            there = self._keys.get(condition.key)
            if condition.changed_revision != (there.changed_revision if there else 0):
                return Done(succeeded=False, revision=self._revision)
        self._apply(then)
        return Done(succeeded=True, revision=self._revision)

    def _apply(self, then: Sequence[Put | Delete]) -> None:
        revision = self._revision + 1
        changes = []
        for part in then:
            before = self._keys.get(part.key)
            if isinstance(part, Put):
                created = before.created_revision if before else revision
                self._keys[part.key] = KeyValue(part.key, part.value, created, revision, part.lease)
                changes.append(Change(part.key, part.value, revision))
            elif before is not None:
                del self._keys[part.key]
                changes.append(Change(part.key, None, revision))
        if not changes:
            return
        self._revision = revision
        self._changes.append(tuple(changes))
        if len(self._changes) > CHANGES_COUNT_MAX:
            self._forgotten = self._changes.popleft()[0].revision
        self._wake()

    async def watch(self, prefix: str, after_revision: int) -> Watch:
        if after_revision > self._revision:
            raise Compacted(f"revision {after_revision} is ahead of this store; read again")
        while True:
            self._check()
            if after_revision < self._forgotten:
                raise Compacted(f"revision {after_revision} is forgotten; read everything again")
            changed = self._changed
            for changes in list(self._changes):
                if changes[0].revision > after_revision:
                    after_revision = changes[0].revision
                    if wanted := tuple(c for c in changes if c.key.startswith(prefix)):
                        yield wanted
            if changed is self._changed:
                await changed.wait()

    async def grant(self, ttl_s: int) -> int:
        self._check()
        self._leases_given += 1
        number = self._leases_given
        self._leases[number] = _Lease(ttl_s)
        self._renew(number)
        return number

    async def keep_alive(self, lease: int) -> None:
        self._check()
        if lease not in self._leases:
            raise LeaseLost(f"lease {lease} is over; register again")
        self._renew(lease)

    def _renew(self, number: int) -> None:
        lease = self._leases[number]
        if lease.timer is not None:
            lease.timer.cancel()
        loop = asyncio.get_running_loop()
        lease.timer = loop.call_later(lease.ttl_s, self._end, number)

    async def revoke(self, lease: int) -> None:
        self._check()
        self._end(lease)

    def _end(self, number: int) -> None:
        lease = self._leases.pop(number, None)
        if lease is None:
            return
        if lease.timer is not None:
            lease.timer.cancel()
        self._apply([Delete(key) for key, kept in self._keys.items() if kept.lease == number])

    def compact(self) -> None:
        """Forget all changes; what they led to stays."""
        self._forgotten = self._revision
        self._changes.clear()

    async def close(self) -> None:
        self._is_closed = True
        for lease in self._leases.values():
            if lease.timer is not None:
                lease.timer.cancel()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _check(self) -> None:
        if self._is_closed:
            raise StoreAway("the coordination store is closed")


class _Lease:
    def __init__(self, ttl_s: int) -> None:
        self.ttl_s = ttl_s
        self.timer: asyncio.TimerHandle | None = None
