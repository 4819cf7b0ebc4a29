"""A logstore on the simulated disk dies at each of its calls, then the power goes: whatever it had
replied is still so, and nothing is there that was not sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from wal_core.errors import Fenced, Unavailable
from wal_core.format.logstore_records import Final
from wal_core.logstore.logstore import Logstore
from wal_core.logstore.replica import Asker
from wal_core.logstore.tests.logstores import LOG, NONCE_A, NONCE_B, block, final, logstore
from wal_core.testing.seeds import stream
from wal_core.testing.sim_disk import Disk, DiskFault
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_process import Process
from wal_core.testing.sim_system import installed

SEEDS_COUNT = 5
"""Each keeps other parts of what was not synced."""


class Replied(NamedTuple):
    """What the logstore has told anybody."""

    asker: Asker | None = None
    ends: Mapping[int, int] = MappingProxyType({})
    finals: Mapping[int, Final] = MappingProxyType({})
    forgotten: int = 0  # segments before this one may be gone


class Work:
    """A life: a writes, ends a segment, writes on; b is promised the log, and ends both."""

    def __init__(self) -> None:
        self.replied = Replied()
        self.is_done = False

    async def run(self, store: Logstore) -> None:
        await store.open()
        a = Asker(LOG, await store.join(LOG, 1, NONCE_A), 1, NONCE_A)
        self._say(asker=a)
        await asyncio.gather(*(self._append(store, a, block(number)) for number in range(4)))
        await self._end(store, a, final(a, 4))
        for number in range(2):
            await self._append(store, a, block(number, segment=1))
        b = Asker(LOG, a.birth, 2, NONCE_B)
        await store.promise(b)
        self._say(asker=b)
        await self._append(store, b, block(2, segment=1))
        await self._end(store, b, final(b, 4))
        await self._end(store, b, final(b, 3, segment=1))
        self._say(forgotten=1)  # from now on it may
        await store.forget(b, 1)
        await self._append(store, b, block(0, segment=2, nonce=NONCE_B))
        await store.close()
        self.is_done = True

    def _say(self, **what: Any) -> None:
        self.replied = self.replied._replace(**what)

    async def _append(self, store: Logstore, asker: Asker, stored: bytes) -> None:
        segment = int.from_bytes(stored[16:24], "little")
        end = await store.append(asker, stored)
        before = self.replied.ends.get(segment, 0)
        self._say(ends={**self.replied.ends, segment: max(before, end)})

    async def _end(self, store: Logstore, asker: Asker, ended: Final) -> None:
        await store.end(asker, ended)
        self._say(finals={**self.replied.finals, ended.segment: ended})


async def check(root: Any, replied: Replied) -> None:
    store = logstore(root, seed=2)
    await store.open()
    if replied.asker is None:
        await store.close()
        return
    a = replied.asker._replace(term=1, nonce=NONCE_A)
    b = replied.asker._replace(term=2, nonce=NONCE_B)
    if replied.asker == b:
        with pytest.raises(Fenced):
            await store.promise(a)
    tails = {tail.segment: tail for tail in await store.promise(b)}
    for segment, end in replied.ends.items():
        if segment < replied.forgotten:
            continue
        assert tails[segment].end >= end
    for segment, ended in replied.finals.items():
        if segment >= replied.forgotten:
            found = tails[segment].final
            assert found is not None
            assert found.term > ended.term or found == ended
    for segment, tail in tails.items():
        nonce = NONCE_B if segment == 2 else NONCE_A
        sent = b"".join(block(n, segment=segment, nonce=nonce) for n in range(tail.end))
        assert await store.read(b, segment, 0, 1 << 20, recovering=True) == sent
        following = block(tail.end, segment=segment, nonce=nonce)
        assert await store.append(b, following) == tail.end + 1
    await store.close()


def crash(seed: int, calls_count: int, *, power: bool) -> bool:
    """True if it died."""
    disk = Disk(stream(seed, "disk"))
    work = Work()

    async def main(root: Any) -> None:
        process = Process(asyncio.get_running_loop(), "logstore")

        def died(process: Process) -> None:
            process.kill()
            disk.process_died(process)

        disk.died = died
        disk.die_at_call(process, calls_count)

        async def live() -> None:
            await work.run(logstore(root))

        process.spawn(live(), "live")
        await asyncio.sleep(1000)
        if not work.is_done:
            assert not process.alive
            if power:
                disk.cut_power()
        disk.heal()
        await check(root, work.replied)
        process.bury()

    with installed(disk) as path:
        run(lambda: main(path("/data")), seed=seed)
    return not work.is_done


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_what_was_replied_outlives_a_crash_at_any_call(power: bool) -> None:
    calls_count = 0
    died_count = 1
    while died_count:
        died_count = sum(crash(seed, calls_count, power=power) for seed in range(SEEDS_COUNT))
        calls_count += 1
    assert calls_count > 50


def test_after_a_failed_sync_nothing_is_replied_until_it_is_written_again() -> None:
    disk = Disk(stream(1, "disk"))

    async def main(root: Any) -> None:
        store = logstore(root)
        await store.open()
        a = Asker(LOG, await store.join(LOG, 1, NONCE_A), 1, NONCE_A)
        await store.append(a, block(0))
        disk.faults.append(DiskFault("sync", 0, 1))
        with pytest.raises(Unavailable):
            await store.append(a, block(1))
        assert (await store.promise(a))[0].end == 1
        assert store.held_bytes == len(block(0))
        assert await store.append(a, block(1)) == 2
        disk.cut_power()
        again = logstore(root)
        await again.open()
        assert (await again.promise(a))[0].end == 2
        await again.close()

    with installed(disk) as path:
        run(lambda: main(path("/data")))


def test_what_it_found_after_a_failed_sync_is_on_the_disk() -> None:
    """A kernel may mark what it could not write as clean: a later sync would not write it."""
    disk = Disk(stream(1, "disk"))

    async def main(root: Any) -> None:
        store = logstore(root)
        await store.open()
        a = Asker(LOG, await store.join(LOG, 1, NONCE_A), 1, NONCE_A)
        await store.append(a, block(0))
        disk.faults.append(DiskFault("sync", 0, 1))
        with pytest.raises(Unavailable):
            await store.append(a, block(1))
        await store.close()
        again = logstore(root)
        await again.open()
        (tail,) = await again.promise(a)
        await again.close()
        disk.cut_power()
        third = logstore(root)
        await third.open()
        assert await third.promise(a) == [tail]
        await third.close()

    with installed(disk) as path:
        run(lambda: main(path("/data")))
