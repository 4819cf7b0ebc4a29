"""Blocks are looked at on the disk, slowly; what is damaged is told once, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from wal_core.logstore.logstore import Logstore
from wal_core.logstore.replica import Asker
from wal_core.logstore.scrub import Scrub
from wal_core.logstore.tests.logstores import LOG, block, logstore, opened_by_a
from wal_core.testing.seeds import stream
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_system import installed

Main = Callable[[Logstore, Asker, Any], Awaitable[None]]


def with_logstore(main: Main) -> None:
    async def whole(root: Any) -> None:
        store = logstore(root)
        await main(store, await opened_by_a(store), root)
        await store.close()

    with installed(Disk(stream(1, "disk"))) as path:
        run(lambda: whole(path("/data")))


async def round_of(scrub: Scrub) -> float:
    """How long it took."""
    loop = asyncio.get_running_loop()
    before_s, count = loop.time(), scrub.rounds_count
    scrubbing = asyncio.ensure_future(scrub.run())
    while scrub.rounds_count == count:
        await asyncio.sleep(0.1)
    scrubbing.cancel()
    await asyncio.wait((scrubbing,))
    return loop.time() - before_s


def test_all_blocks_are_looked_at_at_a_bounded_rate():
    async def main(store: Logstore, a: Asker, _: Any) -> None:
        for number in range(30):
            await store.append(a, block(number, payload=bytes(5_000)))
        await store.append(a, block(0, segment=1))
        scrub = Scrub(store, bytes_per_s=10_000)
        took_s = await round_of(scrub)
        assert scrub.looked_bytes == store.held_bytes
        assert not scrub.damaged
        assert store.held_bytes / 10_000 <= took_s <= store.held_bytes / 10_000 + 2

    with_logstore(main)


def test_damage_is_told_once_counted_and_forgotten_with_its_segment(
    caplog: pytest.LogCaptureFixture,
):
    async def main(store: Logstore, a: Asker, root: Any) -> None:
        for segment in range(2):
            for number in range(3):
                await store.append(a, block(number, segment=segment))
        path = root / str(LOG) / f"{0:020d}.seg"
        inode = path.disk.find(path)
        scrub = Scrub(store)
        await round_of(scrub)
        assert not scrub.damaged
        inode.content[len(block(0)) + 90] ^= 1
        await round_of(scrub)
        await round_of(scrub)
        assert scrub.damaged == {(LOG, 0, 1)}
        assert caplog.text.count("is damaged") == 1
        await store.forget(a, 1)
        await round_of(scrub)
        assert not scrub.damaged

    with_logstore(main)


def test_what_is_forgotten_meanwhile_is_no_damage():
    async def main(store: Logstore, a: Asker, _: Any) -> None:
        for segment in range(3):
            for number in range(3):
                await store.append(a, block(number, segment=segment))
        scrub = Scrub(store, bytes_per_s=100)
        scrubbing = asyncio.ensure_future(scrub.run())
        await asyncio.sleep(3)
        await store.forget(a, 2)
        await asyncio.sleep(100)
        assert scrub.rounds_count == 1
        assert not scrub.damaged
        scrubbing.cancel()
        await asyncio.wait((scrubbing,))

    with_logstore(main)
