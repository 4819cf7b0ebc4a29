"""Blocks around a place: neighbours with it, the next ones ahead, what is damaged left out."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
from collections import Counter

import pytest

from wal_core import Budgets, Corrupt, LogConfig, MemoryStore, open_store
from wal_core.format.chain import Completed, Link
from wal_core.read import stored_blocks
from wal_core.read.stored_blocks import StoredBlocks, Turn
from wal_core.state.tables import place_of
from wal_core.stores.stretches import Stretch, read_entries, stretches_around
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness

CONFIG = dataclasses.replace(LogConfig.preset("object"), gather_ms=0)
FILE_CONFIG = LogConfig.preset("file")
COUNT = 24


async def stored() -> tuple[Harness, FaultyObjectStore, StoredBlocks]:
    """One stream, one entry a block; and nothing in the cache."""
    faulty = FaultyObjectStore(MemoryStore())
    h = await Harness.open(await open_store("", "object", objects=faulty), CONFIG)
    for n in range(COUNT):
        await h.add(0, b"%02d" % n)
    faulty.calls.clear()
    faulty.latency_s = 0.1
    return h, faulty, StoredBlocks(h.store, CONFIG, Budgets(CONFIG))


def test_the_next_blocks_are_loaded_meanwhile():
    async def main() -> None:
        h, faulty, blocks = await stored()
        view = h.log._contents.active
        assert view is not None
        runs = view.runs(0)
        assert await blocks.around(view, runs, 0, Turn.GO_ON, wait=False) is None
        found = await blocks.around(view, runs, 0, Turn.GO_ON, wait=True)
        assert found is not None
        assert [bytes(entry.payload) for entry in found.of_stream(0)] == [b"00"]
        await asyncio.sleep(0.5)
        asked_count = len(faulty.calls)
        assert 1 < asked_count < COUNT
        assert await blocks.around(view, runs, 1, Turn.GO_ON, wait=False) is not None
        assert blocks.bytes_count > 0
        await blocks.close()
        assert blocks.bytes_count == 0
        await h.log.close()

    run(main)


def test_a_damaged_block_alone_is_refused_and_its_neighbours_are_not():
    async def main() -> None:
        h, faulty, blocks = await stored()
        view = h.log._contents.active
        assert view is not None
        key = blocks.place(view, 3).key
        assert isinstance(faulty.inner, MemoryStore)
        faulty.inner.objects[key] = faulty.inner.objects[key][:-1] + b"?"
        runs = view.runs(0)
        with pytest.raises(Corrupt):
            await blocks.around(view, runs, 3, Turn.GO_ON, wait=True)
        with pytest.raises(Corrupt):
            await blocks.block(view, 3)
        for at in (2, 4):
            assert await blocks.around(view, runs, at, Turn.GO_ON, wait=True) is not None
        await blocks.close()
        await h.log.close()

    run(main)


def _link(h: Harness, segment: int) -> Link:
    links = h.log._contents.chain.links
    return next(link for link in links if isinstance(link, Completed) and link.segment == segment)


async def _a_finished_segment():
    """Its store, a log that was opened behind it, and what its table says."""
    store = await open_store("", "object", objects=MemoryStore())
    first = await Harness.open(store, CONFIG)
    for n in range(COUNT):
        await first.add(0, b"%02d" % n)
    active = first.log._contents.active
    assert active is not None
    await first.log.close()
    h = await Harness.open(store, CONFIG)
    return store, h, await h.log._reader.view(_link(h, active.segment))


def test_of_a_finished_segment_each_stretch_is_looked_for_once(monkeypatch):
    async def main() -> None:
        store, h, view = await _a_finished_segment()
        blocks = StoredBlocks(store, CONFIG, Budgets(CONFIG))
        looked_for: list[int] = []

        def counted(count, place_of, runs, at, bytes_max):
            looked_for.append(at)
            return stretches_around(count, place_of, runs, at, bytes_max)

        monkeypatch.setattr(stored_blocks, "stretches_around", counted)
        for at in range(COUNT):
            assert await blocks.around(view, view.runs(0), at, Turn.GO_ON, wait=True) is not None
        assert sorted(looked_for) == list(range(COUNT))
        # What is remembered goes with the tables.
        assert len(blocks._found) == 1
        await h.log.close()
        del view
        gc.collect()
        assert not blocks._found
        await blocks.close()

    run(main)


async def test_a_damaged_stretch_of_a_finished_segment_is_read_once(tmp_path, monkeypatch):
    store = await open_store(str(tmp_path), "file")
    first = await Harness.open(store, FILE_CONFIG)
    for n in range(COUNT):
        await first.add(0, b"%02d" % n)
    active = first.log._contents.active
    assert active is not None
    at = place_of(store, 0, active, 3)
    await first.log.close()
    path = tmp_path / at.key
    whole = bytearray(path.read_bytes())
    whole[at.position + (at.length or 0) - 1] ^= 1
    path.write_bytes(whole)
    h = await Harness.open(store, FILE_CONFIG)
    view = await h.log._reader.view(_link(h, active.segment))
    loads: Counter[Stretch] = Counter()

    def counted(objects, stretch):
        loads[stretch] += 1
        return read_entries(objects, stretch)

    monkeypatch.setattr(stored_blocks, "read_entries", counted)
    blocks = StoredBlocks(store, FILE_CONFIG, Budgets(FILE_CONFIG))
    for _ in range(3):
        for number in (0, 5, 9):
            assert await blocks.around(view, view.runs(0), number, Turn.THIS_ONE, wait=True)
    assert max(stretch.block_count for stretch in loads) > 8
    assert set(loads.values()) == {1}
    await blocks.close()
    await h.log.close()
    await store.close()


def test_what_is_remembered_of_tables_is_bounded(monkeypatch):
    async def main() -> None:
        monkeypatch.setattr(stored_blocks, "_FOUND_MAX_COUNT", 5)
        store, h, view = await _a_finished_segment()
        blocks = StoredBlocks(store, CONFIG, Budgets(CONFIG))
        for at in range(COUNT):
            assert await blocks.around(view, view.runs(0), at, Turn.GO_ON, wait=True) is not None
            assert sum(map(len, blocks._found.values())) <= 5
        await blocks.close()
        await h.log.close()

    run(main)
