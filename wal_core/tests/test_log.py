"""Round trips of a log on every store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from wal_core import (
    Invalid,
    LogConfig,
    MemoryStore,
    Payloads,
    SegmentStore,
    Unavailable,
    open_store,
)
from wal_core.tests.harness import Harness


@pytest.fixture(params=["file", "folder", "memory"])
def reopen(request, tmp_path: Path):
    """A function that opens the store again, as a new process would."""
    memory = MemoryStore()

    async def open_again() -> SegmentStore:
        if request.param == "memory":
            return await open_store("", "object", objects=memory)
        mode = "file" if request.param == "file" else "object"
        return await open_store(str(tmp_path / "data"), mode)

    return open_again


async def test_append_confirm_read_reopen(reopen):
    store = await reopen()
    h = await Harness.open(store)
    futures = [h.add(n % 3, bytes([n]) * (n + 1), count=n % 4 + 1, ts=n) for n in range(50)]
    assert h.log.confirmed_offset(0) == 0 < h.log.end_offset(0)
    assert h.log.read_tail(0, 0, 100) == Payloads([], 0, 0)
    await asyncio.gather(*futures)
    assert {s: h.log.confirmed_offset(s) for s in range(3)} == h.state.ends
    before = {s: await h.read_all(s) for s in range(3)}
    term = h.log.term
    await h.log.close()
    await store.close()

    store = await reopen()
    h2 = await Harness.open(store, LogConfig(tail_bytes_max=0))
    assert h2.log.term > term
    assert h2.state.entries == h.state.entries
    assert {s: await h2.read_all(s) for s in range(3)} == before
    assert {s: await h2.read_all(s, 1) for s in range(3)} == before
    await h2.add(1, b"more")
    assert (await h2.read_all(1))[-1][1] == b"more"
    await h2.log.close()
    await store.close()


async def test_reopen_after_crash_replays_the_unfinished_segment(reopen):
    store = await reopen()
    h = await Harness.open(store)
    for n in range(20):
        await h.add(n % 2, bytes([n]) * 10)
    await h.crash()
    await store.close()
    store = await reopen()
    h2 = await Harness.open(store)
    assert h2.state.entries == h.state.entries
    assert h2.state.restored_count == (1 if store.mode == "object" else 0)
    assert [p for _, p in await h2.read_all(0)] == [bytes([n]) * 10 for n in range(0, 20, 2)]
    assert [h2.log.end_offset(stream) for stream in (0, 1)] == [10, 10]
    await h2.log.close()
    await store.close()


async def test_rolls_and_reads_across_segments(reopen):
    store = await reopen()
    h = await Harness.open(store, LogConfig(segment_bytes_max=400, tail_bytes_max=300))
    assert h.log._contents.chain.last == (0 if store.mode == "object" else -1)
    payloads = [b"%03d" % n * 20 for n in range(40)]
    for n, payload in enumerate(payloads):
        await h.add(7, payload, ts=n)
    assert h.log._contents.chain.last > 5
    assert [p for _, p in await h.read_all(7)] == payloads
    for n in range(40):
        found = await h.log.find_timestamp(7, n)
        assert found is not None and found.base_offset == n
    assert await h.log.find_timestamp(7, 40) is None
    await h.log.close()
    await store.close()
    store = await reopen()
    h2 = await Harness.open(store)
    assert [p for _, p in await h2.read_all(7)] == payloads
    assert h2.state.entries == h.state.entries
    await h2.log.close()
    await store.close()


async def test_odd_input_is_invalid(reopen):
    store = await reopen()
    h = await Harness.open(store, LogConfig(unconfirmed_bytes_max=1000))
    for args in (
        (0, 1, 1, 0, b"x"),
        (0, 0, 0, 0, b"x"),
        (-1, 0, 1, 0, b"x"),
        (1 << 64, 0, 1, 0, b"x"),
        (0, 0, 1, 1 << 63, b"x"),
        (0, 0, 1, 0, b""),
        (0, 0, 1, 0, memoryview(b"1234").cast("H")),
        (0, 0, 1, 0, bytes(2000)),
    ):
        with pytest.raises(Invalid):
            h.log.append(*args)
    assert h.log.end_offset(0) == 0
    h.add(0, bytes(600))
    with pytest.raises(Unavailable):
        h.log.append(0, 1, 1, 0, bytes(600))
    await h.log.close()
    await store.close()


async def test_a_folder_has_one_writer_and_one_mode(tmp_path):
    store = await open_store(str(tmp_path), "file")
    h = await Harness.open(store)
    other = await open_store(str(tmp_path), "file")
    with pytest.raises(Unavailable, match=str(tmp_path)):
        await Harness.open(other)
    await h.log.close()
    h = await Harness.open(other)
    await h.log.close()
    await store.close()
    await other.close()
    with pytest.raises(Invalid, match=r"woodpecker\.json.*mode file"):
        await open_store(str(tmp_path), "object")
