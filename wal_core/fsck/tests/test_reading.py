"""Reading to judge: what is wrong with a block is an answer, what passes is tried again."""

from __future__ import annotations

from contextlib import aclosing

from wal_core import LogConfig, MemoryStore
from wal_core.format.block import Block, BlockIds, encode_entries
from wal_core.format.places import Place
from wal_core.fsck.findings import Kind
from wal_core.fsck.reading import BlockReader, Problem
from wal_core.stores.persistence import Persistence
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.tests.harness import CountingRng
from wal_core.types import Entry

ENCODED = encode_entries(BlockIds(1, 0, 3, 1, 0, bytes(16)), [Entry(1, 0, 1, 1, 0, b"payload")])
BODY = b"".join(bytes(piece) for piece in ENCODED.pieces)
STORED = {
    "whole": BODY,
    "flipped": BODY[:-1] + b"?",
    "cut": BODY[:40],
    "longer": BODY + b"x",
    "none": b"",
}


async def reader() -> tuple[FaultyObjectStore, BlockReader]:
    objects = FaultyObjectStore(MemoryStore())
    for key, body in STORED.items():
        await objects.create(key, [body])
    return objects, BlockReader(objects, Persistence(LogConfig(retry_first_ms=1), CountingRng()))


def place(key: str, block: int = 3, length: int | None = None) -> Place:
    return Place(key, 0, length, 1, 0, block)


async def test_each_kind_of_damage_has_its_word():
    _, read = await reader()
    assert isinstance(await read.block(place("whole")), Block)
    assert await read.block(place("gone")) == Problem(Kind.MISSING, "it is not there")
    for key in ("flipped", "cut", "none"):
        found = await read.block(place(key))
        assert isinstance(found, Problem)
        assert found.kind is Kind.DAMAGED
        assert key not in found.text  # whoever tells it names the place
    longer = await read.block(place("longer"))
    assert longer == Problem(Kind.DAMAGED, f"a block of {len(BODY)} bytes, and more behind it")
    stranger = await read.block(place("whole", block=4))
    assert isinstance(stranger, Problem)
    assert "found block 3" in stranger.text
    assert read.blocks_count == 7


async def test_a_store_that_fails_for_a_moment_is_no_damage():
    objects, read = await reader()
    objects.plan += [Planned("get_range", "whole", Fault.BEFORE)] * 3
    assert isinstance(await read.block(place("whole")), Block)


async def test_a_header_that_cannot_be_seen_is_none():
    _, read = await reader()
    header = await read.header("whole")
    assert header is not None
    assert header.block == 3
    assert await read.header("flipped") == header  # nobody looked at the rest
    assert [await read.header(key) for key in ("gone", "cut", "none")] == [None] * 3


async def test_many_come_in_order():
    _, read = await reader()
    asked = [place(key, length=len(BODY)) for key in ("whole", "gone", "flipped", "whole")]
    async with aclosing(read.blocks(asked)) as found:
        kinds = [(p.key, isinstance(b, Block)) async for p, b in found]
    assert kinds == [("whole", True), ("gone", False), ("flipped", False), ("whole", True)]
