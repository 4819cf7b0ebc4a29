"""Every object and table of a log, one at a time, deleted, cut and flipped: the log opens, serves
every record whose own block is whole, and refuses the others."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from pathlib import Path

import pytest

from wal_core import Corrupt, LogConfig, MemoryStore, open_store
from wal_core.format.block import BLOCK_MAGIC, BlockKind, parse_block
from wal_core.format.chain import Completed, Sealed
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.testing.faulty_files import ExecutorFileWriter, FaultyFileOps
from wal_core.testing.seeds import Random
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, VirtualClock
from wal_core.tests.harness import Harness

STREAMS_COUNT = 3
ENTRIES_COUNT = 62
SAMPLED_COUNT = 12
"""Of the objects of a log, where nobody asks for all of them (`make damage`)."""


def config_of(mode: str) -> LogConfig:
    return dataclasses.replace(
        SMALL,
        merge_count=4,
        garbage_grace_ms=60_000,
        fence_grace_ms=600_000,
        table_cache_bytes_max=100_000,
    )


class Stored:
    """A log of about 20 segments that nobody writes any more, as key -> bytes."""

    def __init__(self, mode: str, tmp_path: Path) -> None:
        self.mode = mode
        self.root = tmp_path / "log"
        self.files: dict[str, bytes] = {}

    async def store(self):
        if self.mode == "object":
            bucket = MemoryStore()
            for key, content in self.files.items():
                await bucket.create(key, [content])
            return await open_store("", "object", objects=bucket)
        shutil.rmtree(self.root, ignore_errors=True)
        for key, content in self.files.items():
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        await (await open_store(str(self.root), "file")).close()
        ops = FaultyFileOps()
        return FileSegmentStore(self.root, ops=ops, writer=ExecutorFileWriter(ops))

    async def fill(self) -> None:
        store = await self.store()
        h = await Harness.open(store, config_of(self.mode), clock=VirtualClock())
        for number in range(ENTRIES_COUNT):
            await h.add(number % STREAMS_COUNT, payload_of(number), ts=number)
            await h.log.until_quiet()
        links = h.log._contents.chain.links
        self.sealed = [link for link in links if isinstance(link, Sealed)]
        self.completed = [link.segment for link in links if isinstance(link, Completed)]
        await h.crash()
        if self.mode == "object":
            self.files = {key: bytes(body) for key, body in store.objects.objects.items()}
        else:
            self.files = {
                path.relative_to(self.root).as_posix(): path.read_bytes()
                for path in self.root.rglob("*")
                if path.is_file()
            }
        await store.close()


def payload_of(number: int) -> bytes:
    return b"<%05d>" % number * (15 + number % 20)


def damaged(content: bytes, how: str) -> bytes | None:
    if how == "deleted":
        return None
    if how == "cut":
        return content[: len(content) // 2]
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 4
    return bytes(flipped)


def held(content: bytes, left: bytes) -> set[int]:
    """Numbers of the entries in the blocks of an object that are whole in what is left of it."""
    found: set[int] = set()
    at = 0
    while content[at : at + 4] == BLOCK_MAGIC:
        block = parse_block(content[at:])
        end = at + block.header.total_bytes
        if block.header.kind == BlockKind.DATA and content[at:end] == left[at:end]:
            found.update(e.base_offset * STREAMS_COUNT + e.stream_id for e in block.entries())
        at = end
    return found


async def served(stored: Stored) -> set[int]:
    """Numbers of the entries that can be read one by one; the others are refused."""
    store = await stored.store()
    h = await Harness.open(store, config_of(stored.mode), clock=VirtualClock())
    found: set[int] = set()
    for stream in range(STREAMS_COUNT):
        for offset in range(h.log.confirmed_offset(stream)):
            try:
                entry = (await h.log.read(stream, offset, 1))[0]
            except Corrupt:
                continue
            number = offset * STREAMS_COUNT + stream
            assert (entry.base_offset, entry.payload) == (offset, payload_of(number))
            found.add(number)
    await h.log.close()
    await store.close()
    return found


@pytest.mark.parametrize("mode", ["file", "object"])
def test_damage_stays_local(mode, tmp_path):
    async def main() -> None:
        stored = Stored(mode, tmp_path)
        await stored.fill()
        whole = dict(stored.files)
        assert await served(stored) == set(range(ENTRIES_COUNT))
        seed = int(os.environ.get("DAMAGE_SEED", "1"))
        sampled = Random(seed).sample(sorted(whole), SAMPLED_COUNT)
        for key in sorted(whole) if os.environ.get("DAMAGE_WHOLE") else sampled:
            content = whole[key]
            if not key.startswith(("logs/", "sealed/", "manifests/")):
                continue
            for how in ("deleted", "cut", "flipped"):
                left = damaged(content, how)
                stored.files = whole | {key: left or b""}
                if left is None:
                    del stored.files[key]
                gone = held(content, content) - held(content, left or b"")
                found = await served(stored)
                assert found >= set(range(ENTRIES_COUNT)) - gone, (key, how)

    run(main)


@pytest.mark.parametrize("how", ["deleted", "cut"])
def test_a_lost_unfinished_file_is_told(how, tmp_path, caplog):
    """A torn tail and a file that never was are no loss: what proves that there was more is noted
    beside it."""

    async def main() -> None:
        stored = Stored("file", tmp_path)
        await stored.fill()
        assert await served(stored) == set(range(ENTRIES_COUNT))
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
        key = max(key for key in stored.files if key.endswith(".seg"))
        content = stored.files.pop(key)
        if how == "cut":  # behind its first block, half of the second
            stored.files[key] = content[: parse_block(content).header.total_bytes * 3 // 2]
        await served(stored)
        told = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert len(told) == 1
        assert ("it is gone" if how == "deleted" else "it was durable up to") in told[0]

    run(main)
