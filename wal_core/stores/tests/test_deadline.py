"""Deadlines that grow with the bytes that are on their way."""

from __future__ import annotations

import asyncio

import pytest

from wal_core import LogConfig, MemoryStore, Unavailable, open_store
from wal_core.budgets import SharedMemory
from wal_core.config import MIB
from wal_core.read.cache import LoadingCache
from wal_core.stores.deadline import BYTES_PER_S_MIN, Attempts, deadline_s, expect
from wal_core.stores.objects.base import ObjectInfo
from wal_core.stores.persistence import Persistence
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng, Harness
from wal_core.types import Buffer


class SlowLine(MemoryStore):
    """A store whose requests share a line: what they move passes one after the other."""

    def __init__(self, bytes_per_s: float) -> None:
        super().__init__()
        self.bytes_per_s = bytes_per_s
        self._free_at_s = 0.0

    async def create(self, key: str, pieces: list[Buffer]) -> None:
        await self._pass(sum(map(len, pieces)))
        await super().create(key, pieces)

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        found = await super().get_range(key, start, length)
        await self._pass(len(found))
        return found

    async def list(self, prefix: str, start_after: str = "") -> list[ObjectInfo]:
        return [*await super().list(prefix, start_after)]

    async def _pass(self, bytes_count: int) -> None:
        loop = asyncio.get_running_loop()
        begun_s = self._free_at_s = max(self._free_at_s, loop.time())
        self._free_at_s += bytes_count / self.bytes_per_s
        try:
            await asyncio.sleep(self._free_at_s - loop.time())
        except asyncio.CancelledError:
            # The rest of a request that was given up does not pass.
            left_s = self._free_at_s - max(begun_s, loop.time())
            self._free_at_s -= max(0.0, min(left_s, bytes_count / self.bytes_per_s))
            raise


def test_blocks_pass_a_slow_line_however_large_and_however_many():
    """1 MB/s: a block of 8 MiB takes 8 s, eight at once a minute, and back again."""

    async def main() -> None:
        objects = SlowLine(1e6)
        config = LogConfig.preset("object")
        config = LogConfig(
            block_bytes_max=config.block_bytes_max,
            flushes_in_flight_max_count=8,
            gather_bytes=0,
            tail_bytes_max=0,
            store_timeout_ms=5_000,
        )
        store = await open_store("", "object", objects=objects)
        h = await Harness.open(store, config)
        block = bytes(8 * MIB)
        h.state.confirmed = lambda ends: None
        futures = [h.log.append(1, n, 1, -1, block) for n in range(8)]
        async with asyncio.timeout(600):
            await asyncio.gather(*futures)
            found = [await h.log.read(1, n, 1) for n in range(8)]
        assert all(entries[0].payload == block for entries in found)
        await h.crash()

    run(main)


def test_an_attempt_that_moves_nothing_has_its_plain_deadline():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        attempts = Attempts(1_000)
        begun_s = loop.time()
        with pytest.raises(TimeoutError):
            async with attempts.one():
                await loop.create_future()
        assert loop.time() - begun_s == pytest.approx(1.0)

    run(main)


def test_who_shares_a_line_waits_for_the_others_too():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        attempts = Attempts(1_000)

        async def hang(bytes_count: int) -> float:
            begun_s = loop.time()
            with pytest.raises(TimeoutError):
                async with attempts.one():
                    expect(bytes_count)
                    await loop.create_future()
            return loop.time() - begun_s

        first, second = await asyncio.gather(hang(BYTES_PER_S_MIN), hang(BYTES_PER_S_MIN))
        assert (first, second) == pytest.approx((2.0, 3.0))
        assert attempts.flying_bytes == 0

    run(main)


def test_bytes_are_counted_for_every_attempt_they_are_part_of():
    """A load of a cache that is asked for within a deadline of somebody else's."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def load(key: int) -> bytes:
            expect(key)
            await asyncio.sleep(deadline_s(0, key))
            return b""

        cache = LoadingCache(SharedMemory(0), load, len, 1_000, expected_bytes=lambda key: key)
        persist = Persistence(LogConfig(store_timeout_ms=1_000), CountingRng())
        begun_s = loop.time()
        await persist(lambda: cache.get(10 * BYTES_PER_S_MIN))
        assert loop.time() - begun_s == pytest.approx(10.0)

    run(main)


def test_a_store_that_hangs_is_given_up_after_what_the_bytes_would_take():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        persist = Persistence(LogConfig(store_timeout_ms=1_000), CountingRng(), patience_s=0)

        async def hang() -> None:
            expect(2 * BYTES_PER_S_MIN)
            await loop.create_future()

        begun_s = loop.time()
        with pytest.raises(Unavailable, match="no answer within 3 s"):
            await persist(hang)
        assert loop.time() - begun_s == pytest.approx(3.0)

    run(main)


def test_what_is_told_when_an_attempt_is_over_changes_nothing():
    async def main() -> None:
        attempts = Attempts(1_000)
        expect(5)
        async with attempts.one():
            late = asyncio.get_running_loop().create_task(_later(attempts))
        await late
        assert attempts.flying_bytes == 0

    async def _later(attempts: Attempts) -> None:
        await asyncio.sleep(1)
        expect(5)

    run(main)
