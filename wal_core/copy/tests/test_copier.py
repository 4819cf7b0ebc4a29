"""Copies of a log that is written, compacted and cleaned up meanwhile, within and across modes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from wal_core import Corrupt, MemoryStore, SegmentStore, open_store, open_to_look
from wal_core.copy import copy_log, open_to_copy
from wal_core.fsck import check_log
from wal_core.stores.opening import COPYING_KEY
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, World, load
from wal_core.tests.harness import CountingRng, Harness


async def compare(world: World, store: SegmentStore, at_least: dict[int, int]) -> None:
    """The copy is sound, opens, and every stream is a prefix with all that was confirmed."""
    report = await check_log(store, world.config, CountingRng())
    assert report.findings == []
    copy = await Harness.open(store, world.config)
    for stream, records in world.records.items():
        if stream in world.dropped:
            continue
        end = copy.log.end_offset(stream)
        assert at_least.get(stream, 0) <= end <= len(records)
        start = copy.log.start_offset(stream)
        assert start <= world.starts[stream]
        assert await copy.read_all(stream) == list(enumerate(records))[start:end]
    await copy.log.close()


def confirmed(world: World) -> dict[int, int]:
    return {stream: world.h.log.confirmed_offset(stream) for stream in world.records}


@pytest.mark.parametrize("seed", range(4))
def test_copies_of_a_log_in_use(seed):
    """Garbage goes at once in half of the runs, and reading is slow: copies are overtaken."""
    config = dataclasses.replace(SMALL, garbage_grace_ms=1_000 if seed % 2 else 0)
    attempts = []

    async def main() -> None:
        world = World(seed, config)
        bucket = MemoryStore()
        faulty = FaultyObjectStore(bucket, jitter_s=0.02, seed=seed)
        store = await open_store("", "object", objects=faulty)
        await world.open(store)
        loading = asyncio.ensure_future(load(world, store, 100))
        for _ in range(5):
            await asyncio.sleep(0.1)
            at_least = confirmed(world)
            target = MemoryStore()
            source = ObjectSegmentStore(FaultyObjectStore(bucket, jitter_s=0.1, seed=seed))
            report = await copy_log(source, ObjectSegmentStore(target), config, CountingRng())
            attempts.append(report.attempts_count)
            copied = await open_store("", "object", objects=target)
            await compare(world, copied, at_least)
        await loading
        await world.h.log.close()

    run(main, seed=seed)
    if seed == 0:
        assert max(attempts) > 1  # else nothing was overtaken, and the test shows less than it says


@pytest.mark.parametrize("target_mode", ["file", "object"])
@pytest.mark.parametrize("source_mode", ["file", "object"])
@pytest.mark.parametrize("segment_bytes_max", [1_500, 60_000])
async def test_between_modes(source_mode, target_mode, segment_bytes_max, tmp_path: Path):
    """Sealed, completed and unfinished segments; sealed ones leave large blocks where they are."""
    config = dataclasses.replace(SMALL, segment_bytes_max=segment_bytes_max)
    world = World(7, config)
    store = await open_store(str(tmp_path / "from"), source_mode)
    await world.open(store)
    for _ in range(120):
        await world.step()
    await world.h.log.until_quiet()
    assert world.h.log._contents.chain.links
    at_least = confirmed(world)
    source = await open_to_look(str(tmp_path / "from"))
    for _ in range(2):  # a copy that was cut short at its very end goes on
        target = await open_to_copy(
            str(tmp_path / "to"), target_mode, "from", cloud=None, rng=CountingRng()
        )
        report = await copy_log(source, target, config, CountingRng())
        assert report.sealed_count
        await target.objects.delete("woodpecker.json")
        await target.objects.create(COPYING_KEY, [_note(target_mode)])
        await target.close()
    target = await open_to_copy(
        str(tmp_path / "to"), target_mode, "from", cloud=None, rng=CountingRng()
    )
    await copy_log(source, target, config, CountingRng())
    await target.close()
    await compare(world, await open_to_look(str(tmp_path / "to")), at_least)
    await world.h.log.close()


def _note(mode: str) -> bytes:
    return b'{"format": 3, "mode": "%b", "from": "from"}\n' % mode.encode()


async def test_damage_is_told_and_not_copied():
    source, target = MemoryStore(), MemoryStore()
    store = await open_store("", "object", objects=source)
    world = World(3, SMALL)
    await world.open(store)
    for _ in range(60):
        await world.step()
    await world.h.log.until_quiet()
    await source.delete(world.h.log._maintenance.manifest.sealed[-1].index)
    await world.h.log.close()
    with pytest.raises(Corrupt):
        await copy_log(ObjectSegmentStore(source), ObjectSegmentStore(target), SMALL, CountingRng())
    assert await target.size("woodpecker.json") is None


class _Overtaken(ObjectSegmentStore):
    """When the last segment is listed to be read, it has just been sealed, and goes block by block:
    only the first one is left.
    """

    def __init__(self, objects: MemoryStore, overtake: Callable[[], Awaitable[None]]) -> None:
        super().__init__(objects)
        self._overtake = overtake
        self.reads: list[int] = []

    async def recover_segment(self, log_id, segment, persist, *, first=0, cut=True):
        self.reads.append(segment)
        if self.reads == [0, 1]:  # 0 holds the fence of the opening
            await self._overtake()
        async for block in super().recover_segment(log_id, segment, persist, first=first, cut=cut):
            yield block


async def test_a_segment_that_goes_while_it_is_read_is_read_again():
    config = dataclasses.replace(SMALL, segment_blocks_max=3, garbage_grace_ms=600_000)
    bucket = MemoryStore()
    h = await Harness.open(await open_store("", "object", objects=bucket), config)
    for number in range(2):
        await h.add(0, b"%d" % number)

    async def overtake() -> None:
        for number in range(2, 30):
            await h.add(0, b"%d" % number)
        await h.log.until_quiet()
        assert h.log._maintenance.manifest.covered >= 1
        # Garbage: nobody reads it there again. What is left looks like all there ever was.
        blocks = [row.key for row in await bucket.list(f"logs/0/{1:020d}/")]
        await bucket.delete(*blocks[1:])

    source, target = _Overtaken(bucket, overtake), MemoryStore()
    report = await copy_log(source, ObjectSegmentStore(target), config, CountingRng())
    assert report.attempts_count == 2
    copy = await Harness.open(await open_store("", "object", objects=target), config)
    assert await copy.read_all(0) == [(n, b"%d" % n) for n in range(30)]
    await copy.log.close()
    await h.log.close()
