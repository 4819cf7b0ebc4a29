"""Blocks side by side: which are read together, and what a damaged one does to its neighbours."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wal_core import Corrupt, LogConfig, open_store
from wal_core.format.block import BlockIds, encode_entries
from wal_core.format.chain import Sealed
from wal_core.format.places import Place
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.stream_tables import Run
from wal_core.stores import stretches
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.off_loop import Lane
from wal_core.stores.persistence import Persistence
from wal_core.stores.stretches import (
    STRETCH_BLOCKS_MAX_COUNT,
    Stretch,
    read_entries,
    read_in_order,
    stretches_around,
)
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL
from wal_core.tests.harness import CountingRng, Harness
from wal_core.types import Entry

CONFIG = dataclasses.replace(LogConfig.preset("file"), tail_bytes_max=0)
KEY = "logs/0/00000000000000000007.seg"


@pytest.fixture(autouse=True, scope="module", params=["compiled", "pure"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything here holds with compiled help and without."""
    if request.param == "compiled" and stretches.COMPILED is None:
        pytest.skip("compiled help was not built")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pure":
            patch.setattr(stretches, "COMPILED", None)
        yield request.param


def places_of(lengths: Sequence[int]) -> list[Place]:
    places, position = [], 0
    for number, length in enumerate(lengths):
        places.append(Place(KEY, position, length, 0, 7, number))
        position += length
    return places


def runs_in(blocks: Sequence[int]) -> list[Run]:
    return [Run(1, block, 10 * at, 0, 0) for at, block in enumerate(blocks)]


@given(
    st.lists(st.integers(1, 3_000), min_size=1, max_size=700),
    st.data(),
)
def test_stretches_hold_the_block_and_nest_and_keep_their_bounds(lengths, data):
    places = places_of(lengths)
    number = data.draw(st.integers(0, len(lengths) - 1))
    blocks = sorted({number, *data.draw(st.lists(st.integers(0, len(lengths) - 1)))})
    bytes_max = data.draw(st.integers(1, 100_000))
    at = blocks.index(number)
    found = list(stretches_around(len(places), places.__getitem__, runs_in(blocks), at, bytes_max))
    assert found[-1] == (Stretch.between(places[number], places[number]), number + 1)
    for stretch, end in found:
        first = end - stretch.block_count
        assert first <= number < end
        assert stretch.position == places[first].position
        assert stretch.length == sum(lengths[first:end])
        assert stretch.block_count in {2**power for power in range(9)}
        assert first % stretch.block_count == 0
        if stretch.block_count > 1:
            assert stretch.length <= bytes_max
            assert 8 * len([block for block in blocks if first <= block < end]) >= end - first
    counts = [stretch.block_count for stretch, _ in found]
    assert counts == sorted(counts, reverse=True)


def test_readers_of_small_blocks_ask_for_the_same_stretches():
    places = places_of([300] * 1_000)
    runs = runs_in(range(1_000))

    def largest(number: int) -> Stretch:
        return next(stretches_around(1_000, places.__getitem__, runs, number, 1 << 20))[0]

    assert len({largest(number) for number in range(1_000)}) == 7  # 3 of 256, then 128, 64, 32, 8
    assert largest(300).block_count == STRETCH_BLOCKS_MAX_COUNT


def test_a_stretch_stays_within_its_object_and_its_segment():
    lengths = [300] * 64
    places = places_of(lengths)
    places[32:] = [place._replace(key="sealed/0/x/000000") for place in places[32:]]
    places[16:32] = [place._replace(segment=8) for place in places[16:32]]
    # Of one segment a compaction has left out a block.
    places[1:16] = [place._replace(block=place.block + 1) for place in places[1:16]]
    runs = runs_in(range(64))

    def count(number: int) -> int:
        return next(stretches_around(64, places.__getitem__, runs, number, 1 << 20))[0].block_count

    assert [count(number) for number in (0, 4, 8, 16, 31, 32, 63)] == [1, 4, 8, 16, 16, 32, 32]


async def stretch_of(bodies: Sequence[bytes]) -> tuple[MemoryStore, Stretch]:
    store = MemoryStore()
    blocks = []
    for number, body in enumerate(bodies):
        ids = BlockIds(0, 7, number, 1, 0, bytes(16))
        entries = [Entry(number % 2, number // 2, 1, 1, -1, body)]
        blocks.append(b"".join(encode_entries(ids, entries).pieces))
    await store.create(KEY, blocks)
    places = places_of([len(block) for block in blocks])
    return store, Stretch.between(places[0], places[-1])


def test_a_stretch_is_verified_and_parsed_block_by_block():
    async def main() -> None:
        store, stretch = await stretch_of([b"%d" % number for number in range(10)])
        found = await read_entries(store, stretch)
        for stream in (0, 1):
            entries = found.of_stream(stream)
            assert [entry.base_offset for entry in entries] == [0, 1, 2, 3, 4]
            assert [int(bytes(entry.payload)) % 2 for entry in entries] == [stream] * 5
        assert found.of_stream(2) == ()
        assert found.entry_count == 10

        body = store.objects[KEY]
        for at in range(0, len(body), 7):
            store.objects[KEY] = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            with pytest.raises(Corrupt):
                await read_entries(store, stretch)
        store.objects[KEY] = body[:-1]
        with pytest.raises(Corrupt):
            await read_entries(store, stretch)
        store.objects[KEY] = body
        for wrong in (
            stretch._replace(first=1),
            stretch._replace(segment=8),
            stretch._replace(log_id=1),
            stretch._replace(block_count=9),
            stretch._replace(key="logs/0/00000000000000000008.seg"),
        ):
            with pytest.raises(Corrupt):
                await read_entries(store, wrong)

    run(main)


async def small_blocks(
    folder: Path, count: int, *, gap: int = 1
) -> tuple[Harness, FaultyObjectStore]:
    """A log in files with `count` blocks of one record; of every `gap`th the record is of stream 0,
    else of stream 1. Read from the store, which counts calls."""
    h = await Harness.open(await open_store(str(folder), "file"), CONFIG)
    for number in range(count):
        await h.add(int(bool(number % gap)), b"%04d" % number)
    await h.log.close()
    store = await open_store(str(folder), "file")
    h = await Harness.open(store, CONFIG)
    counting = FaultyObjectStore(store.objects)
    store.objects = counting
    return h, counting


def test_small_blocks_are_read_together(tmp_path):
    async def main() -> None:
        h, counting = await small_blocks(tmp_path, 600)
        counting.calls.clear()
        assert len(await h.read_all(0)) == 600
        assert counting.count("get_range") <= 6
        await h.log.close()

    asyncio.run(main())


def test_who_wants_few_of_the_blocks_does_not_read_all(tmp_path):
    async def main() -> None:
        h, counting = await small_blocks(tmp_path, 300, gap=100)
        counting.calls.clear()
        assert [base for base, _ in await h.read_all(0)] == [0, 1, 2]
        cached = h.log._reader.blocks
        assert cached.bytes_count < 20_000
        await h.log.close()

    asyncio.run(main())


def test_a_damaged_block_does_not_spoil_those_beside_it(tmp_path):
    async def main() -> None:
        h, counting = await small_blocks(tmp_path, 64)
        path = next((tmp_path / "logs/0").glob("*.seg"))
        body = path.read_bytes()
        path.write_bytes(body.replace(b"0041", b"0014"))
        counting.calls.clear()
        found = await h.log.read(0, 0, 1 << 20)
        assert [entry.base_offset for entry in found] == list(range(41))
        for _ in range(2):
            with pytest.raises(Corrupt, match="block 41"):
                await h.log.read(0, 41, 1 << 20)
        found = await h.log.read(0, 42, 1 << 20)
        assert [entry.base_offset for entry in found] == list(range(42, 64))
        assert counting.count("get_range") <= 20
        await h.log.close()

    asyncio.run(main())


def test_neighbours_are_read_together_and_in_order():
    async def main() -> None:
        store, stretch = await stretch_of([b"%d" % number for number in range(10)])
        counting = FaultyObjectStore(store)
        persist = Persistence(CONFIG, CountingRng())
        places = places_of([stretch.length // 10] * 10)
        wanted = [places[n] for n in (0, 1, 2, 5, 6, 9)]

        async def read() -> list[int]:
            reads = read_in_order(counting, wanted, persist)
            return [block.header.block async for block in reads]

        assert await read() == [0, 1, 2, 5, 6, 9]
        assert counting.count("get_range") == 3
        body = store.objects[KEY]
        at = places[2].position + 80
        store.objects[KEY] = body[:at] + b"?" + body[at + 1 :]
        with pytest.raises(Corrupt, match="block 2"):
            await read()

    run(main)


def test_a_damaged_block_of_a_sealed_segment_does_not_spoil_those_beside_it():
    config = dataclasses.replace(
        SMALL, block_cache_bytes_max=1 << 20, sealed_object_bytes_max=1 << 20
    )

    async def main() -> None:
        bucket = MemoryStore()
        counting = FaultyObjectStore(bucket)
        h = await Harness.open(await open_store("", "object", objects=counting), config)
        for number in range(40):
            await h.add(0, b"%04d" % number * 25)
        await h.log.until_quiet()
        link = h.log._contents.chain.links[0]
        assert isinstance(link, Sealed)
        index = await h.log._reader.tables.get(link)
        assert isinstance(index, SealedIndex)
        assert index.block_count >= 4
        key = index.place(1).key
        assert index.place(0).key == index.place(2).key == key
        damaged, following = (run.first_offset for run in index.runs(0)[1:3])
        bucket.objects[key] = bucket.objects[key].replace(b"%04d" % damaged * 25, b"?" * 100)
        counting.calls.clear()
        found = await h.log.read(0, 0, 1 << 20)
        assert [entry.base_offset for entry in found] == list(range(damaged))
        with pytest.raises(Corrupt, match=key):
            await h.log.read(0, damaged, 1 << 20)
        found = await h.log.read(0, following, 1 << 20)
        assert [entry.base_offset for entry in found] == list(range(following, 40))
        await h.log.close()

    run(main)


class _CountingLane(Lane):
    """Nothing is done in a thread; what would be is counted."""

    def __init__(self) -> None:
        super().__init__("counting", 1)
        self.count = 0

    def start(self, work):
        self.count += 1
        done = asyncio.get_running_loop().create_future()
        done.set_result(work())
        return done


@pytest.mark.parametrize(
    ("blocks_count", "is_beside_the_loop"), [(1, False), (32, False), (256, True)]
)
def test_many_small_blocks_are_verified_beside_the_loop(path, blocks_count, is_beside_the_loop):
    async def main() -> None:
        blocks = [
            b"".join(
                encode_entries(
                    BlockIds(0, 7, number, 1, 0, bytes(16)), [Entry(1, number, 1, 1, 0, b"x" * 150)]
                ).pieces
            )
            for number in range(blocks_count)
        ]
        objects, lane = MemoryStore(), _CountingLane()
        await objects.create(KEY, blocks)
        places = places_of([len(block) for block in blocks])
        stretch = Stretch.between(places[0], places[-1])
        found = await read_entries(objects, stretch, lane)
        assert len(found.of_stream(1)) == blocks_count
        # Compiled code does it in a fraction of a millisecond.
        assert lane.count == (is_beside_the_loop and path == "pure")

    run(main)


@pytest.mark.parametrize(
    ("entries_count", "entry_bytes", "beside_the_loop"),
    [
        (4, 200_000, ()),
        (5_000, 50, ("compiled", "pure")),
        (8, 200_000, ("pure",)),
        (30, 200_000, ("compiled", "pure")),
    ],
)
def test_few_large_batches_are_verified_at_once(path, entries_count, entry_bytes, beside_the_loop):
    async def main() -> None:
        entries = [Entry(1, at, 1, 1, 0, b"x" * entry_bytes) for at in range(entries_count)]
        block = b"".join(encode_entries(BlockIds(0, 7, 0, 1, 0, bytes(16)), entries).pieces)
        objects, lane = MemoryStore(), _CountingLane()
        await objects.create(KEY, [block])
        (place,) = places_of([len(block)])
        found = await read_entries(objects, Stretch.between(place, place), lane)
        assert len(found.of_stream(1)) == entries_count
        assert lane.count == (path in beside_the_loop)

    run(main)
