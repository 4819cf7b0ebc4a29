"""The way to a logstore: who was away gets what it lacks, and nobody waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from wal_core.format.places import Slot
from wal_core.logstore.tests.logstores import block
from wal_core.quorum import part as part_module
from wal_core.quorum.lane import split
from wal_core.quorum.tests.places import Place

LOG = 3


async def test_who_was_away_gets_from_the_others_what_is_in_memory_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(part_module, "WINDOW_BYTES_MAX", 1)
    place = Place(tmp_path)
    await place.start("A", "B", "C")
    store = place.store()
    assert await store.lock(LOG) == 0
    place.wire("B").is_cut = True
    stored = [block(number) for number in range(20)]
    for number, body in enumerate(stored):
        await store.append(Slot(LOG, 0, number, 0), [body], final=False)
    part = store._tails[LOG].parts[0]
    assert not part.blocks
    place.wire("B").is_cut = False
    async with asyncio.timeout(30):
        while min(part.ends.get(member, 0) for member in part.ensemble) < 20:
            await asyncio.sleep(0.02)
    await store.close()
    await place.close()


def test_blocks_that_follow_each_other_are_told_apart():
    stored = [block(number) for number in range(3)]
    assert list(split(b"".join(stored))) == stored
    assert list(split(b"")) == []
