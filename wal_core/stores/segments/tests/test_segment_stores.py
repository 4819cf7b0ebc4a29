"""The segment-store contract, run by file, object on a folder and in memory, and quorum."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from wal_core import Corrupt, Entry, Invalid, LogConfig, Unavailable, open_store
from wal_core.format.block import BlockIds, BlockKind, encode_entries, encode_payload
from wal_core.format.chain import Sealed
from wal_core.format.places import Slot
from wal_core.format.segment_index import SegmentIndex
from wal_core.quorum.tests.places import Place
from wal_core.stores.manifests import Manifest, Manifests
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import read_block
from wal_core.stores.segments import file as file_module
from wal_core.tests.harness import CountingRng

PERSIST = Persistence(LogConfig(), CountingRng())
NONCE = bytes(range(16))


@pytest.fixture(params=["file", "folder", "memory", "quorum"])
async def store(request, tmp_path):
    if request.param == "quorum":
        place = Place(tmp_path)
        await place.start("A", "B", "C")
        made = place.store()
        await made.lock(0)
        yield made
        await made.unlock(0)
        await made.close()
        await place.close()
        return
    mode = "file" if request.param == "file" else "object"
    location = "memory:" if request.param == "memory" else str(tmp_path)
    made = await open_store(location, mode)
    await made.lock(0)
    yield made
    await made.unlock(0)
    await made.close()


def data(segment: int, block: int, nonce: bytes = NONCE, payload: bytes = b"x") -> list:
    ids = BlockIds(0, segment, block, 1, block, nonce)
    return encode_entries(ids, [Entry(1, block, 1, 1, block, payload * (block + 1))]).pieces


def footer(segment: int, index: SegmentIndex) -> list:
    ids = BlockIds(0, segment, index.block_count, 1, index.block_count, NONCE)
    return encode_payload(BlockKind.COMPLETE, ids, index.encode_footer([], b"", 0)).pieces


async def fill(store, segment: int, count: int, *, final: bool) -> list[Slot]:
    index, slots, writes = SegmentIndex(segment), [], []
    for block in range(count):
        pieces = data(segment, block)
        slots.append(Slot(0, segment, block, index.bytes_count))
        writes.append(store.append(slots[-1], pieces, final=False))
        index.add_block(sum(map(len, pieces)), 1)
    await asyncio.gather(*writes)
    if final:
        await append_last(store, segment, count, final=True)
    return slots


async def append_last(store, segment: int, count: int, *, final: bool) -> None:
    """Behind `count` blocks of `fill` one more, or the footer."""
    index = SegmentIndex(segment)
    for block in range(count):
        index.add_block(sum(map(len, data(segment, block))), 1)
    pieces = footer(segment, index) if final else data(segment, count)
    await store.append(Slot(0, segment, count, index.bytes_count), pieces, final=final)


async def sealed(store, last: int) -> None:
    """A manifest says so."""
    rows = [Sealed(first=0, last=last, index="sealed/0/x/index", index_bytes=1, live_bytes=1)]
    manifest = Manifest(number=0, term=1, sealed=rows)
    await Manifests(store.objects, 0, PERSIST, NONCE).commit(manifest)


async def recovered(store, segment: int) -> list[int]:
    return [b.header.block async for b in store.recover_segment(0, segment, PERSIST)]


async def test_blocks_come_back_and_footers_end_segments(store):
    assert await store.segments(0) == []
    slots = await fill(store, 0, 5, final=True)
    await fill(store, 3, 2, final=False)
    assert await store.segments(0) == [0, 3]
    assert await store.segments(0, 0) == [3]
    assert await store.segments(0, 3) == []
    for slot in slots:
        length = sum(map(len, data(0, slot.block)))
        block = await read_block(store.objects, store.place(slot, length))
        assert block.entries()[0].payload == b"x" * (slot.block + 1)
    block = await store.read_footer(0, 0)
    assert block is not None
    assert block.header.kind == BlockKind.COMPLETE
    assert await store.read_footer(0, 3) is None
    assert await recovered(store, 3) == [0, 1]
    assert await recovered(store, 9) == []


async def test_a_repeated_append_has_one_effect(store):
    pieces = data(0, 0)
    slot = Slot(0, 0, 0, 0)
    await asyncio.gather(*(store.append(slot, pieces, final=False) for _ in range(3)))
    await store.append(slot, pieces, final=False)
    assert await recovered(store, 0) == [0]


async def test_a_block_that_is_begun_is_told_of_once_and_may_be_appended_all_the_same(store):
    told, slots = asyncio.Queue(), [Slot(0, 0, 0, 0), Slot(0, 0, 1, len(b"".join(data(0, 0))))]
    for slot in slots:
        pieces = data(0, slot.block)
        begun = store.begin(slot, pieces, told.put_nowait)
        assert begun == (store.mode != "object")
        assert told.empty()
        assert not store.begin(slot, pieces, told.put_nowait)
        await store.append(slot, pieces, final=False)
        if begun:
            assert await told.get() is None
    assert await recovered(store, 0) == [0, 1]
    assert told.empty()
    await store.unlock(0)
    assert not store.begin(Slot(0, 0, 2, 900), data(0, 2), told.put_nowait)
    await store.lock(0)


async def test_a_cancelled_append_may_be_repeated(store):
    pieces = data(0, 0, payload=bytes(100_000))
    slot = Slot(0, 0, 0, 0)
    task = asyncio.ensure_future(store.append(slot, pieces, final=False))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.append(slot, pieces, final=False)
    assert await recovered(store, 0) == [0]


async def test_the_wrong_block_in_a_slot_is_corrupt(store):
    pieces = data(0, 1)
    if store.mode == "quorum":
        with pytest.raises(Invalid, match="another slot"):
            await store.append(Slot(0, 0, 0, 0), pieces, final=False)
    else:
        await store.append(Slot(0, 0, 0, 0), pieces, final=False)
    with pytest.raises(Corrupt):
        place = store.place(Slot(0, 0, 0, 0), sum(map(len, pieces)))
        await read_block(store.objects, place)
    with pytest.raises(Corrupt, match="missing"):
        await read_block(store.objects, store.place(Slot(0, 7, 0, 0), 100))


async def test_delete_is_complete_and_repeatable(store):
    await fill(store, 0, 3, final=True)
    await fill(store, 1, 3, final=True)
    if store.uploads:
        with pytest.raises(Invalid, match="the bucket does not have it"):
            await store.delete_segment(0, 0)
        await sealed(store, 0)
    await store.delete_segment(0, 0)
    await store.delete_segment(0, 0)
    assert await store.read_footer(0, 0) is None
    assert await recovered(store, 1)


async def test_a_delete_spares_what_is_to_be_kept(tmp_path):
    store = await open_store(str(tmp_path), "object")
    await fill(store, 0, 5, final=True)
    await store.delete_segment(0, 0, [1, 5])
    rows = await store.objects.list("logs/")
    assert [row.key[-10:] for row in rows] == ["0000000001", "0000000005"]
    await store.close()


async def test_a_file_store_writes_only_under_its_lock(tmp_path):
    store = await open_store(str(tmp_path), "file")
    with pytest.raises(Unavailable, match="not locked"):
        await store.append(Slot(0, 0, 0, 0), data(0, 0), final=False)
    assert await store.lock(0) == 0
    with pytest.raises(Unavailable, match="already open"):
        await store.lock(0)
    await store.note_term(0, 12)
    await store.unlock(0)
    assert await store.lock(0) == 12
    await store.close()


async def test_a_lock_that_is_taken_when_nobody_waits_any_more_is_given_back(tmp_path, monkeypatch):
    begun, go_on, given_back = threading.Event(), threading.Event(), asyncio.Event()
    take_lock, give_back = file_module._take_lock, file_module._give_back

    def slow_take_lock(folder: Path, log_id: int) -> tuple[int, int]:
        begun.set()
        go_on.wait()
        return take_lock(folder, log_id)

    def noted_give_back(taking: asyncio.Future[tuple[int, int]]) -> None:
        give_back(taking)
        given_back.set()

    monkeypatch.setattr(file_module, "_take_lock", slow_take_lock)
    monkeypatch.setattr(file_module, "_give_back", noted_give_back)
    store = await open_store(str(tmp_path), "file")
    locking = asyncio.ensure_future(store.lock(0))
    await asyncio.to_thread(begun.wait)
    locking.cancel()
    await asyncio.gather(locking, return_exceptions=True)
    go_on.set()
    async with asyncio.timeout(60):
        await given_back.wait()
    assert await store.lock(0) == 0
    await store.close()


async def test_a_lock_is_not_kept_by_an_opening_that_fails_behind_it(tmp_path):
    store = file_module.FileSegmentStore(tmp_path)
    in_the_way = tmp_path / ".creating"
    in_the_way.touch()
    for _ in range(2):
        with pytest.raises(Unavailable, match="creating"):
            await store.lock(0)
    in_the_way.unlink()
    assert await store.lock(0) == 0
    await store.close()
