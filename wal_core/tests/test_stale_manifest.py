"""Whoever was paused around a manifest while others went on commits nothing and deletes nothing.

Old manifests are deleted, so their numbers can be created again: the create alone proves nothing.
What lies in the bucket may have been written by a later owner.
"""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from wal_core import Fenced, LogConfig, MemoryStore, SegmentStore, open_store
from wal_core.fsck import check_log
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import VirtualClock
from wal_core.tests.harness import CountingRng, Harness

CONFIG = dataclasses.replace(
    LogConfig.preset("object"),
    gather_ms=0,
    segment_blocks_max=1,
    garbage_grace_ms=10_000,
    store_timeout_ms=10_000_000,
)
UNSEALED = dataclasses.replace(CONFIG, seal_segments_min_count=1_000, seal_segments_max_count=1_000)
"""No compaction comes between."""
SEGMENTS_COUNT = 120  # many times the segments of one compaction: many manifests


class _PausingStore(FaultyObjectStore):
    """One call waits, before or after its effect, until told to go on: the next of `operation` in
    `folder`.
    """

    def __init__(
        self, bucket: MemoryStore, operation: str = "create", moment: str = "before"
    ) -> None:
        super().__init__(bucket)
        self.operation = operation
        self.moment = moment
        self.folder = "manifests/"
        self.armed = False
        self.skip_count = 0
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()

    async def _before(self, fault: Fault | None, key: str) -> None:
        await self._pause("before", key)

    async def _after(self, fault: Fault | None, key: str) -> None:
        await self._pause("after", key)

    async def _pause(self, moment: str, key: str) -> None:
        called = self.calls[-1].operation
        wanted = (self.operation, self.moment) == (called, moment) and key.startswith(self.folder)
        if self.armed and wanted:
            if self.skip_count:
                self.skip_count -= 1
                return
            self.armed = False
            self.paused.set()
            await self.go_on.wait()


async def store_of(objects: FaultyObjectStore) -> SegmentStore:
    return await open_store("", "object", objects=objects)


async def opened(objects: FaultyObjectStore, config: LogConfig = CONFIG) -> Harness:
    return await Harness.open(await store_of(objects), config, clock=VirtualClock())


async def write(h: Harness, name: bytes, count: int) -> None:
    for number in range(count):
        await h.add(0, b"%s %d" % (name, number))


async def check(bucket: MemoryStore, h: Harness, count: int) -> None:
    """All is there, for the owner and for the next one."""
    found = await h.read_all(0)
    assert len(found) == count
    heir = await opened(FaultyObjectStore(bucket))
    assert await heir.read_all(0) == found
    await heir.log.until_quiet()
    report = await check_log(await store_of(FaultyObjectStore(bucket)), CONFIG, CountingRng())
    assert not report.findings


def test_a_stray_object_among_the_manifests_is_nobody_who_went_on():
    async def main() -> None:
        bucket = MemoryStore()
        for name in ("zzz", "readme.txt", "0/x", ".DS_Store", "99"):
            await bucket.create(f"manifests/0/{name}", [b"stray"])
        owner = await opened(FaultyObjectStore(bucket))
        await write(owner, b"owner", 7)
        await owner.log.until_quiet()
        assert len(await owner.read_all(0)) == 7
        heir = await opened(FaultyObjectStore(bucket))
        assert len(await heir.read_all(0)) == 7

    run(main)


async def stopped_opening(
    bucket: MemoryStore, folder: str, moment: str = "before"
) -> tuple[_PausingStore, asyncio.Task[Harness]]:
    """An opening behind some written segments, that waits at its next create in `folder`."""
    first = await opened(FaultyObjectStore(bucket))
    await write(first, b"first", 7)
    sleepy = _PausingStore(bucket, moment=moment)
    sleepy.folder = folder
    sleepy.armed = True
    opening = asyncio.ensure_future(opened(sleepy))
    await sleepy.paused.wait()
    return sleepy, opening


moments = pytest.mark.parametrize("moment", ["before", "after"])


@moments
def test_a_stale_opener_takes_nothing_over(moment):
    async def main() -> None:
        bucket = MemoryStore()
        sleepy, opening = await stopped_opening(bucket, "manifests/", moment)
        owner = await opened(FaultyObjectStore(bucket))
        await write(owner, b"owner", SEGMENTS_COUNT)
        await asyncio.sleep(60)  # compacted, collected, pruned
        sleepy.go_on.set()
        with pytest.raises(Fenced):
            await opening
        await asyncio.sleep(60)
        await check(bucket, owner, 7 + SEGMENTS_COUNT)

    run(main)


@pytest.mark.parametrize("operation", ["list", "get_range"])
@pytest.mark.parametrize("skip_count", range(4))
def test_an_opener_that_finds_things_deleted_tells_no_tale_of_damage(operation, skip_count):
    """It was paused between the manifest and what the manifest leads to: then it takes over what
    there is by now, or learns that it was overtaken."""

    async def main() -> None:
        bucket = MemoryStore()
        first = await opened(FaultyObjectStore(bucket))
        await write(first, b"first", 7)
        sleepy = _PausingStore(bucket, operation)
        sleepy.folder = "logs/"
        sleepy.skip_count = skip_count
        sleepy.armed = True
        opening = asyncio.ensure_future(opened(sleepy))
        await asyncio.sleep(1)
        owner = await opened(FaultyObjectStore(bucket))
        await write(owner, b"owner", SEGMENTS_COUNT)
        await asyncio.sleep(60)
        sleepy.go_on.set()
        outcome = (await asyncio.gather(opening, return_exceptions=True))[0]
        heirs = [owner] if isinstance(outcome, Fenced) else [outcome, owner]
        words = [heir.add(0, b"word") for heir in heirs if heir.log.confirmed_offset(0) == 127]
        answers = await asyncio.gather(*words, return_exceptions=True)
        assert [answer for answer in answers if answer is not None] in ([], [answers[-1]])
        assert answers.count(None) == 1
        heir = await opened(FaultyObjectStore(bucket))
        assert len(await heir.read_all(0)) == 7 + SEGMENTS_COUNT + 1

    run(main)


def test_a_fence_where_others_have_long_deleted_everything_does_not_count():
    """Even the slot of the owner's own fence is free again when the opener wakes up."""

    async def main() -> None:
        bucket = MemoryStore()
        config = dataclasses.replace(CONFIG, fence_grace_ms=1_000)
        sleepy, opening = await stopped_opening(bucket, "logs/")
        slot = sleepy.calls[-1].key
        owner = await opened(FaultyObjectStore(bucket), config)
        await write(owner, b"owner", SEGMENTS_COUNT)
        await asyncio.sleep(60)
        assert slot not in bucket.objects
        sleepy.go_on.set()
        with pytest.raises(Fenced, match="meanwhile"):
            await opening
        assert slot not in bucket.objects  # nothing would ever have named it
        await owner.add(0, b"still the owner")
        assert len(await owner.read_all(0)) == 7 + SEGMENTS_COUNT + 1
        heir = await opened(FaultyObjectStore(bucket))
        assert len(await heir.read_all(0)) == 7 + SEGMENTS_COUNT + 1

    run(main)


def test_an_idle_owner_whose_fence_was_deleted_long_ago_acknowledges_nothing():
    """It wrote nothing, so nothing told it; its slot is free again, behind all that counts."""

    async def main() -> None:
        bucket = MemoryStore()
        config = dataclasses.replace(CONFIG, fence_grace_ms=1_000)
        open_ended = dataclasses.replace(config, segment_blocks_max=100)
        zombie = await opened(FaultyObjectStore(bucket), open_ended)
        await write(zombie, b"zombie", 1)
        before = set(bucket.objects)
        owner = await opened(FaultyObjectStore(bucket), config)
        (fence,) = (key for key in set(bucket.objects) - before if key.startswith("logs/"))
        await write(owner, b"owner", SEGMENTS_COUNT)
        await asyncio.sleep(60)
        assert fence not in bucket.objects
        with pytest.raises(Fenced):
            await zombie.add(0, b"of nobody")
        assert fence in bucket.objects  # what it created is there, and nobody was told so
        assert len(await owner.read_all(0)) == 1 + SEGMENTS_COUNT

    run(main)


@pytest.mark.parametrize("what", ["entries", "index", "compaction"])
def test_an_owner_that_misses_what_its_successor_has_deleted_tells_no_tale_of_damage(what, caplog):
    """Nothing has told it yet that there is one."""

    async def main() -> None:
        bucket = MemoryStore()
        config = dataclasses.replace(CONFIG, tail_bytes_max=1, table_cache_bytes_max=1)
        zombie = await opened(FaultyObjectStore(bucket), config)
        may_compact = asyncio.get_running_loop().create_future()
        zombie.log.compact_after(may_compact)
        await write(zombie, b"zombie", 7)
        owner = await opened(FaultyObjectStore(bucket))
        await write(owner, b"owner", SEGMENTS_COUNT)
        await asyncio.sleep(60)  # compacted, collected
        caplog.clear()
        with pytest.raises(Fenced):
            if what == "entries":
                await zombie.log.read(0, 0, 1 << 20)
            elif what == "index":
                await zombie.log.offset_for_size(0, 1)
            else:
                may_compact.set_result(None)
                await asyncio.sleep(60)
                zombie.log.failed.result()
        assert isinstance(zombie.log.failed.exception(), Fenced)
        assert not [r for r in caplog.records if r.levelname in ("WARNING", "ERROR")]
        assert len(await owner.read_all(0)) == 7 + SEGMENTS_COUNT

    run(main)


def test_an_owner_that_was_idle_for_long_and_still_is_the_owner_goes_on():
    async def main() -> None:
        bucket = MemoryStore()
        config = dataclasses.replace(CONFIG, fence_grace_ms=1_000)
        objects = FaultyObjectStore(bucket)
        h = await opened(objects, config)
        await asyncio.sleep(60)
        await h.log.until_quiet()
        objects.calls.clear()
        await write(h, b"late", 1)
        assert "list" in {call.operation for call in objects.calls}
        objects.calls.clear()
        await write(h, b"soon", 1)
        assert "list" not in {call.operation for call in objects.calls if "manifests" in call.key}
        assert len(await h.read_all(0)) == 2

    run(main)


@pytest.mark.parametrize("grace_ms", [1_000, 10_000_000])
def test_a_fence_that_counted_is_left_where_it_is(grace_ms):
    """Whoever was paused before that must go on finding the slot taken, for as long as is promised:
    its own opener, overtaken before it looked again, must not take it away."""

    async def main() -> None:
        bucket = MemoryStore()
        config = dataclasses.replace(CONFIG, fence_grace_ms=grace_ms)
        sleepy, opening = await stopped_opening(bucket, "logs/", "after")
        slot = sleepy.calls[-1].key
        owner = await opened(FaultyObjectStore(bucket), config)
        await write(owner, b"owner", SEGMENTS_COUNT)
        await asyncio.sleep(60)
        is_kept = slot in bucket.objects
        assert is_kept == (grace_ms > 60_000)
        sleepy.go_on.set()
        with pytest.raises(Fenced, match="meanwhile"):
            await opening
        assert (slot in bucket.objects) == is_kept
        await check(bucket, owner, 7 + SEGMENTS_COUNT)

    run(main)


@pytest.mark.parametrize("others_count", [0, 1, SEGMENTS_COUNT])
def test_an_opener_that_was_fenced_before_it_looked_again_owns_nothing(others_count):
    """Its fence counted, and so did the next one: the manifests are not its to take over, also
    while all that they name is still there."""

    async def main() -> None:
        bucket = MemoryStore()
        sleepy, opening = await stopped_opening(bucket, "logs/", "after")
        owner = await opened(FaultyObjectStore(bucket), UNSEALED)
        await write(owner, b"owner", others_count)
        sleepy.go_on.set()
        with pytest.raises(Fenced, match="meanwhile"):
            await opening
        await write(owner, b"still the owner", SEGMENTS_COUNT)
        await asyncio.sleep(60)
        await check(bucket, owner, 7 + others_count + SEGMENTS_COUNT)

    run(main)


def test_of_two_openers_that_take_the_same_term_one_owns_the_log():
    """One waits before its fence, the other before its manifest: what they create differs in the
    nonce alone."""

    async def main() -> None:
        bucket = MemoryStore()
        first = await opened(FaultyObjectStore(bucket), UNSEALED)
        await write(first, b"first", 7)
        stores = [_PausingStore(bucket), _PausingStore(bucket)]
        stores[0].folder = "logs/"
        openings = []
        for store in stores:
            store.armed = True
            openings.append(asyncio.ensure_future(opened(store, UNSEALED)))
            await store.paused.wait()
        outcomes: list[Harness | BaseException] = []
        for store, opening in zip(stores, openings, strict=True):
            store.go_on.set()
            outcomes += await asyncio.gather(opening, return_exceptions=True)
        words = [heir.add(0, b"word") for heir in outcomes if isinstance(heir, Harness)]
        answers = await asyncio.gather(*words, return_exceptions=True)
        assert answers.count(None) == 1
        assert len(await (await opened(FaultyObjectStore(bucket))).read_all(0)) == 8

    run(main)


@moments
@pytest.mark.parametrize("others_count", [1, SEGMENTS_COUNT])
def test_a_stale_compactor_deletes_nothing(moment, others_count):
    """Its manifest may count, if it was created in time: others build on it then."""

    async def main() -> None:
        bucket = MemoryStore()
        sleepy = _PausingStore(bucket, moment=moment)
        first = await opened(sleepy)
        sleepy.armed = True
        await write(first, b"first", 7)
        await sleepy.paused.wait()
        owner = await opened(FaultyObjectStore(bucket))
        await write(owner, b"owner", others_count)
        await asyncio.sleep(60)
        sleepy.go_on.set()
        with pytest.raises(Fenced):
            await first.log.failed
        await asyncio.sleep(60)
        await check(bucket, owner, 7 + others_count)

    run(main)


def test_whoever_was_paused_before_it_swept_leaves_alone_what_came_later():
    async def main() -> None:
        bucket = MemoryStore()
        config = dataclasses.replace(CONFIG, garbage_grace_ms=600_000)
        first = await opened(FaultyObjectStore(bucket), config)
        await write(first, b"first", 7)
        sleepy = _PausingStore(bucket, "list")
        sleepy.folder = "sealed/"
        sleepy.skip_count = 1  # the opening itself looks there before its fence
        sleepy.armed = True
        opening = asyncio.ensure_future(opened(sleepy, config))  # and what it does right afterwards
        await sleepy.paused.wait()
        assert any(call.operation == "create" for call in sleepy.calls), "it has not opened yet"
        owner = await opened(FaultyObjectStore(bucket), config)
        await write(owner, b"owner", SEGMENTS_COUNT)
        await asyncio.sleep(60)
        sleepy.go_on.set()
        await opening
        await check(bucket, owner, 7 + SEGMENTS_COUNT)

    run(main)


def test_what_was_in_flight_behind_a_footer_is_no_sign_that_a_segment_is_gone(caplog):
    """Else a compaction that died before its manifest counts, and what it replaced stays."""

    async def main() -> None:
        bucket = MemoryStore()
        sleepy = _PausingStore(bucket)
        first = await opened(sleepy)
        sleepy.armed = True
        await write(first, b"first", 1)
        stray = f"logs/0/{1:020d}/"
        await bucket.create(f"{stray}{4:010d}", [bucket.objects[f"{stray}{0:010d}"]])
        await write(first, b"more", 6)
        await sleepy.paused.wait()
        assert any(key.endswith("/index") for key in bucket.objects)
        await first.crash()
        owner = await opened(FaultyObjectStore(bucket))
        await asyncio.sleep(60)
        await owner.log.until_quiet()
        await check(bucket, owner, 7)

    run(main)
    assert "named by no manifest" not in caplog.text
