"""What goes wrong behind the writer's back, and what goes on all the same."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from wal_core import LogConfig, MemoryStore, Unavailable, open_store
from wal_core.format.chain import Sealed
from wal_core.format.stream_tables import StreamRow
from wal_core.fsck import check_log
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, VirtualClock
from wal_core.tests.harness import CountingRng, Harness
from wal_core.types import Buffer
from wal_core.upkeep import candidates
from wal_core.upkeep.compaction import Source

APART = dataclasses.replace(SMALL, merge_count=50, table_cache_bytes_max=0)
"""Sealed segments are not merged, and what is damaged is noticed when it is looked at."""
STREAMS_COUNT = 3
EARLY = 9
"""A stream that only the first sealed segment has."""


async def with_sealed(
    count: int, config: LogConfig = APART
) -> tuple[Harness, FaultyObjectStore, dict[str, bytes], list[Sealed]]:
    """A log with so many sealed segments."""
    bucket = MemoryStore()
    faulty = FaultyObjectStore(bucket)
    store = await open_store("", "object", objects=faulty)
    h = await Harness.open(store, config, clock=VirtualClock())
    for _ in range(3):
        await h.add(EARLY, bytes(240))
    number = 0
    while (
        len(sealed := [link for link in h.log._contents.chain.links if isinstance(link, Sealed)])
        < count
    ):
        await h.add(number % STREAMS_COUNT, b"%d" % number * 9)
        await h.log.until_quiet()
        number += 1
    return h, faulty, bucket.objects, sealed


async def rows_of(h: Harness, link: Sealed) -> list[StreamRow]:
    return list((await h.log._reader.tables.get(link)).streams())


def damage(objects: dict[str, bytes], key: str) -> None:
    body = bytearray(objects[key])
    body[-1] ^= 1
    objects[key] = bytes(body)


@pytest.mark.parametrize("back_s", [0, 3_600, 86_400])
def test_garbage_does_not_wait_longer_because_a_clock_was_set_back(back_s: int) -> None:
    class Jumping(VirtualClock):
        back_ms = 0

        def now_ms(self) -> int:
            return super().now_ms() - self.back_ms

    async def main() -> None:
        clock, bucket = Jumping(), MemoryStore()
        await asyncio.sleep(2 * 86_400)
        grace_s = SMALL.garbage_grace_ms / 1000
        h = await Harness.open(await open_store("", "object", objects=bucket), SMALL, clock=clock)
        while all(row.is_fence for row in h.log._maintenance.manifest.garbage):
            await h.add(1, b"x" * 200)
            await h.log.until_quiet()
        before = h.log._maintenance.manifest
        clock.back_ms = back_s * 1000
        h.log._maintenance.poke()
        await asyncio.sleep(grace_s / 2)
        assert h.log._maintenance.manifest == before
        await asyncio.sleep(grace_s / 2 + 1)
        assert all(row.is_fence for row in h.log._maintenance.manifest.garbage)
        await asyncio.sleep(SMALL.fence_grace_ms / 1000)
        assert h.log._maintenance.manifest.garbage == []
        await h.log.close()

    run(main)


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_damaged_index_keeps_no_other_segment_from_being_compacted(damaged):
    async def main() -> None:
        h, _, objects, sealed = await with_sealed(3)
        damage(objects, sealed[damaged].index)
        for stream in (EARLY, *range(STREAMS_COUNT)):
            h.log.truncate(stream, h.log.confirmed_offset(stream))
        await asyncio.sleep(1_000)
        assert set(sealed) & set(h.log._contents.chain.links) == {sealed[damaged]}

    run(main)


def test_what_is_before_a_damaged_object_is_compacted_when_it_dies_later():
    async def main() -> None:
        h, _, objects, sealed = await with_sealed(3)
        ends = {row.stream_id: row.end_offset for row in await rows_of(h, sealed[1])}
        damage(objects, sealed[1].index.replace("index", "000000"))
        for stream in range(STREAMS_COUNT):  # all but one record, which would have to be copied
            h.log.truncate(stream, ends[stream] - (stream == 0))
        await asyncio.sleep(1_000)
        assert {*sealed[:2]} <= {*h.log._contents.chain.links}
        h.log.truncate(EARLY, h.log.confirmed_offset(EARLY))
        await asyncio.sleep(1_000)
        assert set(sealed) & set(h.log._contents.chain.links) == {*sealed[1:]}

    run(main)


@pytest.mark.parametrize("refused", ["sealed/", "manifests/"])
def test_garbage_makes_room_on_a_disk_too_full_for_a_compaction(refused):
    async def main() -> None:
        config = dataclasses.replace(APART, garbage_grace_ms=30_000)
        h, faulty, objects, _ = await with_sealed(1, config)
        garbage = [key for key in objects if key.startswith(f"logs/0/{2:020d}/")]
        create = faulty.create

        async def create_while_there_is_room(key: str, pieces: Sequence[Buffer]) -> None:
            if key.startswith(refused) and set(garbage) & set(objects):
                raise Unavailable("no space left on device")
            await create(key, pieces)

        faulty.create = create_while_there_is_room
        for number in range(20):
            await h.add(number % STREAMS_COUNT, b"%d" % number * 9)
        await asyncio.sleep(1_000)
        assert not set(garbage) & set(objects)
        assert sum(isinstance(link, Sealed) for link in h.log._contents.chain.links) == 2
        await asyncio.sleep(1_000)
        await h.log.until_quiet()
        assert (await check_log(h.store, config, CountingRng())).findings == []

    run(main)


async def test_large_tables_are_gone_through_beside_the_loop(monkeypatch):
    threads = set()

    class NotedSource(Source):
        def __init__(self, *args: Any) -> None:
            threads.add(threading.get_ident())
            super().__init__(*args)

    monkeypatch.setattr(candidates, "Source", NotedSource)
    store = await open_store("memory:", "object")
    h = await Harness.open(store, dataclasses.replace(APART, segment_blocks_max=2))
    for _ in range(2):
        await asyncio.gather(*(h.add(stream, b"x") for stream in range(1_000)))
    await h.log.close()
    h = await Harness.open(store)
    threads.clear()
    _, link, _ = h.log._contents.chain.links
    source = await h.log._maintenance._candidates.load(link, dict.fromkeys(range(1_000), 0))
    assert source.tables.run_count == 2_000
    assert threads
    assert threading.get_ident() not in threads
    await h.log.close()
