"""Readers on the way through one stream: who waits for whom, and what is loaded in all."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from wal_core import LogConfig, MemoryStore, open_store
from wal_core.config import MIB
from wal_core.read import scans
from wal_core.read.scans import HOLD_S_MAX, STALE_S, Scans
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness

WINDOW, CROWD = 100, 2


async def crowd() -> Scans:
    """Three readers at 0, 500 and 1,000, each of which has just come."""
    found = Scans(WINDOW, CROWD)
    for offset in (0, 500, 1_000):
        found.must_wait(7, offset, offset)
    return found


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_who_is_in_front_waits_until_those_behind_are_near():
    async def main() -> None:
        found = await crowd()
        assert not found.must_wait(7, 0, 0)
        waiting = asyncio.ensure_future(found.turn(7, 500, 500))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        found.moved(7, 0, 300, 300)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        found.moved(7, 300, 400, 400)
        assert await waiting is True
        assert now_s() < 0.1  # it was told, and did not look now and then

    run(main)


def test_few_readers_leave_each_other_alone():
    async def main() -> None:
        found = Scans(WINDOW, CROWD)
        for offset in (0, 1_000):
            assert not found.must_wait(7, offset, offset)
        assert not found.must_wait(8, 500, 500)  # another stream

    run(main)


def test_who_has_gone_is_not_waited_for():
    async def main() -> None:
        found = await crowd()
        assert await found.turn(7, 1_000, 1_000) is True
        assert now_s() <= 2 * STALE_S

    run(main)


@pytest.mark.parametrize("step, waits", [(1, False), (20, True)])
def test_only_who_will_be_there_soon_is_waited_for(step: int, waits: bool):
    async def main() -> None:
        found = await crowd()
        for at in range(0, 5 * step, step):
            await asyncio.sleep(0.2)
            found.must_wait(7, 500, 500)
            found.moved(7, at, at + step, at + step)
        found.must_wait(7, 1_000, 1_000)
        assert found.must_wait(7, 500, 500) is waits

    run(main)


def test_nobody_is_held_for_long():
    async def main() -> None:
        found = await crowd()

        async def come_nearer_and_nearer() -> None:
            for at in range(0, 1_000, 10):
                found.moved(7, at, at + 10, at + 10)
                await asyncio.sleep(0.1)

        behind = asyncio.ensure_future(come_nearer_and_nearer())
        others = asyncio.ensure_future(found.turn(7, 500, 500))
        assert await found.turn(7, 1_000, 1_000) is False
        assert now_s() <= HOLD_S_MAX + STALE_S
        behind.cancel()
        await asyncio.gather(others, behind, return_exceptions=True)

    run(main)


def test_of_few_streams_readers_are_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scans, "_STREAMS_MAX_COUNT", 4)

    async def main() -> None:
        found = await crowd()
        waiting = asyncio.ensure_future(found.turn(7, 1_000, 1_000))
        await asyncio.sleep(0)
        for stream in range(100, 110):
            found.moved(stream, 0, 1, 1)
        assert len(found._streams) == 4
        assert await waiting is True
        assert now_s() < STALE_S

    run(main)


def test_scattered_readers_load_a_log_at_most_twice():
    """Forty of them, of a log four times as large as the cache; each alone would load half."""
    config = dataclasses.replace(
        LogConfig.preset("object"),
        gather_ms=0,
        block_cache_bytes_max=MIB,
        tail_bytes_max=1,
    )
    count, size = 256, 16 * 1024

    async def main() -> None:
        faulty = FaultyObjectStore(MemoryStore())
        h = await Harness.open(await open_store("", "object", objects=faulty), config)
        for n in range(count):
            await h.add(0, n.to_bytes(2, "big") * (size // 2))
        faulty.calls.clear()
        faulty.latency_s = 0.02

        async def read(offset: int) -> None:
            while offset < count:
                for entry in await h.log.read(0, offset, 4 * size):
                    assert entry.base_offset == offset
                    offset += 1
                await asyncio.sleep(0.01)

        await asyncio.gather(*(read(n * 97 % count) for n in range(40)))
        assert len(faulty.calls) <= 2 * count
        await h.log.close()

    run(main)
