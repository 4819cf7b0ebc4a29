"""A random load that compacts, truncates, drops and deletes, and what must stay readable."""

from __future__ import annotations

import asyncio
import dataclasses
import random  # noqa: TID251 - seeded

from wal_core import LogConfig, SegmentStore
from wal_core.fsck import check_log
from wal_core.tests.harness import CountingRng, Harness

SMALL = dataclasses.replace(
    LogConfig.preset("object"),
    gather_ms=0,
    segment_blocks_max=3,
    tail_bytes_max=0,
    merge_count=3,
    sealed_block_bytes_max=300,
    sealed_object_bytes_max=1_000,
    seal_buffer_bytes_max=800,
    reference_bytes_min=250,
    dead_check_ms=0,
    garbage_grace_ms=1_000,
    fence_grace_ms=5_000,
    block_cache_bytes_max=0,
    table_cache_bytes_max=2_000,
    store_timeout_ms=30_000,  # longer than tests hold an operation up
)


class VirtualClock:
    def now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000)


class World:
    """A log under a random load, and what has to be readable."""

    def __init__(self, seed: int, config: LogConfig) -> None:
        self.rng = random.Random(seed)
        self.config = config
        self.records: dict[int, list[bytes]] = {}  # stream -> payload of every entry ever
        self.starts: dict[int, int] = {}
        self.dropped: set[int] = set()
        self.next_stream = 0
        self.h: Harness

    async def open(self, store: SegmentStore) -> None:
        self.h = await Harness.open(store, self.config, clock=VirtualClock())
        # As a user has to: say again what the log may have forgotten.
        for stream, start in self.starts.items():
            if stream in self.dropped:
                self.h.log.drop_stream(stream)
            else:
                self.h.log.truncate(stream, start)

    async def step(self) -> None:
        kind = self.rng.random()
        alive = [stream for stream in self.records if stream not in self.dropped]
        if not alive or kind < 0.03:
            self.records[self.next_stream] = []
            self.starts[self.next_stream] = 0
            self.next_stream += 1
        elif kind < 0.06:
            stream = self.rng.choice(alive)
            end = len(self.records[stream])
            self.starts[stream] = self.rng.randint(self.starts[stream], end)
            self.h.log.truncate(stream, self.starts[stream])
        elif kind < 0.07 and len(alive) > 2:
            stream = self.rng.choice(alive)
            self.dropped.add(stream)
            self.h.log.drop_stream(stream)
        else:
            await self.append(alive)

    async def append(self, alive: list[int]) -> None:
        pending = []
        for _ in range(self.rng.randint(1, 6)):
            stream = self.rng.choice(alive)
            size = self.rng.choice([1, 30, 100, 600])
            payload = bytes([self.rng.randrange(256)]) * size
            pending.append(self.h.add(stream, payload, ts=self.h.log.end_offset(stream)))
            self.records[stream].append(payload)
        for confirmation in pending:
            await confirmation

    async def check(self) -> None:
        objects = self.h.store.objects
        rate = getattr(objects, "fault_rate", 0)
        try:
            objects.fault_rate = 0  # a read is tried once: whoever asked asks again
            await self._check()
        finally:
            objects.fault_rate = rate

    async def _check(self) -> None:
        for stream, records in self.records.items():
            if stream in self.dropped:
                assert self.h.log.end_offset(stream) == 0
                continue
            assert self.h.log.start_offset(stream) == self.starts[stream]
            found = await self.h.read_all(stream)
            assert found == list(enumerate(records))[self.starts[stream] :]
            for offset in {self.starts[stream], len(records) // 2, len(records) - 1}:
                if self.starts[stream] <= offset < len(records):
                    entry = await self.h.log.find_timestamp(stream, offset)
                    assert entry is not None
                    assert entry.base_offset == offset

    async def settle(self) -> None:
        """Until all that is due has been done."""
        await self.h.log.until_quiet()
        for grace_ms in (self.config.garbage_grace_ms, self.config.fence_grace_ms):
            await asyncio.sleep(grace_ms / 1000 + 1)
            await self.h.log.until_quiet()

    async def check_sound(self) -> None:
        """Whatever a crash leaves behind: nothing is missing, nothing is there that will stay."""
        objects = self.h.store.objects
        rate = getattr(objects, "fault_rate", 0)
        objects.fault_rate = 0
        report = await check_log(self.h.store, self.config, CountingRng())
        objects.fault_rate = rate
        assert report.sound, report.findings
        for stream, records in self.records.items():
            if records and stream not in self.dropped:
                assert report.streams[stream].end_offset == len(records)

    async def check_store(self) -> None:
        report = await check_log(self.h.store, self.config, CountingRng())
        assert report.findings == []
        assert report.garbage_count == 0


async def load(world: World, store: SegmentStore, steps_count: int) -> None:
    for number in range(steps_count):
        await world.step()
        if number % 40 == 39:
            await world.check()
            restart = world.rng.random()
            if restart < 0.3:
                await world.h.log.close()
                await world.open(store)
            elif restart < 0.6:
                await world.h.crash()
                await world.check_sound()
                await world.open(store)
