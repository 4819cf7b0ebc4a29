"""Blocks of a tail, read as if they lay in the bucket: from whoever has them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from wal_core.errors import Unavailable
from wal_core.format.places import Slot
from wal_core.logstore.tests.logstores import block
from wal_core.quorum.objects import key_of
from wal_core.quorum.tests.places import Place
from wal_core.stores.objects.base import NotFound

LOG = 3


async def test_a_block_is_read_from_whoever_has_it(tmp_path: Path):
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    store = place.store()
    await store.lock(LOG)
    for number in range(3):
        await store.append(Slot(LOG, 0, number, 0), [block(number)], final=False)
    part = store._tails[LOG].parts[0]
    while any(part.ends.get(member, 0) < 3 for member in part.ensemble):
        await asyncio.sleep(0)  # two of them are enough for an append, and here all are asked
    part.blocks.clear()
    objects, key = store.objects, key_of(LOG, 0, 1)
    assert bytes(await objects.get_range(key, 0, None)) == block(1)
    assert bytes(await objects.get_range(key, 4, 10)) == block(1)[4:14]
    assert await objects.size(key) == len(block(1))
    keys = [row.key for row in await objects.list(f"logs/{LOG}/")]
    assert keys == [key_of(LOG, 0, number) for number in range(3)]
    assert await objects.list(f"logs/{LOG}/", keys[-1]) == []
    assert await objects.size(key_of(LOG, 0, 3)) is None
    with pytest.raises(NotFound):
        await objects.get_range(key_of(LOG, 1, 0), 0, None)
    for name in ("A", "B"):
        place.wire(name).is_cut = True
    assert bytes(await objects.get_range(key, 0, None)) == block(1)
    place.wire("C").is_cut = True
    with pytest.raises(Unavailable, match="lost on the way"):
        await objects.get_range(key, 0, None)
    await store.close()
    await place.close()
