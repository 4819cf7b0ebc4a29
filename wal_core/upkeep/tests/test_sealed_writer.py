"""A sealed segment is written within its bounds, and its index finds every entry again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from wal_core import Entry, LogConfig, MemoryStore, NoRoom
from wal_core.format.places import Place
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.stream_tables import Run, StreamRow
from wal_core.state.survey import LiveRun
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import read_block
from wal_core.tenure import Tenure
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import VirtualClock
from wal_core.tests.harness import CountingRng
from wal_core.upkeep.sealed_writer import SealedWriter

FOLDER = "sealed/0/00000000000000000001-x/"
CONFIG = LogConfig(
    sealed_block_bytes_max=1_000, sealed_object_bytes_max=3_000, seal_buffer_bytes_max=2_500
)


def writer(store: MemoryStore, *, room_bytes: int = 1 << 30) -> SealedWriter:
    left = [room_bytes]

    @contextmanager
    def take_room(count: int) -> Iterator[None]:
        left[0] -= count
        if left[0] < 0:
            raise NoRoom("the disk is full")
        yield

    tenure = Tenure(config=CONFIG, clock=VirtualClock(), rng=CountingRng(), nonce=b"n" * 16, term=3)
    persist = Persistence(CONFIG, CountingRng(), waits_for_room=False)
    return SealedWriter(store, tenure, persist, folder=FOLDER, segments=(2, 5), take_room=take_room)


def entries(stream_id: int, offsets: range, size_bytes: int = 300) -> list[Entry]:
    return [
        Entry(stream_id, offset, 1, 1, 1_000 + offset, bytes([stream_id]) * size_bytes)
        for offset in offsets
    ]


def live(found: Sequence[Entry], bytes_before: int = 0) -> LiveRun:
    first, last = found[0], found[-1]
    size = sum(len(entry.payload) for entry in found)
    whole = Run(first.stream_id, 0, first.base_offset, last.max_timestamp_ms, bytes_before)
    return LiveRun(whole, last.end_offset, size)


def rows(*ends: tuple[int, int]) -> list[StreamRow]:
    return [StreamRow(stream_id, 0, end, 1_000 + end, 300 * end, -1) for stream_id, end in ends]


async def index_of(store: MemoryStore, key: str) -> SealedIndex:
    return SealedIndex.of_block(await read_block(store, Place(key, 0, None, 0, 5, 0)))


async def read(store: MemoryStore, index: SealedIndex, stream_id: int) -> list[tuple[int, bytes]]:
    """Offsets and payloads of a stream, by the runs of the index."""
    found = []
    for stored in index.runs(stream_id):
        block = await read_block(store, index.place(stored.block))
        own = [entry for entry in block.entries() if entry.stream_id == stream_id]
        assert own[0].base_offset == stored.first_offset
        assert max(entry.max_timestamp_ms for entry in own) == stored.max_timestamp_ms
        assert stored.bytes_before == sum(len(payload) for _, payload in found)
        found += [(entry.base_offset, bytes(entry.payload)) for entry in own]
    return found


def test_every_entry_is_found_again_and_nothing_is_larger_than_wanted():
    async def main() -> None:
        store = MemoryStore()
        into = writer(store)
        for first in range(0, 20, 5):
            for stream_id in (1, 2, 3):
                some = entries(stream_id, range(first, first + 5))
                await into.copy(some, live(some, bytes_before=300 * first), start_offset=0)
                assert into._gathered_bytes <= CONFIG.seal_buffer_bytes_max
        sealed = await into.finish(rows((1, 20), (2, 20), (3, 20)), created_ms=7)
        index = await index_of(store, sealed.index)
        for stream_id in (1, 2, 3):
            expected = [(n, bytes([stream_id]) * 300) for n in range(20)]
            assert await read(store, index, stream_id) == expected
        assert (index.first, index.last, index.created_ms) == (2, 5, 7)
        assert sealed.live_bytes == 60 * 300
        assert sealed.index_bytes == len(store.objects[sealed.index])
        sizes = [len(store.objects[row.key]) for row in index.objects]
        assert sizes == [row.size_bytes for row in index.objects]
        assert into.written_bytes == sum(sizes)
        assert max(sizes) <= CONFIG.sealed_object_bytes_max
        blocks = [index.block(number) for number in range(index.block_count)]
        assert max(row.data_bytes for row in blocks) <= CONFIG.sealed_block_bytes_max
        assert sorted(into.created) == sorted(store.objects)

    run(main)


def test_what_lies_below_the_start_of_a_stream_is_left_out():
    async def main() -> None:
        store = MemoryStore()
        into = writer(store)
        some = entries(1, range(10), size_bytes=10)
        await into.copy(some, live(some), start_offset=7)
        sealed = await into.finish(rows((1, 10)), created_ms=0)
        index = await index_of(store, sealed.index)
        (stored,) = index.runs(1)
        assert (stored.first_offset, stored.bytes_before) == (7, 70)
        assert sealed.live_bytes == 30

    run(main)


def test_a_block_that_stays_where_it_is_keeps_the_order_of_its_stream():
    """What was gathered before it is written before it; two blocks of one object name it once."""

    async def main() -> None:
        store = MemoryStore()
        into = writer(store)
        before, after = entries(1, range(3)), entries(1, range(5, 6))
        await into.copy(before, live(before), start_offset=0)
        key = "sealed/0/00000000000000000000-y/000000"
        for number in range(2):
            offset = 3 + number
            stays = LiveRun(Run(1, 9, offset, 1_003, 300 * offset), offset + 1, 300)
            place = Place(key, 400 * number, 400, 0, 1, number)
            await into.reference(place, 300, 800, [stays])
        await into.copy(after, live(after, bytes_before=1_500), start_offset=0)
        sealed = await into.finish(rows((1, 6)), created_ms=0)
        index = await index_of(store, sealed.index)
        assert [stored.first_offset for stored in index.runs(1)] == [0, 3, 4, 5]
        places = [index.place(stored.block).key for stored in index.runs(1)]
        assert places == [f"{FOLDER}000000", key, key, f"{FOLDER}000000"]
        assert [row.key for row in index.objects].count(key) == 1
        assert into.referenced == {key}
        assert sealed.live_bytes == 6 * 300
        assert key not in store.objects

    run(main)


def test_without_room_the_keys_of_what_was_begun_are_known():
    """Whoever gives up deletes them."""

    async def main() -> None:
        store = MemoryStore()
        into = writer(store, room_bytes=5_000)
        with pytest.raises(NoRoom):
            for first in range(0, 100, 5):
                some = entries(1, range(first, first + 5))
                await into.copy(some, live(some), start_offset=0)
        assert into.created == list(store.objects) != []

    run(main)
