"""A follower beside a log that is written, rolled, compacted, cleaned up, fenced and taken over:
what it shows is always the beginning of what the log holds, and it catches up.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random  # noqa: TID251 - seeded
import sys
from pathlib import Path

import pytest

from wal_core import Follower, LogConfig, MemoryStore, SegmentStore, open_store, open_to_look
from wal_core.format.block import BlockIds, encode_entries, parse_block, parse_header
from wal_core.stores.segments.end_note import encode_end_note, read_end_note, write_end_note
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_files import ExecutorFileWriter, FaultyFileOps
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, World
from wal_core.tests.harness import CountingRng, Harness, Recorder

CONFIG = dataclasses.replace(SMALL, seal_segments_min_count=2)
Rows = list[tuple[int, int, int, int, bytes]]


class Seen:
    """What a follower showed: each time how much, and all of it the last time it began."""

    def __init__(self, store: SegmentStore, config: LogConfig, poll_s: float = 1.0) -> None:
        self.follower = Follower(store, Recorder, config, rng=CountingRng(), poll_s=poll_s)
        self.views: list[Rows] = []

    async def look(self, confirmed_count: int) -> None:
        before = self.follower.position
        position = await self.follower.catch_up()
        assert position >= before
        rows = list(self.follower.state.entries)
        assert len(rows) >= confirmed_count, "it has not caught up"
        assert not self.views or len(rows) >= len(self.views[-1])
        self.views.append(rows)

    def check(self, truth: Rows) -> None:
        for rows in self.views:
            assert rows == truth[: len(rows)], "it shows what the log does not hold"


class Scene:
    """A log under a random load, and who follows it."""

    def __init__(self, seed: int, config: LogConfig) -> None:
        self.rng = random.Random(seed)
        self.world = World(seed, config)
        self.confirmed_count = 0

    async def write(self, stores: list[SegmentStore], steps_count: int) -> None:
        await self.world.open(stores[0])
        for _ in range(steps_count):
            await self.world.step()
            self.confirmed_count = len(self.world.h.state.entries)
            kind = self.rng.random()
            if kind < 0.08:
                self.world.h.log.complete_segment()
            elif kind < 0.11:
                await self.world.h.log.close()
                await self.world.open(self.rng.choice(stores))
            elif kind < 0.15:
                for _ in range(3):  # may be stored or not: nobody will ever be told
                    stream = self.world.next_stream
                    self.world.records[stream], self.world.starts[stream] = [], 0
                    self.world.next_stream += 1
                    self.world.h.add(stream, b"unheard")
                await asyncio.sleep(self.rng.choice([0, 0, 0.01, 0.03]))
                await self.world.h.crash()
                await self.world.open(self.rng.choice(stores))
            elif kind < 0.18 and not stores[0].locks:
                # Taken over: the old one is fenced, and lives on.
                old = self.world.h
                await self.world.open(self.rng.choice(stores))
                await old.crash()
            elif kind < 0.3:
                await asyncio.sleep(self.rng.choice([0.01, 0.3, 3]))
        await self.world.settle()

    async def follow(self, seen: Seen, over: asyncio.Event, pause_s: float) -> None:
        while not over.is_set():
            await seen.look(self.confirmed_count)
            await asyncio.sleep(pause_s * self.rng.random())
        await seen.look(self.confirmed_count)
        seen.check(self.world.h.state.entries)
        assert seen.views[-1] == self.world.h.state.entries


async def _play(scene: Scene, writers: list[SegmentStore], readers: list[SegmentStore]) -> int:
    """How often a follower had to begin again."""
    over = asyncio.Event()
    everybody = [Seen(store, scene.world.config) for store in readers]
    tasks = [
        asyncio.ensure_future(scene.follow(seen, over, pause_s))
        for seen, pause_s in zip(everybody, (0.02, 8.0), strict=True)
    ]
    await scene.write(writers, 40)
    over.set()
    await asyncio.gather(*tasks)
    for seen in everybody:
        for stream in scene.world.records:
            end = scene.world.h.log.confirmed_offset(stream)
            assert stream in scene.world.dropped or seen.follower.end_offset(stream) == end
    await scene.world.h.log.close()
    return sum(seen.follower.beginnings_count - 1 for seen in everybody)


@pytest.mark.parametrize("first_seed", range(0, 60, 15))
def test_beside_a_bucket(first_seed):
    begun_again_count = 0
    for seed in range(first_seed, first_seed + 15):
        config = dataclasses.replace(CONFIG, garbage_grace_ms=0 if seed % 2 else 1_000)

        async def main(seed: int = seed, config: LogConfig = config) -> int:
            bucket = MemoryStore()

            def client(number: int, rate: float = 0.0) -> FaultyObjectStore:
                return FaultyObjectStore(
                    bucket, jitter_s=0.02, fault_rate=rate, seed=10 * seed + number
                )

            writers: list[SegmentStore] = [
                await open_store("", "object", objects=client(number)) for number in range(2)
            ]
            before = set(bucket.objects)
            readers: list[SegmentStore] = [
                ObjectSegmentStore(client(3, 0.02)),
                ObjectSegmentStore(client(4)),
            ]
            assert set(bucket.objects) == before
            return await _play(Scene(seed, config), writers, readers)

        begun_again_count += run(main, seed=seed)
    assert begun_again_count  # else nobody was overtaken, and this shows less than it says


@pytest.mark.parametrize("seed", range(6))
def test_beside_files(seed, tmp_path: Path):
    config = dataclasses.replace(
        CONFIG, segment_bytes_max=1_500, garbage_grace_ms=0 if seed % 2 else 1_000
    )

    async def main() -> None:
        ops = FaultyFileOps(seed, fault_rate=0.02)
        writer = FileSegmentStore(tmp_path, ops=ops, writer=ExecutorFileWriter(ops))
        readers: list[SegmentStore] = [FileSegmentStore(tmp_path) for _ in range(2)]
        await _play(Scene(seed, config), [writer], readers)

    run(main, seed=seed)


# -- what is confirmed, and what is not ---------------------------------------------------------


class LookOnly:
    """An object store that can be read."""

    def __init__(self, objects: MemoryStore) -> None:
        self.location = "here"
        self.get_range, self.list, self.size = objects.get_range, objects.list, objects.size

    async def close(self) -> None: ...


async def _rows(seen: Seen) -> list[bytes]:
    await seen.look(0)
    return [row[4] for row in seen.views[-1]]


async def test_a_log_nobody_has_written_yet_is_empty_and_stays_so():
    bucket = MemoryStore()
    seen = Seen(ObjectSegmentStore(LookOnly(bucket)), CONFIG)
    assert await _rows(seen) == []
    assert seen.follower.position == (0, 0)
    assert not bucket.objects
    h = await Harness.open(ObjectSegmentStore(bucket), CONFIG)
    await h.add(1, b"first")
    assert await _rows(seen) == [b"first"]
    await h.log.close()


async def test_what_lies_above_a_free_slot_is_not_shown():
    """It may never count: an opener may fence the free one."""
    bucket = MemoryStore()
    h = await Harness.open(
        ObjectSegmentStore(bucket), dataclasses.replace(CONFIG, segment_blocks_max=9)
    )
    for number in range(4):
        await h.add(1, b"%d" % number)
    await h.crash()
    *_, slot_2, slot_3 = sorted(key for key in bucket.objects if key.startswith("logs/0/"))
    missing, above = bucket.objects[slot_2], bucket.objects[slot_3]
    # Its writer had both on their way, and had not heard of either.
    header, entries = parse_header(above), parse_block(above).entries()
    ids = BlockIds(0, header.segment, header.block, header.term, 2, header.nonce)
    above = b"".join(encode_entries(ids, entries).pieces)
    await bucket.delete(slot_2, slot_3)
    seen = Seen(ObjectSegmentStore(LookOnly(bucket)), CONFIG)
    assert await _rows(seen) == [b"0", b"1"]
    await bucket.create(slot_3, [above])
    for one in (seen, Seen(ObjectSegmentStore(LookOnly(bucket)), CONFIG)):
        assert await _rows(one) == [b"0", b"1"]
    await bucket.create(slot_2, [missing])
    assert await _rows(seen) == [b"0", b"1", b"2", b"3"]


async def test_what_is_in_a_file_and_was_not_synced_is_not_shown(tmp_path: Path):
    writer = await open_store(str(tmp_path), "file")
    h = await Harness.open(writer, LogConfig.preset("file"))
    await h.add(1, b"synced")
    note = read_end_note(tmp_path / "logs" / "0" / "lock")
    assert note is not None
    await h.add(1, b"not yet")
    # As if that sync were still under way: the bytes are there, and nobody has said so.
    with (tmp_path / "logs" / "0" / "lock").open("r+b") as lock:
        write_end_note(lock.fileno(), encode_end_note(note))
    reader = await open_to_look(str(tmp_path))
    seen = Seen(reader, LogConfig.preset("file"))
    assert await _rows(seen) == [b"synced"]
    await h.add(1, b"later")
    assert await _rows(seen) == [b"synced", b"not yet", b"later"]
    await h.log.close()
    assert await _rows(seen) == [b"synced", b"not yet", b"later"]
    await reader.close()
    await writer.close()


async def test_whoever_waits_is_woken(tmp_path: Path):
    writer = await open_store(str(tmp_path), "file")
    h = await Harness.open(writer)
    reader = await open_to_look(str(tmp_path))
    follower = Follower(reader, Recorder, LogConfig.preset("file"), rng=CountingRng(), poll_s=1e6)
    positions = follower.follow()
    await anext(positions)
    following = asyncio.ensure_future(anext(positions))
    await h.add(1, b"x")
    follower.wake()
    await following
    assert [row[4] for row in follower.state.entries] == [b"x"]
    assert (follower.start_offset(1), follower.end_offset(1)) == (0, 1)
    await positions.aclose()
    await h.log.close()
    await reader.close()
    await writer.close()


def test_whoever_is_not_woken_looks_now_and_then():
    async def main() -> None:
        bucket = MemoryStore()
        h = await Harness.open(ObjectSegmentStore(bucket), CONFIG)
        seen = Seen(ObjectSegmentStore(LookOnly(bucket)), CONFIG, poll_s=5)
        positions = seen.follower.follow()
        await anext(positions)
        await h.add(1, b"x")
        begun_s = asyncio.get_running_loop().time()
        await anext(positions)
        assert asyncio.get_running_loop().time() - begun_s == pytest.approx(5, abs=1)
        await positions.aclose()
        await h.log.close()

    run(main)


_WRITER = """
import asyncio, sys
from wal_core import Log, LogConfig, SystemClock, SystemRng, open_store
from wal_core.tests.harness import Harness

async def main():
    store = await open_store(sys.argv[1], "file")
    config = LogConfig(segment_bytes_max=4_000, seal_segments_min_count=2, garbage_grace_ms=0)
    h = await Harness.open(store, config)
    for line in sys.stdin:
        for number in range(int(line)):
            await h.add(1, b"%d" % number * 20)
        print(h.log.confirmed_offset(1), flush=True)

asyncio.run(main())
"""


async def test_beside_another_process_that_is_killed_in_the_end(tmp_path: Path):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _WRITER,
        str(tmp_path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    seen: Seen | None = None
    for count in (1, 30, 100):
        process.stdin.write(b"%d\n" % count)
        end = int(await process.stdout.readline())
        if seen is None:
            reader = await open_to_look(str(tmp_path))
            seen = Seen(reader, LogConfig.preset("file"))
        await seen.look(end)
        assert seen.follower.end_offset(1) == end
    process.kill()
    await process.wait()
    assert seen is not None
    store = await open_store(str(tmp_path), "file")
    h = await Harness.open(store)
    await seen.look(len(h.state.entries))
    seen.check(h.state.entries)
    await h.log.close()
    await reader.close()
    await store.close()
