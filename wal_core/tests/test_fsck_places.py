"""Unfinished segments, files, logs in use, and places that hold no log, as fsck sees them."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from wal_core import (
    Corrupt,
    Entry,
    Invalid,
    LogReport,
    MemoryStore,
    Records,
    Unavailable,
    check_log,
    open_store,
)
from wal_core.format.chain import Sealed
from wal_core.format.places import Lost
from wal_core.fsck.findings import Kind
from wal_core.stores.objects.base import ObjectInfo
from wal_core.stores.opening import open_to_look
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.file_recovery import FileScan
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import VirtualClock
from wal_core.tests.damage import CONFIG, ENTRIES_COUNT, STREAMS_COUNT, Place, scenario
from wal_core.tests.harness import CountingRng, Harness, Recorder
from wal_core.types import Buffer

# -- the unfinished segment ------------------------------------------------------------------


async def unfinished() -> Place:
    """One segment, six blocks, the first three of them durable when the last ones were written."""
    place = Place()
    config = dataclasses.replace(CONFIG, segment_blocks_max=100)
    store = await open_store("", "object", objects=FaultyObjectStore(place.bucket))
    h = await Harness.open(store, config, clock=VirtualClock())
    for number in range(6):
        await h.add(0, bytes([number]) * 20)
    await h.crash()
    return place


@pytest.mark.parametrize("deep", [True, False])
def test_a_confirmed_block_of_the_unfinished_segment_is_deleted(deep):
    async def main() -> None:
        place = await unfinished()
        key = place.keys(f"logs/0/{1:020d}/")[2]
        await place.delete(key)
        assert await place.found(deep=deep) == [(Kind.MISSING, key)]

    run(main)


def test_the_last_block_of_the_unfinished_segment_cannot_be_missed():
    async def main() -> None:
        place = await unfinished()
        await place.delete(place.keys(f"logs/0/{1:020d}/")[-1])
        report = await place.check()
        assert report.findings == []
        assert report.streams[0].end_offset == 5

    run(main)


def test_a_block_of_the_unfinished_segment_is_damaged():
    async def main() -> None:
        place = await unfinished()
        for key in place.keys(f"logs/0/{1:020d}/"):
            for at in (0, -1):
                place.flip(key, at)
                assert await place.found() == [(Kind.DAMAGED, key)]
                place.flip(key, at)

    run(main)


@pytest.mark.parametrize("deep", [True, False])
def test_an_unfinished_segment_that_does_not_go_on(deep):
    async def main() -> None:
        place = await unfinished()
        key = place.keys(f"logs/0/{1:020d}/")[3]
        for entry, kind, records in (
            (Entry(0, 2, 2, 2, -1, b"again"), Kind.OVERLAP, [Records(0, 2, 3)]),
            (Entry(7, 5, 1, 1, -1, b"from nowhere"), Kind.GAP, [Records(7, 0, 5)]),
        ):
            place.put_block(key, entry)
            report = await place.check(deep=deep)
            assert report.findings[0].kind is kind
            assert (report.findings[0].place, report.findings[0].records) == (key, records)

    run(main)


def test_an_unfinished_segment_of_two_writers():
    async def main() -> None:
        place = await unfinished()
        key = place.keys(f"logs/0/{1:020d}/")[3]
        place.put_block(key, *place.entries(key), own=False)
        assert await place.found() == [(Kind.DAMAGED, key)]

    run(main)


# -- files -----------------------------------------------------------------------------------


async def file_place(folder: Path) -> list[Path]:
    """Segment files: some sealed, some completed, one unfinished."""
    config = dataclasses.replace(CONFIG, segment_bytes_max=1_500, garbage_grace_ms=0)
    h = await Harness.open(await open_store(str(folder), "file"), config)
    for number in range(ENTRIES_COUNT):
        await h.add(number % STREAMS_COUNT, bytes([number]) * (100 + number % 20))
        await h.log.until_quiet()
    assert any(isinstance(link, Sealed) for link in h.log._contents.chain.links)
    await h.crash()
    await h.store.close()
    return sorted((folder / "logs" / "0").glob("*.seg"))


async def look(folder: Path, **options: bool) -> LogReport:
    store = await open_to_look(str(folder))
    try:
        return await check_log(store, CONFIG, CountingRng(), **options)
    finally:
        await store.close()


async def test_files(tmp_path):
    files = await file_place(tmp_path)
    names = sorted(path for path in tmp_path.rglob("*"))
    assert (await look(tmp_path)).findings == []
    assert (await look(tmp_path, deep=False)).findings == []
    assert sorted(path for path in tmp_path.rglob("*")) == names  # a look leaves no trace

    async def found(**options: bool) -> list[tuple[Kind, str]]:
        report = await look(tmp_path, **options)
        return [(f.kind, f.place) for f in report.findings]

    def key(path: Path) -> str:
        return path.relative_to(tmp_path).as_posix()

    damaged, last = files[-3], files[-1]
    body = damaged.read_bytes()
    damaged.write_bytes(body[:90] + bytes([body[90] ^ 1]) + body[91:])
    assert await found() == [(Kind.DAMAGED, key(damaged))]
    damaged.write_bytes(body[:-1])  # no trailer: where the footer is, nobody knows
    assert await found() == [(Kind.DAMAGED, key(damaged))]
    assert await found(deep=False) == [(Kind.DAMAGED, key(damaged))]
    damaged.unlink()
    assert await found() == [(Kind.GAP, key(damaged))]
    damaged.write_bytes(body)
    unfinished_body = last.read_bytes()
    last.write_bytes(unfinished_body[:-7])  # a torn tail
    assert await found() == []
    for left in (b"", unfinished_body[:90]):  # of what is noted to have been durable
        last.write_bytes(left)
        assert await found() == [(Kind.DAMAGED, key(last))]
    last.unlink()
    assert await found() == [(Kind.MISSING, key(last))]
    last.write_bytes(unfinished_body)
    before = files[-2]
    body = before.read_bytes()
    before.write_bytes(body[:-30] + bytes([body[-30] ^ 1]) + body[-29:])
    assert await found() == [(Kind.DAMAGED, key(before))]  # its footer, which a start needs
    before.write_bytes(body)
    orphan = tmp_path / "sealed" / "0" / "x"
    orphan.write_bytes(b"what is this?")
    assert await found() == [(Kind.ORPHAN, key(orphan))]


async def test_a_file_that_is_written_while_it_is_read(tmp_path, monkeypatch):
    """What was half there at first is whole by the time that it is doubted."""
    path = (await file_place(tmp_path))[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    doubt = FileScan._lost

    def grow_first(scan: FileScan, fd: int) -> Lost | None:
        path.write_bytes(whole)
        return doubt(scan, fd)

    monkeypatch.setattr(FileScan, "_lost", grow_first)
    store = await open_to_look(str(tmp_path))
    persist = Persistence(CONFIG, CountingRng())
    segment = int(path.stem)
    blocks = [b async for b in store.recover_segment(0, segment, persist, cut=False)]
    await store.close()
    assert sum(block.header.total_bytes for block in blocks) == len(whole.rstrip(b"\0"))


# -- around it -------------------------------------------------------------------------------


@scenario
async def test_the_state_that_rides_on_the_log(place):
    states: list[Recorder] = []

    def new() -> Recorder:
        states.append(Recorder())
        return states[-1]

    store = ObjectSegmentStore(place.bucket)
    await check_log(store, CONFIG, CountingRng(), new_state=new)
    assert [entry[0] for entry in states[-1].entries] == [
        number % STREAMS_COUNT for number in range(ENTRIES_COUNT)
    ]


class Picky(Recorder):
    """Does not understand what is stored."""

    def __init__(self, *, checkpoints: bool) -> None:
        super().__init__()
        self._checkpoints = checkpoints

    def restore(self, key: bytes, value: Buffer | None) -> None:
        if not self._checkpoints:
            raise Corrupt("what a strange checkpoint")
        super().restore(key, value)

    def apply(self, entry: Entry) -> None:
        raise Corrupt("what a strange entry")


@scenario
async def test_what_no_start_could_restore(place):
    footer = place.footer(place.completed[-1])
    first = place.keys("logs/0/")[-2]  # of the unfinished segment's two blocks
    for checkpoints, key in ((True, first), (False, footer)):
        store = ObjectSegmentStore(place.bucket)
        report = await check_log(
            store, CONFIG, CountingRng(), new_state=lambda ok=checkpoints: Picky(checkpoints=ok)
        )
        assert [(f.kind, f.place) for f in report.findings] == [(Kind.DAMAGED, key)]
        assert "what a strange" in report.findings[0].text


@scenario
async def test_a_store_that_never_answers_is_given_up(place):
    slow = FaultyObjectStore(place.bucket, latency_s=1e6)
    with pytest.raises(Unavailable, match="no answer within"):
        await check_log(ObjectSegmentStore(slow), CONFIG, CountingRng())


@scenario
async def test_what_is_found_at_one_look_only_is_not_reported(place):
    """Somebody writes all the time; one look in between saw an object that went at once."""

    class Busy(MemoryStore):
        listed_count = 0

        async def list(self, prefix: str, start_after: str = "") -> list[ObjectInfo]:
            rows = [*await super().list(prefix, start_after)]
            if prefix == "logs/0/":
                self.listed_count += 1
                rows.append(ObjectInfo(f"logs/0/passing-{self.listed_count}", 1))
            return rows

    busy = Busy()
    for key, body in place.bucket.objects.items():
        await busy.create(key, [body])
    report = await check_log(ObjectSegmentStore(busy), CONFIG, CountingRng())
    assert report.findings == []


def test_what_is_no_log_is_said_in_a_sentence(tmp_path):
    async def main() -> None:
        for location, said in [
            (str(tmp_path / "nowhere"), "holds no log"),
            (str(tmp_path), "holds no log"),
            ("memory:", "expected a folder"),
        ]:
            with pytest.raises(Invalid, match=said):
                await open_to_look(location)
        assert list(tmp_path.iterdir()) == []
        marker = tmp_path / "woodpecker.json"
        for text in ("nonsense", "{}", '{"format": 99, "mode": "file"}'):
            marker.write_text(text)
            with pytest.raises(Invalid, match=r"marker|newer"):
                await open_to_look(str(tmp_path))

    asyncio.run(main())


def test_what_a_folder_refuses_is_told_at_once(tmp_path):
    async def main() -> None:
        (tmp_path / "woodpecker.json").mkdir()
        with pytest.raises(Unavailable, match="Is a directory"):
            await open_to_look(str(tmp_path))

    asyncio.run(main())


def test_a_log_in_use_is_looked_at_until_it_makes_sense():
    """Written, compacted and collected all the while: no look finds anything wrong."""

    async def main() -> None:
        bucket = MemoryStore()
        faulty = FaultyObjectStore(bucket, jitter_s=0.02, seed=3)
        config = dataclasses.replace(CONFIG, garbage_grace_ms=2_000)
        h = await Harness.open(
            await open_store("", "object", objects=faulty), config, clock=VirtualClock()
        )

        async def write() -> None:
            for number in range(400):
                await h.add(number % STREAMS_COUNT, bytes(1 + number))
                await asyncio.sleep(0.1)

        writing = asyncio.ensure_future(write())
        looks_count = 0
        while not writing.done():
            slow = FaultyObjectStore(bucket, jitter_s=0.01, seed=looks_count)
            report = await check_log(ObjectSegmentStore(slow), config, CountingRng())
            assert report.sound, report.findings
            assert {call.operation for call in slow.calls} <= {"list", "get_range", "size"}
            looks_count += 1
        assert looks_count > 3
        assert len(await h.read_all(0)) == 134

    run(main)
