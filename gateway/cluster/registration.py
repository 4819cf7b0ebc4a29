"""A node's place among the living, or a logstore's: a lease, kept alive, and a record under it.

A lease that was lost is replaced by another as soon as the store answers; whoever is told so looks
again at what it holds. Until when a lease is good is counted from before the request that renewed
it, so that nobody else sees it end sooner.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from gateway.cluster.coordination.base import CoordinationStore, LeaseLost, Put, Refused, StoreAway
from gateway.cluster.coordination.records import LogstoreRecord, NodeRecord, encode, key_of
from gateway.observe.logger import log_event

logger = logging.getLogger(__name__)

RENEWALS_COUNT = 3  # tries within the life of a lease
REFUSED_S = 10.0  # until the next try, once somebody has to look at the settings


R = TypeVar("R", bound=NodeRecord | LogstoreRecord)


class Registration(Generic[R]):
    """`run` until cancelled, then `end`."""

    def __init__(
        self,
        store: CoordinationStore,
        root: str,
        record: R,
        ttl_s: int,
        *,
        renewed: Callable[[], None],
    ) -> None:
        """`renewed` is called after every registration, the first and those after a loss."""
        self.record = record
        self._store = store
        self._key = key_of(root, record)
        self._ttl_s = ttl_s
        self._renewed = renewed
        self._lease: int | None = None
        self._good_until_s = float("-inf")
        self._hurried = asyncio.Event()
        self.revision = 0
        """Of the newest record that was written; 0: none yet."""
        self._gone_revision = 0

    @property
    def lease(self) -> int | None:
        """None while there is none known to be good."""
        is_good = asyncio.get_running_loop().time() < self._good_until_s
        return self._lease if is_good else None

    async def run(self) -> None:
        """Stay registered."""
        while True:
            pause_s = self._ttl_s / RENEWALS_COUNT
            self._hurried.clear()
            try:
                await self._renew()
            except LeaseLost:
                log_event(logger, logging.WARNING, "lease lost", node=self._name)
                self._drop_lease()
                continue
            except StoreAway as error:
                if self.lease is None:
                    log_event(logger, logging.WARNING, "node not registered", reason=error)
            except Refused as error:
                log_event(logger, logging.ERROR, "node not registered", reason=error)
                pause_s = REFUSED_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._hurried.wait()

    @property
    def _name(self) -> int | str:
        return self.record.node_id if isinstance(self.record, NodeRecord) else self.record.disk

    def hurry(self) -> None:
        """The store answers: see at once whether the lease is still good."""
        self._hurried.set()

    def gone(self, revision: int) -> None:
        """The record is not in the store as of that revision. Who took it away takes us for gone:
        from now on the lease keeps nobody from our logs, and there must be another one."""
        self._gone_revision = max(self._gone_revision, revision)
        if self.revision and self._gone_revision > self.revision:
            self._drop_lease()
            self._hurried.set()

    def forgotten(self) -> None:
        """The store is another one, or is as it was once: what was written there says nothing of
        what is there now, nor does its revision. There must be another lease."""
        self.revision = self._gone_revision = 0
        self._drop_lease()
        self._hurried.set()

    def _drop_lease(self) -> None:
        """It keeps nobody from anything any more."""
        self._lease, self._good_until_s = None, float("-inf")

    async def _renew(self) -> None:
        began_s = asyncio.get_running_loop().time()
        if self._lease is not None:
            await self._store.keep_alive(self._lease)
            self._good_until_s = began_s + self._ttl_s
            return
        lease = await self._store.grant(self._ttl_s)
        await self._write(lease)
        self._lease, self._good_until_s = lease, began_s + self._ttl_s
        self._renewed()
        self.gone(self._gone_revision)  # seen before it was known which one that was

    async def _write(self, lease: int) -> None:
        self._gone_revision = 0  # maybe of another store
        done = await self._store.transact([], [Put(self._key, encode(self.record), lease)])
        self.revision = done.revision

    async def change(self, record: R) -> None:
        """Say something else of it. Raises StoreAway, LeaseLost: then the next registration
        says it."""
        self.record = record
        if self._lease is not None:
            await self._write(self._lease)

    async def end(self) -> None:
        """Be gone at once, not only when the lease runs out; if the store answers."""
        lease = self._lease
        self._drop_lease()
        if lease is None:
            return
        try:
            await self._store.revoke(lease)
        except (StoreAway, Refused) as error:
            log_event(logger, logging.WARNING, "lease not given back", reason=error)
