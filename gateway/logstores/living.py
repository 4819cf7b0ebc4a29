"""The logstores that are alive, as etcd says, and the ways to them.

What was last known stays while etcd is away: a logstore that does not answer is noticed where it is
asked. A way is kept for as long as its connection lasts, also after the logstore's lease has run
out; one that comes back at another address gets another way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TypeAlias

from gateway.cluster.coordination.base import Compacted, CoordinationError, CoordinationStore
from gateway.cluster.coordination.opening import open_store
from gateway.cluster.coordination.records import (
    LogstoreRecord,
    UnreadableRecord,
    decode,
    logstores_root,
)
from gateway.observe.logger import log_event
from gateway.settings.config import Config
from wal_core import Candidate, Dial, Logstores, RemoteReplica, Rng, dial

logger = logging.getLogger(__name__)

AGAIN_S = 0.5  # after etcd was lost
FIRST_LOOK_S = 10.0
"""For so long a start waits for etcd; then it goes on, and whoever wants a logstore waits."""


Reach: TypeAlias = Callable[[str], Awaitable[Logstores]]
"""The logstores, for a cluster."""


@asynccontextmanager
async def reached_as_set(config: Config, rng: Rng) -> AsyncIterator[Reach]:
    """By the etcd that the settings name, until the end of the block. Raises ConfigError."""
    coordination = open_store(config)
    living: list[LivingLogstores] = []

    async def reach(cluster: str) -> Logstores:
        found = LivingLogstores(coordination, config.etcd_prefix, cluster, rng)
        living.append(found)
        await found.start()
        return found

    try:
        yield reach
    finally:
        for one in living:
            await one.close()
        await coordination.close()


class LivingLogstores:
    """`start`, then what `Logstores` says, then `close`."""

    def __init__(
        self,
        store: CoordinationStore,
        prefix: str,
        cluster: str,
        rng: Rng,
        *,
        dial: Callable[[str, int], Dial] = dial,
    ) -> None:
        self.records: dict[str, LogstoreRecord] = {}
        """By disk: those that are registered, whoever they belong to."""
        self._store = store
        self._root = logstores_root(prefix)
        self._prefix = f"{self._root}logstores/"
        self._cluster = cluster
        self._rng = rng
        self._dial = dial
        self._ways: dict[str, tuple[tuple[str, int], RemoteReplica]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._seen = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once etcd has told, or does not for long."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._follow(), name="living logstores")
        try:
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._seen.wait()
        except TimeoutError:
            pass  # it was logged

    async def close(self) -> None:
        """What is under way is Unavailable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        ways, self._ways = self._ways, {}
        await asyncio.gather(*(way.close() for _, way in ways.values()), *self._closing)

    # -- Logstores -------------------------------------------------------------------------

    def replica(self, store: str) -> RemoteReplica | None:
        """The way to one that is registered."""
        record = self.records.get(store)
        if record is None:
            return None
        address = (record.host, record.port)
        known = self._ways.get(store)
        if known is not None and known[0] == address:
            return known[1]
        if known is not None:
            self._end(known[1])
        way = RemoteReplica(
            f"{record.host}:{record.port}",
            self._dial(*address),
            self._rng,
            cluster=self._cluster,
            disk=bytes.fromhex(store),
        )
        self._ways[store] = (address, way)
        return way

    def candidates(self) -> Sequence[Candidate]:
        """Those that belong to this cluster or to none yet and have room, the emptiest first."""
        free = [
            record
            for record in self.records.values()
            if record.cluster in ("", self._cluster) and not record.is_full
        ]
        free.sort(key=lambda record: (_share(record), record.logs_count, record.disk))
        return [Candidate(record.disk, record.rack or "") for record in free]

    # -- etcd ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        is_told = False
        while True:
            try:
                await self._see()
            except Compacted:
                continue
            except CoordinationError as error:
                if not is_told or self._seen.is_set():
                    reason = str(error)
                    log_event(logger, logging.WARNING, "logstores not followed", reason=reason)
                is_told = True
            await asyncio.sleep(AGAIN_S)

    async def _see(self) -> None:
        snapshot = await self._store.read(self._prefix)
        found = [self._record(pair.key, pair.value) for pair in snapshot.keys]
        self.records = {record.disk: record for record in found if record is not None}
        self._forget()
        self._seen.set()
        async with aclosing(self._store.watch(self._prefix, snapshot.revision)) as changes:
            async for some in changes:
                for change in some:
                    disk = change.key.removeprefix(self._prefix)
                    self.records.pop(disk, None)
                    if change.value is None:
                        continue
                    record = self._record(change.key, change.value)
                    if record is not None:
                        self.records[disk] = record
                self._forget()

    def _record(self, key: str, value: bytes) -> LogstoreRecord | None:
        try:
            record = decode(self._root, key, value)
            if isinstance(record, LogstoreRecord):
                bytes.fromhex(record.disk)
                return record
            problem = f"{key} is no logstore"
        except (UnreadableRecord, ValueError) as error:
            problem = str(error)
        log_event(logger, logging.WARNING, "coordination record left out", reason=problem)
        return None

    def _forget(self) -> None:
        """The ways that lead nowhere any more."""
        for disk in self._ways.keys() - self.records.keys():
            if not self._ways[disk][1].is_connected:
                self._end(self._ways.pop(disk)[1])

    def _end(self, way: RemoteReplica) -> None:
        task = asyncio.get_running_loop().create_task(way.close(), name="end of a way")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _share(record: LogstoreRecord) -> float:
    """Of it that is taken, in tenths: smaller differences say nothing."""
    return round(record.held_bytes / record.bytes_max, 1) if record.bytes_max else 0.0
