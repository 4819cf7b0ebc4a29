"""Compaction, truncation, drops and deletion under a random load: what is alive stays readable,
byte by byte, and in the end there is nothing in the store that nothing names.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from wal_core import Fenced, LogConfig, MemoryStore, open_store
from wal_core.format.block import BlockKind, parse_block
from wal_core.format.chain import Completed, Sealed
from wal_core.fsck import check_log
from wal_core.stores import off_loop
from wal_core.stores.off_loop import UPKEEP, Lane
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.testing.faulty_files import ExecutorFileWriter, FaultyFileOps
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sampled import sampled
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, VirtualClock, World, load
from wal_core.tests.harness import CountingRng, Harness


@pytest.mark.parametrize("seed", sampled(range(12), quick_count=2))
def test_in_a_bucket_with_faults(seed):
    async def main() -> None:
        world = World(seed, SMALL)
        faulty = FaultyObjectStore(
            MemoryStore(), jitter_s=0.02, fault_rate=0.05 * (seed % 3), seed=seed
        )
        store = await open_store("", "object", objects=faulty)
        await world.open(store)
        await load(world, store, 240)
        await world.settle()
        await world.check()
        faulty.fault_rate = 0
        await world.check_store()
        links = world.h.log._contents.chain.links
        assert any(isinstance(link, Sealed) for link in links)
        assert len(links) < 20
        await world.h.log.close()
        await world.open(store)
        await world.settle()
        await world.check()
        await world.check_store()

    run(main, seed=seed)


@pytest.mark.parametrize("seed", range(6))
def test_in_files(seed, tmp_path: Path):
    async def main() -> None:
        world = World(seed, dataclasses.replace(SMALL, segment_bytes_max=1_500))
        ops = FaultyFileOps(seed, fault_rate=0.02)
        store = FileSegmentStore(tmp_path, ops=ops, writer=ExecutorFileWriter(ops))
        await world.open(store)
        await load(world, store, 160)
        await world.settle()
        await world.check()
        await world.check_store()
        assert any(isinstance(link, Sealed) for link in world.h.log._contents.chain.links)
        await world.h.log.close()

    run(main, seed=seed)


def test_a_year_of_segments_stays_a_short_chain_and_a_flat_commit():
    async def main() -> None:
        config = dataclasses.replace(SMALL, segment_blocks_max=1, merge_count=8)
        bucket = MemoryStore()
        store = await open_store("", "object", objects=FaultyObjectStore(bucket))
        h = await Harness.open(store, config, clock=VirtualClock())
        sizes: dict[int, int] = {}
        for number in range(1, 1_501):
            await h.add(0, b"x" * 20, ts=number)
            h.state.entries.clear()  # a checkpoint that does not grow
            if number in (100, 500, 1_500):
                await h.log.until_quiet()
                await asyncio.sleep(2)
                await h.log.until_quiet()
                newest = max(key for key in bucket.objects if key.startswith("manifests/"))
                sizes[number] = len(bucket.objects[newest])
                assert len(h.log._contents.chain.links) < 35
        assert sizes[1_500] < 3 * sizes[100]

    run(main)


def test_blocks_that_lie_together_are_referenced_and_not_rewritten():
    async def main() -> None:
        bucket = MemoryStore()
        store = await open_store("", "object", objects=FaultyObjectStore(bucket))
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        for _ in range(18):
            await h.add(0, bytes(500))
        await h.log.until_quiet()
        sealed = [link for link in h.log._contents.chain.links if isinstance(link, Sealed)]
        assert sealed
        names = [key for key in bucket.objects if key.startswith("sealed/")]
        assert {name.rpartition("/")[2] for name in names} == {"index"}
        await asyncio.sleep(10)
        await h.log.until_quiet()
        assert len(await h.read_all(0)) == 18
        assert (await check_log(store, SMALL, CountingRng())).findings == []

    run(main)


def test_small_blocks_of_files_are_gathered_and_large_ones_are_not(tmp_path):
    config = dataclasses.replace(
        LogConfig.preset("file"),
        segment_blocks_max=60,
        seal_blocks_min_count=50,
        small_block_bytes=2_000,
        garbage_grace_ms=0,
    )

    async def main() -> None:
        h = await Harness.open(await open_store(str(tmp_path), "file"), config)

        async def sealed_blocks(count: int, size: int) -> list[int]:
            for number in range(count):
                await h.add(0, b"%06d" % number * (size // 6))
            await h.log.until_quiet()
            *links, last, newest = h.log._contents.chain.links
            assert isinstance(last, Completed)
            assert isinstance(newest, Completed)
            tables = [await h.log._reader.tables.get(link) for link in links]
            return [table.block_count for table in tables]

        assert await sealed_blocks(190, 100) == [1]
        # What was not complete yet holds more large ones than small.
        *small, large = await sealed_blocks(360, 3_000)
        assert (set(small), large) == ({1}, 240)
        assert len(await h.read_all(0)) == 550
        files = {path.name for path in (tmp_path / "logs/0").glob("*.seg")}
        assert f"{0:020d}.seg" not in files
        await h.log.close()

    asyncio.run(main())


def test_the_newest_completed_segment_is_never_sealed():
    async def main() -> None:
        store = await open_store("", "object", objects=FaultyObjectStore(MemoryStore()))
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        for number in range(60):
            await h.add(0, b"%d" % number)
            await h.log.until_quiet()
            assert isinstance(h.log._contents.chain.links[-1], Completed)

    run(main)


def test_what_a_compaction_was_killed_over_is_removed_by_the_next_opening():
    async def main() -> None:
        bucket = MemoryStore()
        faulty = FaultyObjectStore(bucket)
        store = await open_store("", "object", objects=faulty)
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        # The index is slow to arrive: the process dies before it does.
        faulty.latency_s = lambda operation, key: 50.0 if key.endswith("/index") else 0.0
        for number in range(20):
            await h.add(number % 3, b"%d" % number * 9)
        await asyncio.sleep(1)
        assert any(key.startswith("sealed/") for key in bucket.objects)
        await h.crash()
        faulty.latency_s = 0.0
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        await h.log.until_quiet()
        await asyncio.sleep(10)
        await h.log.until_quiet()
        assert (await check_log(store, SMALL, CountingRng())).findings == []

    run(main)


def test_an_idle_log_asks_the_store_for_nothing():
    async def main() -> None:
        faulty = FaultyObjectStore(MemoryStore())
        store = await open_store("", "object", objects=faulty)
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        for number in range(30):
            await h.add(0, b"%d" % number)
        await asyncio.sleep(SMALL.segment_age_max_ms / 1000 + 10)
        await h.log.until_quiet()
        faulty.calls.clear()
        await asyncio.sleep(86_400 * 30)
        assert faulty.calls == []

    run(main, virtual_s_max=1e7)


def test_a_drop_that_is_not_durable_yet_removes_nothing():
    """The entry that tells of the drop is stuck in the store: no manifest acts on it before."""

    async def main() -> None:
        bucket = MemoryStore()
        faulty = FaultyObjectStore(bucket)
        store = await open_store("", "object", objects=faulty)
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        for number in range(20):
            await h.add(number % 2, b"%d" % number * 9)
        await h.log.until_quiet()
        before = {key for key in bucket.objects if key.startswith("manifests/")}
        slow = lambda operation, key: 25.0 if (operation, key[:5]) == ("create", "logs/") else 0.0  # noqa: E731
        faulty.latency_s = slow
        h.add(7, b"stream 1 is gone")
        h.log.drop_stream(1)
        await asyncio.sleep(20)
        assert {key for key in bucket.objects if key.startswith("manifests/")} == before
        await asyncio.sleep(20)
        await h.log.until_quiet()
        assert {key for key in bucket.objects if key.startswith("manifests/")} != before

    run(main)


def test_a_drop_that_a_fence_prevents_removes_nothing():
    """The entry that tells of it meets the fence of an opener that has no manifest yet and would
    take over whatever is committed.
    """

    async def main() -> None:
        bucket = MemoryStore()
        faulty = FaultyObjectStore(bucket)
        h = await Harness.open(
            await open_store("", "object", objects=faulty), SMALL, clock=VirtualClock()
        )
        for number in range(20):
            await h.add(number % 2, b"%d" % number * 9)
        await h.log.until_quiet()
        before = {key for key in bucket.objects if key.startswith("manifests/")}
        faulty.latency_s = lambda what, key: 25.0 if (what, key[:5]) == ("create", "logs/") else 0.0
        lost = h.add(7, b"stream 1 is gone")
        h.log.drop_stream(1)
        slow = FaultyObjectStore(
            bucket, latency_s=lambda what, key: 1e6 if (what, key[:3]) == ("create", "man") else 0.0
        )
        rival = asyncio.ensure_future(
            Harness.open(await open_store("", "object", objects=slow), SMALL, clock=VirtualClock())
        )
        with pytest.raises(Fenced):
            await lost
        await asyncio.sleep(60)
        assert {key for key in bucket.objects if key.startswith("manifests/")} == before
        rival.cancel()
        await asyncio.wait((rival,))

    run(main)


def test_all_that_died_at_once_goes_though_each_step_takes_one_link():
    async def main() -> None:
        store = await open_store("", "object", objects=MemoryStore())
        config = dataclasses.replace(
            SMALL, merge_count=100, seal_segments_min_count=2, seal_segments_max_count=2
        )
        h = await Harness.open(store, config, clock=VirtualClock())
        for number in range(40):
            await h.add(number % 2, b"%d" % number * 9)
        await asyncio.sleep(60)
        sealed = [link for link in h.log._contents.chain.links if isinstance(link, Sealed)]
        assert len(sealed) > 2 and all(link.live_bytes for link in sealed)
        for stream in (0, 1):
            h.log.truncate(stream, 20)
        await asyncio.sleep(60)
        sealed = [link for link in h.log._contents.chain.links if isinstance(link, Sealed)]
        assert not any(link.live_bytes for link in sealed), sealed

    run(main)


def test_a_compaction_that_meets_damage_leaves_nothing_of_its_own():
    """Not even until the next opening: what is tried again and again would fill the store."""

    async def main() -> None:
        bucket = MemoryStore()
        store = await open_store("", "object", objects=FaultyObjectStore(bucket))
        never = dataclasses.replace(SMALL, seal_segments_min_count=1_000)
        h = await Harness.open(store, never, clock=VirtualClock())
        for number in range(20):
            await h.add(number % 2, b"%d" % number * 99)
        await h.log.close()
        damaged = f"logs/0/{4:020d}/{1:010d}"
        bucket.objects[damaged] = bucket.objects[damaged][:-1] + b"\0"
        created: list[str] = []
        store = await open_store("", "object", objects=FaultyObjectStore(bucket))
        create = store.objects.create

        async def noted(key: str, pieces: Sequence[bytes]) -> None:
            created.append(key)
            await create(key, pieces)

        store.objects.create = noted
        copies = dataclasses.replace(SMALL, reference_bytes_min=1 << 20, seal_segments_max_count=9)
        h = await Harness.open(store, copies, clock=VirtualClock())
        await asyncio.sleep(60)
        assert any(key.startswith("sealed/") for key in created)
        assert not [key for key in bucket.objects if key.startswith("sealed/")]

    run(main)


def test_what_was_removed_after_the_last_footer_is_no_gap():
    """No footer knows yet where the streams start: the sealed segment says so itself."""

    async def main() -> None:
        store = await open_store("", "object", objects=MemoryStore())
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        for number in range(20):
            await h.add(number % 2, b"%d" % number * 9)
        await h.log.until_quiet()
        chain = h.log._contents.chain.links
        for stream in (0, 1):
            h.log.truncate(stream, 6)
        await asyncio.sleep(60)
        assert h.log._contents.chain.links != chain and h.log._contents.chain.links[-1] == chain[-1]
        report = await check_log(store, SMALL, CountingRng())
        assert not report.findings, report.findings

    run(main)


def test_what_was_replaced_stays_for_those_who_began_before():
    async def main() -> None:
        bucket = MemoryStore()
        store = await open_store("", "object", objects=FaultyObjectStore(bucket))
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        for number in range(20):
            await h.add(number % 3, b"%d" % number * 9)
        blocks = {key for key in bucket.objects if key.startswith("logs/")}
        await h.log.until_quiet()
        assert any(isinstance(link, Sealed) for link in h.log._contents.chain.links)
        assert blocks <= set(bucket.objects)
        await asyncio.sleep(2)  # the grace time
        await h.log.until_quiet()
        assert not blocks <= set(bucket.objects)

    run(main)


@pytest.mark.parametrize("blocks_before_count", [0, 20])
def test_a_read_that_outlasts_the_grace_time_finds_where_its_records_have_gone(blocks_before_count):
    async def main() -> None:
        bucket = MemoryStore()
        faulty = FaultyObjectStore(bucket)
        store = await open_store("", "object", objects=faulty)
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        for number in range(blocks_before_count):
            await h.add(number % 3, b"%d" % number, ts=number)
        await h.log.until_quiet()
        offset = h.log.end_offset(0)
        await h.add(0, b"looked for", ts=1_000)
        key = max(key for key in bucket.objects if key.startswith("logs/"))
        faulty.latency_s = lambda _, asked: 20.0 if asked == key else 0.0
        reads = [
            asyncio.ensure_future(h.log.read(0, offset, 1)),
            asyncio.ensure_future(h.log.find_timestamp(0, 1_000)),
        ]
        await asyncio.sleep(0.1)
        faulty.latency_s = 0.0
        for number in range(30):
            await h.add(number % 3, b"%d" % number)
        await asyncio.sleep(5)
        assert key not in bucket.objects
        (read,), found = await asyncio.gather(*reads)
        assert read.payload == found.payload == b"looked for"

    run(main)


def test_a_batch_that_a_stream_starts_inside_of_is_kept():
    async def main() -> None:
        store = await open_store("", "object", objects=FaultyObjectStore(MemoryStore()))
        h = await Harness.open(store, SMALL, clock=VirtualClock())
        for number in range(4):
            await h.add(0, b"%d" % number, count=5)
            await h.add(1, b"%d" % number * 30)
        h.log.truncate(0, 7)
        for number in range(20):
            await h.add(1, b"%d" % number * 30)
        await h.log.until_quiet()
        assert isinstance(h.log._contents.chain.links[0], Sealed)
        found = await h.log.read(0, 7, 1_000)
        assert [entry.base_offset for entry in found] == [5, 10, 15]

    run(main)


def test_what_a_fenced_writer_sent_and_arrives_late_goes_with_the_fence():
    """Its first block meets the fence, the one behind finds its slot free."""

    async def main() -> None:
        bucket = MemoryStore()
        slots = [f"{1:020d}/{number:010d}" for number in (1, 2)]
        plan = [Planned("create", slot, Fault.LATE, late_s=100) for slot in slots]
        paused = FaultyObjectStore(bucket, plan=plan)
        a = await Harness.open(await open_store("", "object", objects=paused), SMALL)
        await a.add(0, b"first")
        for number in range(2):
            a.add(0, b"late %d" % number)
            await asyncio.sleep(0.001)
        await a.log._writer.stop()
        config = dataclasses.replace(SMALL, fence_grace_ms=200_000)
        store = await open_store("", "object", objects=FaultyObjectStore(bucket))
        b = await Harness.open(store, config, clock=VirtualClock())
        for number in range(30):
            await b.add(0, b"%d" % number)
        await asyncio.sleep(50)
        assert [key for key in bucket.objects if f"{1:020d}/" in key] == [f"logs/0/{slots[0]}"]
        await asyncio.sleep(100)
        assert [key for key in bucket.objects if f"{1:020d}/" in key] == [
            f"logs/0/{slot}" for slot in slots
        ]
        report = await check_log(store, config, CountingRng())
        assert report.findings == []
        assert report.garbage_count == len(slots) + 1  # and the fence of the opening before
        await asyncio.sleep(100)
        await b.log.until_quiet()
        assert [key for key in bucket.objects if f"{1:020d}/" in key] == []
        assert (await check_log(store, config, CountingRng())).findings == []

    run(main)


def test_where_a_writer_was_fenced_it_fails_for_ever():
    """Its block arrives when all else of that segment has long been deleted."""

    async def main() -> None:
        bucket = MemoryStore()
        slot = f"{1:020d}/{1:010d}"
        plan = [Planned("create", slot, Fault.LATE, late_s=100)]
        paused = FaultyObjectStore(bucket, plan=plan)
        a = await Harness.open(await open_store("", "object", objects=paused), SMALL)
        await a.add(0, b"first")
        late = a.add(0, b"late")
        await asyncio.sleep(0.001)
        await a.log._writer.stop()
        assert late.exception() is not None
        config = dataclasses.replace(SMALL, fence_grace_ms=7 * 86_400_000)
        store = await open_store("", "object", objects=FaultyObjectStore(bucket))
        b = await Harness.open(store, config, clock=VirtualClock())
        for number in range(30):
            await b.add(0, b"%d" % number)
        await b.log.until_quiet()
        await asyncio.sleep(5)
        await b.log.until_quiet()
        assert f"logs/0/{1:020d}/{0:010d}" not in bucket.objects
        await asyncio.sleep(200)
        assert parse_block(bucket.objects[f"logs/0/{slot}"]).header.kind == BlockKind.FENCE
        assert [payload for _, payload in await b.read_all(0)][:2] == [b"first", b"0"]
        assert (await check_log(store, config, CountingRng())).findings == []

    run(main)


def test_a_segment_of_many_blocks_is_weighed_beside_the_loop(monkeypatch: pytest.MonkeyPatch):
    begun, start = [], Lane.start

    def noted(lane: Lane, work):
        begun.append((lane, getattr(getattr(work, "func", None), "__name__", "")))
        return start(lane, work)

    async def main() -> None:
        world = World(0, SMALL)
        await world.open(await open_store("", "object", objects=MemoryStore()))
        await load(world, world.h.store, 60)
        await world.settle()
        await world.check()
        await world.h.log.close()

    monkeypatch.setattr(off_loop, "LARGE_ROWS_COUNT", 2)
    monkeypatch.setattr(Lane, "start", noted)
    run(main)
    assert (UPKEEP, "worth_keeping") in begun
