"""Two lost disks: the log is nowhere but in the bucket, and goes on there once somebody says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from wal_core import Fenced, Invalid, LogConfig, Unavailable
from wal_core.fsck import check_log
from wal_core.quorum.tests.places import Place
from wal_core.repair import give_up_tail
from wal_core.repair.giving_up import GivenUpTail
from wal_core.repair.lagging import JUMP
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.seeds import stream
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_loop import run
from wal_core.testing.sim_system import installed
from wal_core.tests.compaction_load import VirtualClock
from wal_core.tests.harness import CountingRng, Harness, Recorder

CONFIG = LogConfig.preset("quorum")
SEALED_S = CONFIG.segment_age_max_ms / 1000 + 1


async def opened(place: Place) -> Harness:
    return await Harness.open(place.store(), CONFIG, clock=VirtualClock())


async def written(h: Harness, *payloads: bytes) -> list[bytes]:
    for payload in payloads:
        await h.add(1, payload)
    return [*payloads]


async def payloads_of(h: Harness) -> list[bytes]:
    return [payload for _, payload in await h.read_all(1)]


async def give_up(place: Place, state: Recorder | None = None, *, yes: bool) -> GivenUpTail:
    return await give_up_tail(
        place.bucket,
        state or Recorder(),
        CONFIG,
        clock=VirtualClock(),
        rng=CountingRng(),
        to_commit=yes,
    )


async def lose(place: Place, *names: str) -> None:
    await place.stop(*names)
    await place.start(*names, fresh=True)


async def keys(place: Place) -> list[str]:
    return [row.key for row in await place.bucket.list("")]


async def fsck(place: Place) -> list[str]:
    store = ObjectSegmentStore(place.bucket, mode="quorum")
    report = await check_log(store, CONFIG, CountingRng(), new_state=Recorder)
    return [f"{one.kind} {one.place} {one.text}" for one in report.findings]


def in_virtual_time(main: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    with installed(Disk(stream(1, "disk"))) as path:
        run(lambda: main(path("/data")))


def test_what_was_uploaded_goes_on_and_the_rest_is_told() -> None:
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        h = await opened(place)
        kept = await written(h, b"a", b"b", b"c")
        await asyncio.sleep(SEALED_S)
        entries = [*h.state.entries]
        await written(h, b"d", b"e")
        await h.crash()
        await lose(place, "B", "C")
        with pytest.raises(Unavailable, match="B, C have lost the log"):
            await place.store().lock(0)
        before = await keys(place)
        told = await give_up(place, yes=False)
        assert await keys(place) == before
        assert told == GivenUpTail(0, 1, told.next_segment, ("A", "B", "C"), {1: 3})
        assert told.next_segment > JUMP
        with pytest.raises(Unavailable):
            await place.store().lock(0)
        state = Recorder()
        assert await give_up(place, state, yes=True) == told
        assert state.entries == entries
        again = await opened(place)
        assert again.log.term > h.log.term + JUMP
        assert await payloads_of(again) == kept
        assert again.state.entries == entries
        await asyncio.sleep(SEALED_S)
        # What logstore A still had is the old log's, and means nothing any more.
        assert max(place.held_bytes()) == 0
        kept += await written(again, b"f")
        await asyncio.sleep(SEALED_S)
        assert await fsck(place) == []
        await again.crash()
        third = await opened(place)
        assert await payloads_of(third) == kept
        await third.log.close()
        await place.close()

    in_virtual_time(main)


def test_who_owned_the_log_acknowledges_and_uploads_nothing_more() -> None:
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        old = await opened(place)
        kept = await written(old, b"a")
        await asyncio.sleep(SEALED_S)
        adding = old.add(1, b"given up")
        await adding
        await give_up(place, yes=True)  # too early: they are all there
        new = await opened(place)
        await asyncio.sleep(2 * SEALED_S)
        with pytest.raises(Fenced):
            await old.log.check_owner()
        assert await payloads_of(new) == kept
        await new.log.close()
        await old.log.close()
        await place.close()

    in_virtual_time(main)


def test_nothing_uploaded_leaves_an_empty_log_and_it_can_be_given_up_again() -> None:
    async def main(root: Any) -> None:
        place = Place(root)
        await place.start("A", "B", "C")
        with pytest.raises(Invalid, match="no tail"):
            await give_up(place, yes=True)
        h = await opened(place)
        await written(h, b"a")
        await h.crash()
        assert await fsck(place) == []
        await lose(place, "A", "B", "C")
        told = await give_up(place, yes=True)
        twice = await give_up(place, yes=True)
        assert twice.next_segment > told.next_segment
        again = await opened(place)
        assert again.log.stream_ids() == []
        kept = await written(again, b"b")
        await asyncio.sleep(SEALED_S)
        assert await payloads_of(again) == kept
        assert await fsck(place) == []
        await again.log.close()
        await place.close()

    in_virtual_time(main)
