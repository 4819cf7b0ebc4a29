"""The way to a logstore: who was away gets what it lacks, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from wal_core.format.places import Slot
from wal_core.logstore.replica import Asker, Replica, Tail, Told
from wal_core.logstore.tests.logstores import block
from wal_core.quorum import lane as lane_module
from wal_core.quorum import part as part_module
from wal_core.quorum.lane import split
from wal_core.quorum.part import Part
from wal_core.quorum.store import QuorumSegmentStore
from wal_core.quorum.tests.places import Place
from wal_core.types import Buffer

LOG = 3


class Mute:
    """A Replica that takes what it is told, and says nothing of it unless it `answers`."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.answers = True
        self.held: list[Told] = []  # of what it has not answered
        self.promises_count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._replica, name)

    async def promise(self, asker: Asker) -> list[Tail]:
        self.promises_count += 1
        return await self._replica.promise(asker)

    def begin_append(self, asker: Asker, stored: Buffer, told: Told) -> None:
        if self.answers:
            self._replica.begin_append(asker, stored, told)
        else:
            self.held.append(told)


class Three:
    """A claimed log on three logstores, of which B can be cut off, and be mute."""

    def __init__(self, place: Place, store: QuorumSegmentStore) -> None:
        self.store = store
        self.wire = place.wire("B")
        self.mute = Mute(self.wire)
        place.registered.wires["B"] = self.mute  # type: ignore[assignment]

    async def write(self, *numbers: int, segment: int = 0) -> None:
        for number in numbers:
            slot = Slot(LOG, segment, number, 0)
            await self.store.append(slot, [block(number, segment=segment)], final=False)

    def begin(self, *numbers: int) -> asyncio.Queue[Exception | None]:
        """What becomes of each is put there."""
        told: asyncio.Queue[Exception | None] = asyncio.Queue()
        for number in numbers:
            assert self.store.begin(Slot(LOG, 0, number, 0), [block(number)], told.put_nowait)
        return told

    def part(self, segment: int = 0) -> Part:
        return self.store._tails[LOG].parts[segment]

    def b_end(self, segment: int = 0) -> int:
        """How much of a segment B is known to have."""
        ends = self.part(segment).ends
        return next((end for member, end in ends.items() if member.store == "B"), 0)


@asynccontextmanager
async def three(folder: Path) -> AsyncIterator[Three]:
    place = Place(folder)
    await place.start("A", "B", "C")
    store = place.store()
    found = Three(place, store)
    assert await store.lock(LOG) == 0
    async with asyncio.timeout(30):
        yield found
    await store.close()
    await place.close()


async def test_who_was_away_gets_from_the_others_what_is_in_memory_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(part_module, "WINDOW_BYTES_MAX", 1)
    async with three(tmp_path) as log:
        log.wire.is_cut = True
        await log.write(*range(20))
        part = log.part()
        assert not part.blocks
        log.wire.is_cut = False
        while min(part.ends.get(member, 0) for member in part.ensemble) < 20:
            await asyncio.sleep(0.02)


async def test_what_is_written_meanwhile_does_not_get_between_what_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(part_module, "WINDOW_BYTES_MAX", 10 * len(block(0)))
    async with three(tmp_path) as log:
        log.wire.is_cut = True
        await log.write(*range(40))
        log.mute.promises_count, log.wire.is_cut = 0, False
        while log.b_end() < 32:  # the last ten are in memory
            await asyncio.sleep(0)
        log.begin(*range(40, 45))
        await log.write(*range(45, 50))
        while log.b_end() < 50:
            await asyncio.sleep(0.001)
        assert log.mute.promises_count == 1  # it had to begin only once


async def test_who_answers_nothing_is_asked_anew_though_more_is_written_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane_module, "REPLY_S", 0.2)
    async with three(tmp_path) as log:
        log.mute.answers, number = False, 0
        while log.mute.promises_count < 2:
            await log.write(number)
            number += 1
            await asyncio.sleep(0.01)
        assert number < lane_module._FLIGHTS_MAX_COUNT  # from there on nothing is sent
        log.mute.answers, part = True, log.part()
        while min(part.ends.get(member, 0) for member in part.ensemble) < number:
            await asyncio.sleep(0.01)


async def test_answers_for_a_segment_that_was_trimmed_count_for_no_other(tmp_path: Path):
    async with three(tmp_path) as log:
        tail = log.store._tails[LOG]
        log.mute.answers = False
        await log.write(0)
        await tail.end(0, 1, b"footer")
        await tail.trim(1)
        await log.write(0, segment=1)
        while len(log.mute.held) < 2:
            await asyncio.sleep(0.001)
        log.mute.held[0](1)
        assert log.b_end(1) == 0
        log.mute.held[1](1)
        assert log.b_end(1) == 1


async def test_more_than_may_be_under_way_goes_when_answers_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane_module, "_FLIGHTS_MAX_COUNT", 2)
    async with three(tmp_path) as log:
        told = log.begin(*range(20))
        for _ in range(20):
            assert await told.get() is None


def test_blocks_that_follow_each_other_are_told_apart():
    stored = [block(number) for number in range(3)]
    assert list(split(b"".join(stored))) == stored
    assert list(split(b"")) == []
