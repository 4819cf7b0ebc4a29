"""Blocks that are written without a task: whatever becomes of them, they are confirmed once, in
order, or their writers hear why not."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wal_core import Corrupt, LogConfig, Unavailable, open_store
from wal_core.format.places import Slot
from wal_core.stores.segments.base import SegmentStore, Told
from wal_core.tests.harness import Harness
from wal_core.types import Buffer

FILE = dataclasses.replace(LogConfig.preset("file"), gather_ms=0)


class Holding:
    """A store that has begun what it was given, and says nothing of it by itself."""

    def __init__(self, store: SegmentStore) -> None:
        self._store = store
        self.held: list[Told] = []
        self.appended: list[Slot] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def begin(self, slot: Slot, pieces: Sequence[Buffer], told: Told) -> bool:
        self.held.append(told)
        return True

    async def append(self, slot: Slot, pieces: Sequence[Buffer], *, final: bool) -> None:
        await self._store.append(slot, pieces, final=final)
        self.appended.append(slot)


async def holding(folder: Path, config: LogConfig = FILE) -> tuple[Harness, Holding]:
    store = Holding(await open_store(str(folder), "file"))
    return await Harness.open(store, config), store  # type: ignore[arg-type]


async def begun(h: Harness, store: Holding, payload: bytes) -> asyncio.Future[None]:
    count = len(store.held)
    future = h.add(0, payload)
    while len(store.held) == count:
        await asyncio.sleep(0)
    return future


async def test_what_failed_is_written_by_a_task(tmp_path: Path) -> None:
    h, store = await holding(tmp_path)
    first, second = await begun(h, store, b"a"), await begun(h, store, b"b")
    for told in store.held:
        told(OSError(5, "it broke"))
    await asyncio.gather(first, second)
    assert [slot.block for slot in store.appended] == [0, 1]
    assert await h.read_all(0) == [(0, b"a"), (1, b"b")]
    await h.log.close()
    await store.close()


async def test_what_takes_too_long_is_waited_for_by_a_task(tmp_path: Path) -> None:
    h, store = await holding(tmp_path, dataclasses.replace(FILE, store_timeout_ms=20))
    await (await begun(h, store, b"a"))
    assert [slot.block for slot in store.appended] == [0]
    assert h.state.confirmed_calls == [{0: 1}]
    store.held[0](None)  # so late
    second = await begun(h, store, b"b")
    store.held[1](None)
    await second
    assert h.state.confirmed_calls == [{0: 1}, {0: 2}]
    await h.crash()
    await store.close()


async def test_confirmations_are_in_order(tmp_path: Path) -> None:
    h, store = await holding(tmp_path)
    first, second = await begun(h, store, b"a"), await begun(h, store, b"b")
    store.held[1](None)
    assert h.state.confirmed_calls == []
    store.held[0](None)
    assert h.state.confirmed_calls == [{0: 1}, {0: 2}]
    await asyncio.gather(first, second)
    await h.crash()
    await store.close()


@pytest.mark.parametrize("error", [None, OSError(5, "it broke")])
async def test_what_comes_of_a_block_after_the_end_changes_nothing(
    tmp_path: Path, error: OSError | None
) -> None:
    h, store = await holding(tmp_path)
    future = await begun(h, store, b"a")
    await h.crash()
    store.held[0](error)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(Unavailable, match="closed before the store answered"):
        await future
    assert h.state.confirmed_calls == []
    assert store.appended == []
    await store.close()


async def test_a_state_that_fails_ends_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h, store = await holding(tmp_path)
    future = await begun(h, store, b"a")

    def fail(ends: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(h.state, "confirmed", fail)
    store.held[0](None)
    with pytest.raises(Corrupt, match="unexpected ZeroDivisionError: a bug"):
        await future
    await h.crash()
    await store.close()
