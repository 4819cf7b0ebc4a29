"""A check beside a writer: no damage that is none, and none that is passed over."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest

from wal_core import MemoryStore, open_store
from wal_core.format.chain import Sealed
from wal_core.fsck import LogReport, check_log
from wal_core.stores.objects.base import ObjectInfo
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, VirtualClock
from wal_core.tests.harness import CountingRng, Harness

CONFIG = dataclasses.replace(SMALL, merge_count=50, garbage_grace_ms=10**9, fence_grace_ms=10**9)


class Busy(FaultyObjectStore):
    """While it is listed, the log goes on: for the listings in `moves`, before they are made."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.moves: set[tuple[str, int]] = set()
        self.h: Harness
        self._listed: list[str] = []
        self._checking = False

    async def go_on(self) -> None:
        """Two more sealed segments, with a manifest for each."""
        for _ in range(2):
            for number in range(12):
                await self.h.add(number % 3, b"%d" % number * 9)
            await self.h.log.until_quiet()

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        if self._checking and not start_after:
            self._listed.append(prefix)
            if (prefix, self._listed.count(prefix)) in self.moves:
                self._checking = False
                await self.go_on()
                self._checking = True
        return await super().list(prefix, start_after)

    async def check(self) -> LogReport:
        self._checking = True
        return await check_log(self.h.store, CONFIG, CountingRng())


async def busy() -> tuple[Busy, str]:
    """And an object that a sealed segment names."""
    faulty = Busy()
    store = await open_store("", "object", objects=faulty)
    faulty.h = await Harness.open(store, CONFIG, clock=VirtualClock())
    for _ in range(2):
        await faulty.go_on()
    link = next(link for link in faulty.h.log._contents.chain.links if isinstance(link, Sealed))
    return faulty, link.index.replace("index", "000000")


MOVES = [
    # Between two listings of the second look: what it lists last was made for manifests that it
    # has not listed.
    {("sealed/0/", 2), ("sealed/0/", 3)},
    {("sealed/0/", number) for number in range(1, 100)},
    {("logs/0/", number) for number in range(1, 100)},
    set(),
]


@pytest.mark.parametrize("moves", MOVES)
@pytest.mark.parametrize("damaged", [True, False])
def test_what_is_missing_is_found_however_busy_the_log_is(moves, damaged):
    async def main() -> None:
        faulty, key = await busy()
        faulty.moves = moves
        if damaged:
            await faulty.delete(key)
        report = await faulty.check()
        wanted = [key] if damaged else []
        assert [finding.place for finding in report.findings if not finding.harmless] == wanted

    run(main)


def test_a_listing_of_hundreds_of_thousands_takes_its_time():
    async def main() -> None:
        faulty, _ = await busy()
        faulty.latency_s = lambda operation, _: 120.0 if operation == "list" else 0.0
        async with asyncio.timeout(3_600):
            assert (await faulty.check()).sound

    run(main)
