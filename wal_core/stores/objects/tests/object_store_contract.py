"""What every ObjectStore must do; called by test_object_stores.py with each implementation."""

from __future__ import annotations

import asyncio

import pytest

from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectStore


async def create_is_conditional(store: ObjectStore) -> None:
    await store.create("a/b", [b"one", memoryview(b"two"), bytearray(b"three")])
    with pytest.raises(AlreadyExists):
        await store.create("a/b", [b"other"])
    assert bytes(await store.get_range("a/b", 0, None)) == b"onetwothree"


async def one_of_many_concurrent_creates_wins(store: ObjectStore) -> None:
    bodies = [b"%d" % n * 1000 for n in range(16)]
    results = await asyncio.gather(
        *(store.create("race", [body]) for body in bodies), return_exceptions=True
    )
    winners = [body for body, result in zip(bodies, results, strict=True) if result is None]
    assert len(winners) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 15
    assert bytes(await store.get_range("race", 0, None)) == winners[0]


async def ranges_are_short_at_the_end(store: ObjectStore) -> None:
    await store.create("key", [b"0123456789"])
    for start, length, expected in (
        (0, 4, b"0123"),
        (4, None, b"456789"),
        (8, 10, b"89"),
        (10, 5, b""),
        (20, 5, b""),
        (20, None, b""),
        (0, 0, b""),
    ):
        assert bytes(await store.get_range("key", start, length)) == expected
    with pytest.raises(NotFound):
        await store.get_range("missing", 0, 1)


async def lists_are_ordered_and_complete(store: ObjectStore) -> None:
    keys = ["x/1", "x/10", "x/2", "x/y/1", "x0", "w/1"]
    for key in keys:
        await store.create(key, [key.encode()])
    rows = await store.list("x/")
    assert [row.key for row in rows] == ["x/1", "x/10", "x/2", "x/y/1"]
    assert [row.size_bytes for row in rows] == [3, 4, 3, 5]
    assert [row.key for row in await store.list("x/", start_after="x/10")] == ["x/2", "x/y/1"]
    assert [row.key for row in await store.list("x/1")] == ["x/1", "x/10"]
    assert list(await store.list("nothing/")) == []


async def delete_and_size(store: ObjectStore) -> None:
    await store.create("k", [b"123"])
    assert await store.size("k") == 3
    await store.delete("k")
    await store.delete("k")
    assert await store.size("k") is None
    await store.create("k", [b"again"])
    assert await store.size("k") == 5


async def many_are_deleted_at_once(store: ObjectStore) -> None:
    keys = [f"d/{n % 7}/{n}" for n in range(250)]
    for key in keys:
        await store.create(key, [b"x"])
    await store.delete()
    await store.delete("d/missing", *keys[:100], "d/also/missing", *keys[110:])
    assert [row.key for row in await store.list("d/")] == sorted(keys[100:110])
    await store.delete(*keys)
    assert list(await store.list("d/")) == []
    await store.create(keys[0], [b"again"])
    assert bytes(await store.get_range(keys[0], 0, None)) == b"again"


async def many_pieces_and_large_ones(store: ObjectStore) -> None:
    pieces = [b"%05d" % n for n in range(5000)] + [bytes(3_000_000)]
    await store.create("many", pieces)
    assert bytes(await store.get_range("many", 0, None)) == b"".join(pieces)


async def a_callers_buffer_may_be_reused_afterwards(store: ObjectStore) -> None:
    buffer = bytearray(b"before")
    await store.create("k", [memoryview(buffer)])
    buffer[:] = b"after!"
    assert bytes(await store.get_range("k", 0, None)) == b"before"


CONTRACT = [
    create_is_conditional,
    one_of_many_concurrent_creates_wins,
    ranges_are_short_at_the_end,
    lists_are_ordered_and_complete,
    delete_and_size,
    many_are_deleted_at_once,
    many_pieces_and_large_ones,
    a_callers_buffer_may_be_reused_afterwards,
]
