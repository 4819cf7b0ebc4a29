"""A block at its place, or a sentence that says which one is missing; whose an object is."""

from __future__ import annotations

import pytest

from wal_core import Corrupt, Entry, Fenced, Invalid, MemoryStore, Unavailable
from wal_core.format.block import HEADER_BYTES, BlockIds, crc32c, encode_entries
from wal_core.format.places import Place
from wal_core.stores.places import create_own, read_block
from wal_core.testing.sim_loop import run

PLACE = Place("logs/1/2/3", 0, None, 1, 2, 3)


def pieces(ids: BlockIds | None = None, payload: bytes = b"payload") -> list[bytes]:
    ids = ids or BlockIds(1, 2, 3, 4, 0, b"n" * 16)
    return [bytes(p) for p in encode_entries(ids, [Entry(5, 0, 1, 1, 9, payload)]).pieces]


def test_a_block_is_read_from_anywhere_in_an_object():
    async def main() -> None:
        store, body = MemoryStore(), b"".join(pieces())
        await store.create(PLACE.key, [b"before", body, b"behind"])
        block = await read_block(store, PLACE._replace(position=6, length=len(body)))
        assert [bytes(entry.payload) for entry in block.entries()] == [b"payload"]

    run(main)


@pytest.mark.parametrize("wrong", [{"log_id": 9}, {"segment": 9}, {"block": 9}])
def test_a_sound_block_in_the_wrong_place_is_damage(wrong):
    async def main() -> None:
        store = MemoryStore()
        await store.create(PLACE.key, pieces())
        with pytest.raises(Corrupt, match="logs/1/2/3: found block 3 of segment 2 of log 1"):
            await read_block(store, PLACE._replace(**wrong))

    run(main)


def test_missing_and_damaged_ones_are_named():
    async def main() -> None:
        store = MemoryStore()
        with pytest.raises(Corrupt, match="logs/1/2/3 is missing") as missing:
            await read_block(store, PLACE)
        assert (missing.value.segment, missing.value.block) == (2, 3)
        body = bytearray(b"".join(pieces()))
        body[HEADER_BYTES + 3] ^= 1
        await store.create(PLACE.key, [body])
        with pytest.raises(Corrupt, match=r"^logs/1/2/3: "):
            await read_block(store, PLACE)

    run(main)


def test_a_block_of_another_version_is_refused_and_named():
    async def main() -> None:
        store, body = MemoryStore(), bytearray(b"".join(pieces()))
        body[4:6] = (99).to_bytes(2, "little")
        checked = bytes(body[: HEADER_BYTES - 4] + body[HEADER_BYTES:])
        body[HEADER_BYTES - 4 : HEADER_BYTES] = crc32c(checked).to_bytes(4, "little")
        await store.create(PLACE.key, [body])
        with pytest.raises(Invalid, match=r"^logs/1/2/3: .*version 99"):
            await read_block(store, PLACE)

    run(main)


def test_ones_own_object_may_be_created_twice_and_another_is_a_fence():
    async def main() -> None:
        store = MemoryStore()
        await create_own(store, PLACE, pieces())
        await create_own(store, PLACE, pieces())
        for other in (
            pieces(payload=b"another"),
            pieces(BlockIds(1, 2, 3, 4, 0, b"r" * 16)),
        ):
            with pytest.raises(Fenced, match="belongs to another writer"):
                await create_own(store, PLACE, other)
        assert store.objects[PLACE.key] == b"".join(pieces())

    run(main)


def test_a_create_that_meets_one_that_left_nothing_may_be_tried_again():
    """Some stores answer so to two creates at once of which one then fails."""

    class Ghost(MemoryStore):
        async def get_range(self, key, start, length):
            del self.objects[key]
            return await super().get_range(key, start, length)

    async def main() -> None:
        store = Ghost()
        await store.create(PLACE.key, [b"somebody's"])
        with pytest.raises(Unavailable) as met:
            await create_own(store, PLACE, pieces())
        assert met.value.retriable
        await create_own(store, PLACE, pieces())

    run(main)
