"""What a provider would bill, and what it would not."""

from __future__ import annotations

import asyncio

import pytest

from wal_core import MemoryStore, Unavailable
from wal_core.stores.objects.base import AlreadyExists, NotFound
from wal_core.stores.objects.counted import CountedObjects
from wal_core.tally import StoreTally
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sim_loop import run


async def test_each_kind_is_counted_with_its_bytes() -> None:
    tally = StoreTally()
    store = CountedObjects(MemoryStore(), tally)
    for n in range(1_001):
        await store.create(f"k/{n:04}", [b"ab", b"c"])
    with pytest.raises(AlreadyExists):
        await store.create("k/0000", [b"z"])
    await store.get_range("k/0000", 0, 2)
    await store.size("k/0000")
    with pytest.raises(NotFound):
        await store.get_range("none", 0, 2)
    keys = [row.key for row in await store.list("k/")]
    await store.list("nothing/")
    await store.delete(*keys)
    await store.delete()
    assert (tally.put.count, tally.put.bytes_count, tally.created_count) == (1_002, 3_003, 1_001)
    assert (tally.get.count, tally.get.bytes_count) == (3, 2)
    assert tally.list.count == 3  # two pages, and an empty one
    assert (tally.delete.count, tally.deleted_count) == (2, 1_001)
    kinds = (tally.put, tally.get, tally.list, tally.delete)
    assert [kind.failed_count for kind in kinds] == [0, 0, 0, 0]
    assert tally.put.seconds.count == 1_002


def test_what_fails_and_what_is_late_is_counted_and_takes_no_time() -> None:
    async def body() -> None:
        tally = StoreTally()
        objects = FaultyObjectStore(MemoryStore(), plan=[Planned("create", "", Fault.BEFORE)])
        store = CountedObjects(objects, tally)
        with pytest.raises(Unavailable):
            await store.create("a", [b"1"])
        objects.latency_s = 5.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await store.create("a", [b"1"])
        assert (tally.put.count, tally.put.failed_count, tally.put.in_flight_count) == (2, 2, 0)
        assert tally.put.seconds.count == tally.created_count == tally.put.bytes_count == 0

    run(body)
