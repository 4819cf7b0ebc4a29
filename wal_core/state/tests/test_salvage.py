"""A start where parts of the checkpoint are damaged: it goes by what entries say, and tells so."""

from __future__ import annotations

import logging

import pytest

from wal_core import CHECKPOINT_STREAM_ID, Log, MemoryStore
from wal_core.format.block import parse_block
from wal_core.format.chain import Sealed
from wal_core.fsck import check_log
from wal_core.fsck.findings import Kind
from wal_core.state.table_loading import stored_tables
from wal_core.state.tables import place_of
from wal_core.state.tests.test_checkpoint import CONFIG, MapState, World
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import VirtualClock
from wal_core.tests.harness import CountingRng


class Damaged:
    """A log with a map in it, whose checkpoint lies in sealed and in other segments."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def fill(self) -> Damaged:
        bucket = MemoryStore()
        world = World(2)
        await world.open(ObjectSegmentStore(bucket))
        await world.work(300)
        await world.settle()
        await world.work(25)
        await world.crash()
        self.world = world
        self.links = world.log._contents.chain.links
        self.objects = {key: bytes(body) for key, body in bucket.objects.items()}
        return self

    async def bucket(self, *gone: str) -> MemoryStore:
        bucket = MemoryStore()
        for key in self.objects.keys() - set(gone):
            await bucket.create(key, [self.objects[key]])
        return bucket

    async def flipped(self, key: str, at: int) -> MemoryStore:
        bucket = await self.bucket()
        body = bytearray(bucket.objects[key])
        body[at] ^= 1
        bucket.objects[key] = bytes(body)
        return bucket

    async def places(self) -> list[tuple[str, int]]:
        """Of all blocks with pieces: key, and where the last byte is."""
        store = ObjectSegmentStore(await self.bucket())
        found = []
        for link in self.links:
            tables = await stored_tables(store, 0, link)
            for one in tables.runs(CHECKPOINT_STREAM_ID):
                place = place_of(store, 0, tables, one.block)
                assert place.length
                found.append((place.key, place.position + place.length - 1))
        return found

    def sum_without(self, key: str, end: int) -> dict[bytes, bytes]:
        """What may be wrong: keys whose last operation is in that block as well."""
        body = self.objects[key]
        at, lost = 0, set()
        while at < len(body):
            block = parse_block(body[at:])
            total = block.header.total_bytes
            if at <= end < at + total:
                lost = {entry.base_offset for entry in block.of_stream(0)}
            at += total
        last = {op.partition(b"=")[0]: n for n, op in enumerate(self.world.operations)}
        return {key: v for key, v in self.world.sum().items() if last[key] not in lost}


async def opened(bucket: MemoryStore) -> MapState:
    """The map as a start has it; and the start behind that one has the same, without a word."""
    state = MapState()
    store = ObjectSegmentStore(bucket)
    log = await Log.open(store, state, CONFIG, clock=VirtualClock(), rng=CountingRng())
    await log._maintenance.stop()
    await log._writer.stop()
    return state


def test_a_piece_may_be_lost(caplog: pytest.LogCaptureFixture):
    async def main() -> None:
        subject = await Damaged().fill()
        places = await subject.places()
        assert any(key.startswith("sealed/") for key, _ in places)
        assert any(key.startswith("logs/") for key, _ in places)
        assert (await opened(await subject.bucket())).map == subject.world.sum()
        assert caplog.records == []
        told_count = 0
        for key, end in places:
            bucket = await subject.flipped(key, end)
            found = (await opened(bucket)).map
            right = subject.sum_without(key, end)
            assert {k: v for k, v in found.items() if k in right} == right
            told = [r for r in caplog.records if "of the checkpoint cannot be read" in r.message]
            told_count += bool(told)
            caplog.clear()
            assert (await opened(bucket)).map == found
            assert [r for r in caplog.records if "the checkpoint" in r.message] == []
            caplog.clear()
        assert told_count >= len(places) // 2  # the others were replaced by later ones

    with caplog.at_level(logging.ERROR):
        run(main)


def test_an_index_or_all_footers_may_be_lost():
    async def main() -> None:
        subject = await Damaged().fill()
        sealed = [link for link in subject.links if isinstance(link, Sealed)]
        for link in sealed:
            for bucket in (await subject.bucket(link.index), await subject.flipped(link.index, -1)):
                assert (await opened(bucket)).map == subject.world.sum()
        footers = [
            max(key for key in subject.objects if key.startswith(f"logs/0/{link.last:020d}/"))
            for link in subject.links
            if link not in sealed
        ]
        assert len(footers) >= 2
        assert (await opened(await subject.bucket(*footers))).map == subject.world.sum()

    run(main)


def test_a_lost_piece_is_a_finding_and_the_rest_is_looked_at():
    async def main() -> None:
        subject = await Damaged().fill()
        key, end = (await subject.places())[-1]
        store = ObjectSegmentStore(await subject.flipped(key, end))
        states: list[MapState] = []

        def new_state() -> MapState:
            states.append(MapState())
            return states[-1]

        report = await check_log(store, CONFIG, CountingRng(), new_state=new_state)
        assert [(f.kind, f.place) for f in report.findings] == [(Kind.DAMAGED, key)]
        right = subject.sum_without(key, end)
        assert {k: v for k, v in states[-1].map.items() if k in right} == right
        report = await check_log(store, CONFIG, CountingRng(), new_state=new_state, deep=False)
        (finding,) = report.findings
        assert finding.kind is Kind.DAMAGED
        assert "of the checkpoint" in finding.text

    run(main)
