"""Logstores in one process, the wires to them, and stores over them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from wal_core.clock import Rng
from wal_core.errors import Unavailable, WalError
from wal_core.format.logstore_records import Final
from wal_core.logstore.logstore import Logstore
from wal_core.logstore.replica import Asker, Tail, Told
from wal_core.logstore.tests.logstores import logstore
from wal_core.quorum.members import Candidate
from wal_core.quorum.store import QuorumSegmentStore
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.objects.memory import MemoryStore
from wal_core.testing.seeds import Random
from wal_core.tests.harness import CountingRng
from wal_core.types import Buffer


@dataclasses.dataclass
class Weather:
    """What happens to messages, on all wires."""

    rng: Random
    late_s: float = 0.0  # up to
    lost_share: float = 0.0
    again_share: float = 0.0  # arrive a second time, later


class Wire:
    """A Replica. The logstore behind it may be another one by and by, or none."""

    def __init__(self, weather: Weather) -> None:
        self.logstore: Logstore | None = None
        self.is_cut = False
        self._weather = weather
        self._again: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()

    async def join(self, log_id: int, term: int, nonce: bytes) -> bytes:
        return await self._call(lambda store: store.join(log_id, term, nonce))

    async def promise(self, asker: Asker) -> list[Tail]:
        return await self._call(lambda store: store.promise(asker))

    async def look(self, asker: Asker) -> list[Tail]:
        return await self._call(lambda store: store.look(asker))

    async def append(self, asker: Asker, stored: Buffer) -> int:
        return await self._call(lambda store: store.append(asker, stored))

    def begin_append(self, asker: Asker, stored: Buffer, told: Told) -> None:
        if self.logstore is None:
            raise Unavailable("nobody is there")

        async def ask() -> None:
            try:
                told(await self.append(asker, stored))
            except WalError as error:
                told(error)

        asking = asyncio.ensure_future(ask())
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def confirm(self, asker: Asker, segment: int, count: int) -> None:
        await self._call(lambda store: store.confirm(asker, segment, count))

    async def end(self, asker: Asker, final: Final) -> None:
        await self._call(lambda store: store.end(asker, final))

    async def forget(self, asker: Asker, before: int) -> None:
        await self._call(lambda store: store.forget(asker, before))

    async def read(
        self, asker: Asker, segment: int, first: int, bytes_max: int, *, recovering: bool = False
    ) -> bytes:
        return await self._call(
            lambda store: store.read(asker, segment, first, bytes_max, recovering=recovering)
        )

    async def _call(self, ask: Callable[[Logstore], Awaitable[Any]]) -> Any:
        weather = self._weather
        if weather.rng.random() < weather.again_share:
            again = asyncio.ensure_future(self._ask_again(ask))
            self._again.add(again)
            again.add_done_callback(self._again.discard)
        await self._travel()
        if self.logstore is None:
            raise Unavailable("nobody is there")
        # What has arrived is done, whoever waits for the reply.
        reply = await asyncio.shield(asyncio.ensure_future(ask(self.logstore)))
        await self._travel()
        return reply

    async def _travel(self) -> None:
        weather = self._weather
        if weather.late_s:
            await asyncio.sleep(weather.rng.random() * weather.late_s)
        if self.is_cut or weather.rng.random() < weather.lost_share:
            raise Unavailable("lost on the way")

    async def _ask_again(self, ask: Callable[[Logstore], Awaitable[Any]]) -> None:
        await asyncio.sleep(self._weather.rng.random() * self._weather.late_s * 20)
        if self.logstore is not None:
            await asyncio.gather(ask(self.logstore), return_exceptions=True)


class Registered:
    """Wires by the names of logstores."""

    def __init__(self) -> None:
        self.wires: dict[str, Wire] = {}

    def replica(self, store: str) -> Wire | None:
        wire = self.wires.get(store)
        return None if wire is None or wire.logstore is None else wire

    def candidates(self) -> Sequence[Candidate]:
        return [Candidate(name) for name, wire in sorted(self.wires.items()) if wire.logstore]


class Bucket(MemoryStore):
    """A bucket that nobody reaches now and then."""

    is_away = False

    def check(self) -> None:
        if self.is_away:
            raise Unavailable("the bucket is away")

    async def create(self, key: str, pieces: Any) -> None:
        self.check()
        await super().create(key, pieces)

    async def get_range(self, key: str, start: int, length: int | None) -> Any:
        self.check()
        return await super().get_range(key, start, length)

    async def list(self, prefix: str, start_after: str = "") -> Any:
        self.check()
        return await super().list(prefix, start_after)

    async def size(self, key: str) -> int | None:
        self.check()
        return await super().size(key)

    async def delete(self, *keys: str) -> None:
        self.check()
        await super().delete(*keys)


async def copied(bucket: ObjectStore) -> ObjectStore:
    """What the bucket holds at this moment, for whoever has nothing else."""
    copy = MemoryStore()
    for row in await bucket.list(""):
        await copy.create(row.key, [bytes(await bucket.get_range(row.key, 0, None))])
    return copy


class Place:
    """A bucket and logstores in folders: what outlives whoever writes. `root` is a folder, real or
    simulated."""

    def __init__(self, root: Any, *, bytes_max: int = 1 << 30, seed: int = 0) -> None:
        self.root = root
        self.bucket: ObjectStore = Bucket()
        self.registered = Registered()
        self.weather = Weather(Random(seed))
        self._bytes_max = bytes_max
        self._seed = seed * 1000
        self._disks: dict[str, str] = {}  # folders by logstore, of those that lost a disk

    async def start(self, *names: str, fresh: bool = False) -> None:
        """`fresh`: on an empty disk."""
        for name in names:
            self._seed += 1
            if fresh:
                self._disks[name] = f"{name}-{self._seed}"
            folder = self.root / self._disks.get(name, name)
            store = logstore(folder, bytes_max=self._bytes_max, seed=self._seed)
            await store.open()
            self.wire(name).logstore = store

    async def stop(self, *names: str) -> None:
        for name in names:
            wire = self.wire(name)
            store, wire.logstore = wire.logstore, None
            if store is not None:
                await store.close()

    def wire(self, name: str) -> Wire:
        return self.registered.wires.setdefault(name, Wire(self.weather))

    def held_bytes(self) -> list[int]:
        wires = self.registered.wires.values()
        return [wire.logstore.held_bytes for wire in wires if wire.logstore is not None]

    def store(self, rng: Rng | None = None) -> QuorumSegmentStore:
        return QuorumSegmentStore(self.bucket, self.registered, rng or CountingRng())

    async def close(self) -> None:
        await self.stop(*self.registered.wires)
