"""Blocks of many places in their order, and in the place of a damaged one why it cannot be had."""

from __future__ import annotations

from wal_core import Corrupt, Entry, LogConfig, MemoryStore, Unavailable
from wal_core.format.block import Block, BlockIds, encode_entries
from wal_core.format.places import Place
from wal_core.stores.persistence import Persistence
from wal_core.stores.read_each import read_each
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.tests.harness import CountingRng


async def stored(objects: MemoryStore, number: int) -> Place:
    entry = Entry(1, number, 1, 1, 0, b"payload %d" % number)
    encoded = encode_entries(BlockIds(1, 0, number, 1, 0, bytes(16)), [entry])
    key = f"block-{number}"
    await objects.create(key, encoded.pieces)
    return Place(key, 0, encoded.length, 1, 0, number)


async def test_each_comes_in_order_and_damage_is_told_where_it_is():
    memory = MemoryStore()
    places = [await stored(memory, number) for number in range(5)]
    await memory.delete("block-1")
    whole = memory.objects["block-3"]
    memory.objects["block-3"] = whole[:-1] + bytes([whole[-1] ^ 1])
    # What passes is tried again, and is no damage.
    objects = FaultyObjectStore(memory, plan=[Planned("get_range", "block-2", Fault.BEFORE)])
    persist = Persistence(LogConfig(retry_first_ms=1), CountingRng())
    found = [pair async for pair in read_each(objects, places, persist)]
    assert [place for place, _ in found] == places
    kinds = [type(block) for _, block in found]
    assert kinds == [Block, Corrupt, Block, Corrupt, Block]
    assert "block-1 is missing" in str(found[1][1])
    assert [block.header.block for _, block in found if isinstance(block, Block)] == [0, 2, 4]
    assert objects.count("get_range", "block-2") == 2


def test_what_may_pass_is_no_answer():
    """Were it told in the place of a block, a check would call it damage."""
    assert not issubclass(Unavailable, Corrupt)
