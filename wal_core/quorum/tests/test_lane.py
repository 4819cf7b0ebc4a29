"""The way to a logstore: who was away gets what it lacks, and nobody waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from wal_core.format.places import Slot
from wal_core.logstore.replica import Asker, Replica, Tail, Told
from wal_core.logstore.tests.logstores import block
from wal_core.quorum import lane as lane_module
from wal_core.quorum import part as part_module
from wal_core.quorum.lane import split
from wal_core.quorum.tests.places import Place
from wal_core.types import Buffer

LOG = 3


async def test_who_was_away_gets_from_the_others_what_is_in_memory_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(part_module, "WINDOW_BYTES_MAX", 1)
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    store = place.store()
    assert await store.lock(LOG) == 0
    place.wire("B").is_cut = True
    stored = [block(number) for number in range(20)]
    for number, body in enumerate(stored):
        await store.append(Slot(LOG, 0, number, 0), [body], final=False)
    part = store._tails[LOG].parts[0]
    assert not part.blocks
    place.wire("B").is_cut = False
    async with asyncio.timeout(30):
        while min(part.ends.get(member, 0) for member in part.ensemble) < 20:
            await asyncio.sleep(0.02)
    await store.close()
    await place.close()


async def test_what_is_written_meanwhile_does_not_get_between_what_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(part_module, "WINDOW_BYTES_MAX", 10 * len(block(0)))
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    wire = place.wire("B")
    counting = Mute(wire)
    place.registered.wires["B"] = counting  # type: ignore[assignment]
    store = place.store()
    await store.lock(LOG)
    wire.is_cut = True
    for number in range(40):
        await store.append(Slot(LOG, 0, number, 0), [block(number)], final=False)
    part = store._tails[LOG].parts[0]
    (member,) = (member for member in part.ensemble if member.store == "B")
    counting.promises_count, wire.is_cut = 0, False
    told: asyncio.Queue[Exception | None] = asyncio.Queue()
    async with asyncio.timeout(30):
        while part.ends.get(member, 0) < 32:  # the last ten are in memory
            await asyncio.sleep(0)
        for number in range(40, 45):
            assert store.begin(Slot(LOG, 0, number, 0), [block(number)], told.put_nowait)
        for number in range(45, 50):
            await store.append(Slot(LOG, 0, number, 0), [block(number)], final=False)
        while part.ends.get(member, 0) < 50:
            await asyncio.sleep(0.001)
    assert counting.promises_count == 1  # it had to begin only once
    await store.close()
    await place.close()


class Mute:
    """A Replica that takes what it is told, and says nothing of it until `answers`."""

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


async def test_who_answers_nothing_is_asked_anew_though_more_is_written_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane_module, "REPLY_S", 0.2)
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    mute = Mute(place.wire("B"))
    place.registered.wires["B"] = mute  # type: ignore[assignment]
    store = place.store()
    await store.lock(LOG)
    mute.answers, number = False, 0
    async with asyncio.timeout(30):
        while mute.promises_count < 2:
            await store.append(Slot(LOG, 0, number, 0), [block(number)], final=False)
            number += 1
            await asyncio.sleep(0.01)
        assert number < lane_module._FLIGHTS_MAX_COUNT  # from there on nothing is sent
        mute.answers, part = True, store._tails[LOG].parts[0]
        while min(part.ends.get(member, 0) for member in part.ensemble) < number:
            await asyncio.sleep(0.01)
    await store.close()
    await place.close()


async def test_answers_for_a_segment_that_was_trimmed_count_for_no_other(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    mute = Mute(place.wire("B"))
    place.registered.wires["B"] = mute  # type: ignore[assignment]
    store = place.store()
    await store.lock(LOG)
    tail = store._tails[LOG]
    mute.answers = False
    await store.append(Slot(LOG, 0, 0, 0), [block(0)], final=False)
    await tail.end(0, 1, b"footer")
    await tail.trim(1)
    async with asyncio.timeout(30):
        await store.append(Slot(LOG, 1, 0, 0), [block(0, segment=1)], final=False)
        while len(mute.held) < 2:
            await asyncio.sleep(0.001)
        (member,) = (member for member in tail.parts[1].ensemble if member.store == "B")
        mute.held[0](1)
        assert member not in tail.parts[1].ends
        mute.held[1](1)
        assert tail.parts[1].ends[member] == 1
    await store.close()
    await place.close()


async def test_more_than_may_be_under_way_goes_when_answers_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane_module, "_FLIGHTS_MAX_COUNT", 2)
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    store = place.store()
    await store.lock(LOG)
    told: asyncio.Queue[Exception | None] = asyncio.Queue()
    for number in range(20):
        assert store.begin(Slot(LOG, 0, number, 0), [block(number)], told.put_nowait)
    async with asyncio.timeout(30):
        for _ in range(20):
            assert await told.get() is None
    await store.close()
    await place.close()


def test_blocks_that_follow_each_other_are_told_apart():
    stored = [block(number) for number in range(3)]
    assert list(split(b"".join(stored))) == stored
    assert list(split(b"")) == []
