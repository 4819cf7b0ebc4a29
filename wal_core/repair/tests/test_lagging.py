"""Copies of a bucket that lag: whatever of the newest objects is missing, a prefix is left."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random  # noqa: TID251 - seeded
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from wal_core import (
    Invalid,
    LogConfig,
    MemoryStore,
    SegmentStore,
    Unavailable,
    check_log,
    open_store,
)
from wal_core.format.stream_tables import Run, StreamRow
from wal_core.repair.lagging import JUMP, CutLog, cut_log, starts_behind_gaps
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, VirtualClock, World
from wal_core.tests.harness import CountingRng, Harness, Recorder
from wal_core.types import Buffer

DRAWS_COUNT = int(os.environ.get("LAGGING_DRAWS", "20"))
MISSING_MAX_COUNT = 50
STEPS_COUNT = 220
CONFIG = dataclasses.replace(SMALL, checkpoint_piece_bytes=2_000)


class Copied:
    """A source under load, and a copy of it that lacks some of its newest objects."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        grace_ms = self.rng.choice([500, 5_000, 600_000])
        config = dataclasses.replace(CONFIG, garbage_grace_ms=grace_ms)
        self.world = World(seed, config)
        self.source: dict[str, bytes] = {}
        self.missing: list[str] = []
        self.bucket = MemoryStore()

    @property
    def config(self) -> LogConfig:
        return self.world.config

    async def load(self, steps_count: int) -> None:
        """Sealing, retention, drops, restarts; objects in the order of their creation."""
        bucket = MemoryStore()
        store = await open_store("", "object", objects=bucket)
        await self.world.open(store)
        for number in range(steps_count):
            await self.world.step()
            if self.rng.random() < 0.2:
                await asyncio.sleep(self.rng.random() * 3)
            if self.rng.random() < 0.03:
                self.delete_old()
            if number % 60 == 59:
                await self.world.h.crash()
                await self.world.open(store)
        self.source = {key: bytes(body) for key, body in bucket.objects.items()}
        await self.world.h.log.close()

    def delete_old(self) -> None:
        """Retention, of every stream."""
        for stream, records in self.world.records.items():
            if stream not in self.world.dropped:
                start = max(self.world.starts[stream], len(records) - self.rng.randrange(10))
                self.world.starts[stream] = start
                self.world.h.log.truncate(stream, start)

    async def lose(self) -> SegmentStore:
        """The copy."""
        newest = [
            key for key in self.source if key.split("/")[0] in ("logs", "manifests", "sealed")
        ]
        newest = newest[-MISSING_MAX_COUNT:]
        self.missing = self.rng.sample(newest, self.rng.randint(0, len(newest)))
        for key in self.source:
            if key not in self.missing:
                await self.bucket.create(key, [self.source[key]])
        return await open_store("", "object", objects=self.bucket)

    async def cut(self, store: SegmentStore, *, to_commit: bool = True) -> CutLog:
        return await cut_log(
            store,
            Recorder(),
            self.config,
            clock=VirtualClock(),
            rng=CountingRng(),
            to_commit=to_commit,
        )

    def ends_of(self, entries_count: int) -> Counter[int]:
        ends: Counter[int] = Counter()
        for stream, _, span, *_ in self.world.h.state.entries[:entries_count]:
            ends[stream] += span
        return ends

    def is_prefix(self, ends: dict[int, int]) -> bool:
        """Whether the source had these streams, and just these ends, at some moment."""
        found: Counter[int] = Counter()
        left = sum(found[stream] != end for stream, end in ends.items())
        if not left:
            return True
        for stream, _, span, *_ in self.world.h.state.entries:
            if stream in ends:
                left -= found[stream] != ends[stream]
                found[stream] += span
                left += found[stream] != ends[stream]
                if not left:
                    return True
        return False


async def check_prefix(copied: Copied, store: SegmentStore, done: CutLog) -> Harness:
    """Opened as a broker would: what is there was written, in order, without a hole."""
    report = await check_log(store, copied.config, CountingRng())
    assert report.sound, report.findings
    h = await Harness.open(store, copied.config, clock=VirtualClock())
    ends = {}
    for stream, records in copied.world.records.items():
        end = h.log.end_offset(stream)
        if stream not in h.log.stream_ids():
            continue
        start = h.log.start_offset(stream)
        assert end <= len(records)
        assert await h.read_all(stream) == list(enumerate(records))[start:end]
        if not (start == end and stream in done.moved_starts):
            ends[stream] = end
    assert copied.is_prefix(ends), ends
    return h


async def one_draw(seed: int, *, moves_starts: bool = False) -> None:
    copied = Copied(seed)
    await copied.load(STEPS_COUNT)
    store = await copied.lose()
    before = dict(copied.bucket.objects)
    planned = await copied.cut(store, to_commit=False)
    assert copied.bucket.objects == before
    done = await copied.cut(store)
    assert done == planned
    assert done.moved_starts or not moves_starts
    created = copied.bucket.objects.keys() - before.keys()
    assert not created & copied.source.keys()
    h = await check_prefix(copied, store, done)
    told = {row.stream_id: row for row in done.given_up}
    for stream, row in told.items():
        assert row.first_offset == h.log.end_offset(stream) < row.end_offset
        assert row.end_offset <= len(copied.world.records[stream])
    await h.log.close()
    if seed % 4 == 0:
        await go_on(copied, store, done)


async def go_on(copied: Copied, store: SegmentStore, done: CutLog) -> None:
    """The log is written, sealed and cleaned up, while replication brings what was missing."""
    h = await Harness.open(store, copied.config, clock=VirtualClock())
    kept = {stream: await h.read_all(stream) for stream in copied.world.records}
    for key in copied.missing:
        await copied.bucket.create(key, [copied.source[key]])
    added: Counter[int] = Counter()
    for number in range(60):
        stream = number % (len(copied.world.records) + 1)
        added[stream] += 1
        await h.add(stream, b"after" * (number % 7 + 1))
    await h.log.until_quiet()
    for grace_ms in (copied.config.garbage_grace_ms, copied.config.fence_grace_ms):
        await asyncio.sleep(grace_ms / 1000 + 1)
        await h.log.until_quiet()
    await h.crash()
    h = await Harness.open(store, copied.config, clock=VirtualClock())
    for stream, rows in kept.items():
        found = await h.read_all(stream)
        assert found[: len(rows)] == rows
        assert len(found) == len(rows) + added[stream]
    await h.log.close()
    report = await check_log(store, copied.config, CountingRng())
    late = set(copied.missing)
    assert not [f for f in report.findings if not f.harmless and f.place not in late]


@pytest.mark.parametrize("seed", range(DRAWS_COUNT))
def test_whatever_is_missing_a_prefix_is_left_and_told(seed: int) -> None:
    run(lambda: one_draw(seed), seed)


DELETED_SEEDS = (27, 65, 81, 86, 115, 120, 129)
"""In these the log is cut before the moment of a deletion that what was sealed knows of."""


@pytest.mark.parametrize("seed", DELETED_SEEDS)
def test_a_stream_starts_where_it_is_whole(seed: int) -> None:
    run(lambda: one_draw(seed, moves_starts=True), seed)


class Died(Exception):
    """The process did."""


class Mortal(MemoryStore):
    """Takes so many creates, and dies before the next one, or right after it."""

    left_count: int | None = None
    after = False

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        dies = self.left_count == 0
        if self.left_count is not None:
            self.left_count -= 1
        if not dies or self.after:
            await super().create(key, pieces)
        if dies:
            raise Died


@pytest.mark.parametrize("after", [False, True])
def test_a_cut_may_die_over_every_single_write(after: bool) -> None:
    async def main() -> None:
        copied = Copied(3)
        await copied.load(STEPS_COUNT)
        await copied.lose()
        files = dict(copied.bucket.objects)
        count = 0
        while True:
            bucket = copied.bucket = Mortal()
            for key, body in files.items():
                await bucket.create(key, [body])
            store = await open_store("", "object", objects=bucket)
            bucket.left_count, bucket.after = count, after
            try:
                await copied.cut(store)
                break
            except Died:
                bucket.left_count = None
            done = await copied.cut(store)
            h = await check_prefix(copied, store, done)
            await h.log.close()
            count += 1
        assert count > 4

    run(main)


def test_it_goes_on_behind_all_that_the_source_can_have_written() -> None:
    async def main() -> None:
        copied = Copied(3)
        await copied.load(STEPS_COUNT)
        store = await copied.lose()
        done = await copied.cut(store)
        segments = [int(key.split("/")[2]) for key in copied.source if key.startswith("logs/")]
        left = [n for n in segments if f"logs/0/{n:020d}" not in copied.missing]
        assert done.next_segment >= max(left) - MISSING_MAX_COUNT + JUMP
        h = await Harness.open(store, copied.config, clock=VirtualClock())
        assert h.log.term > copied.world.h.log.term + JUMP - MISSING_MAX_COUNT
        await h.log.close()

    run(main)


def test_whoever_writes_there_meanwhile_stops_it() -> None:
    async def main() -> None:
        copied = Copied(3)
        await copied.load(STEPS_COUNT)
        store = await copied.lose()
        manifests = {key for key in copied.bucket.objects if key.startswith("manifests/")}
        create = copied.bucket.create

        async def create_and_replicate(key: str, pieces: Sequence[Buffer]) -> None:
            await create(key, pieces)
            if copied.missing:
                late = copied.missing.pop()
                await create(late, [copied.source[late]])

        copied.bucket.create = create_and_replicate  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="came or went meanwhile"):
            await copied.cut(store)
        now = {key for key in copied.bucket.objects if key.startswith("manifests/")}
        assert now - manifests <= copied.source.keys()

    run(main)


def test_a_folder_of_files_is_no_lagging_copy(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_store(str(tmp_path), "file")
        with pytest.raises(Invalid, match="only a bucket"):
            await cut_log(
                store,
                Recorder(),
                CONFIG,
                clock=VirtualClock(),
                rng=CountingRng(),
                to_commit=False,
            )
        await store.close()

    asyncio.run(main())


class _Tables(NamedTuple):
    """Of a link: rows are (stream, start, end), runs (stream, first)."""

    rows: list[tuple[int, int, int]]
    runs: list[tuple[int, int]]

    def streams(self) -> list[StreamRow]:
        return [StreamRow(*row, 0, 0, 0) for row in self.rows]

    def all_runs(self) -> list[Run]:
        return [Run(stream, 0, first, 0, 0) for stream, first in self.runs]


@pytest.mark.parametrize(
    ("links", "start"),
    [
        ([_Tables([(1, 0, 9)], [(1, 0), (1, 4)])], 0),
        ([_Tables([(1, 6, 9)], [(1, 4)])], 6),
        ([_Tables([(1, 0, 9)], [(1, 4)])], 4),
        ([_Tables([(1, 0, 9)], [])], 9),
        ([_Tables([(1, 0, 5)], [(1, 0)]), _Tables([(1, 0, 9)], [(1, 5)])], 0),
        ([_Tables([(1, 0, 5)], [(1, 0)]), _Tables([(1, 0, 9)], [(1, 7)])], 7),
        ([_Tables([(1, 0, 5)], [(1, 0)]), _Tables([(1, 0, 9)], [])], 9),
        ([_Tables([(1, 30, 5)], [])], 30),
    ],
)
def test_a_stream_starts_behind_what_was_deleted(links: list[_Tables], start: int) -> None:
    assert starts_behind_gaps(links)[1] == start  # type: ignore[arg-type]
