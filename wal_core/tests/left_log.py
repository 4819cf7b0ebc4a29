"""A log that nobody writes any more, in a folder or a bucket, to be damaged and looked at."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from wal_core import (
    Changes,
    Corrupt,
    Entry,
    Log,
    LogConfig,
    LogReport,
    MemoryStore,
    Mode,
    Repaired,
    SegmentStore,
    check_log,
    open_store,
    repair_log,
)
from wal_core.format.block import BLOCK_MAGIC, BlockKind, parse_block
from wal_core.format.chain import Completed, Sealed
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.testing.faulty_files import ExecutorFileWriter, FaultyFileOps
from wal_core.tests.compaction_load import SMALL, VirtualClock
from wal_core.tests.harness import CountingRng
from wal_core.types import Buffer

STREAMS_COUNT = 3
ENTRIES_COUNT = 62
"""Entry n is one of stream n % 3, at offset n // 3."""
CONFIG: LogConfig = dataclasses.replace(
    SMALL,
    merge_count=5,
    garbage_grace_ms=60_000,
    fence_grace_ms=600_000,
    table_cache_bytes_max=100_000,
    checkpoint_piece_bytes=150,
)
LOG_FOLDERS = ("logs/", "sealed/", "manifests/")


def payload_of(number: int) -> bytes:
    return b"<%05d>" % number * (15 + number % 20)


class Numbers:
    """A LogState: which entries there were, by number."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.found: set[int] = set()

    def take(self, number: int) -> None:
        self.found.add(number)
        self.changes.note(b"%d" % number, 20)

    def restore(self, key: bytes, value: Buffer | None) -> None:
        assert value is not None
        self.found.add(int(key))

    def restored(self) -> None: ...

    def apply(self, entry: Entry) -> None:
        self.take(number_of(entry))

    def values(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        return ((key, bytes(10)) for key in keys)

    def confirmed(self, ends: Mapping[int, int]) -> None: ...

    def salvage(self) -> Numbers:
        return Numbers()

    # as a Salvage

    def wants(self, stream_id: int, end: int) -> bool:
        return stream_id < STREAMS_COUNT

    def pairs(self, doubtful: Collection[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        return self.values([b"%d" % number for number in self.found])


def number_of(entry: Entry) -> int:
    return entry.base_offset * STREAMS_COUNT + entry.stream_id


class LeftLog:
    """Of about 20 segments, as key -> bytes."""

    def __init__(self, mode: Mode, tmp_path: Path) -> None:
        self.mode: Mode = mode
        self.root = tmp_path / "log"
        self.files: dict[str, bytes] = {}

    async def store(self) -> SegmentStore:
        """One that holds it. What happens there is lost but for `keep`."""
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

    def keep(self, store: SegmentStore) -> None:
        if isinstance(store.objects, MemoryStore):
            self.files = {key: bytes(body) for key, body in store.objects.objects.items()}
        else:
            self.files = {
                path.relative_to(self.root).as_posix(): path.read_bytes()
                for path in self.root.rglob("*")
                if path.is_file()
            }

    async def fill(self) -> LeftLog:
        store = await self.store()
        log = await opened(store, state := Numbers())
        for number in range(ENTRIES_COUNT):
            await append(log, state, number)
            await log.until_quiet()
        links = log._contents.chain.links
        self.sealed = [link for link in links if isinstance(link, Sealed)]
        self.completed = [link.segment for link in links if isinstance(link, Completed)]
        await crash(log)
        self.keep(store)
        await store.close()
        return self

    def damage(self, key: str, how: str) -> None:
        content = damaged(self.files.pop(key), how)
        if content is not None:
            self.files[key] = content

    async def check(self) -> LogReport:
        store = await self.store()
        report = await check_log(store, CONFIG, CountingRng(), new_state=Numbers)
        await store.close()
        return report

    async def repair(self, report: LogReport | None = None) -> Repaired:
        report = report or await self.check()
        store = await self.store()
        clock, rng = VirtualClock(), CountingRng()
        done = await repair_log(store, Numbers(), CONFIG, report, clock=clock, rng=rng)
        self.keep(store)
        await store.close()
        return done


async def opened(store: SegmentStore, state: Numbers) -> Log:
    log = await Log.open(store, state, CONFIG, clock=VirtualClock(), rng=CountingRng())
    await log.until_quiet()
    return log


async def append(log: Log, state: Numbers, number: int) -> None:
    stream, offset = number % STREAMS_COUNT, number // STREAMS_COUNT
    confirmation = log.append(stream, offset, 1, number, payload_of(number))
    state.take(number)
    await confirmation


async def crash(log: Log) -> None:
    await log._maintenance.stop()
    await log._writer.stop()
    await log._reader.close()
    await log._store.unlock(0)


async def readable(log: Log) -> set[int]:
    """Numbers of the entries that can be read one by one; the others are refused."""
    found: set[int] = set()
    for stream in range(STREAMS_COUNT):
        for offset in range(log.start_offset(stream), log.confirmed_offset(stream)):
            try:
                entry = (await log.read(stream, offset, 1))[0]
            except Corrupt:
                continue
            number = offset * STREAMS_COUNT + stream
            assert (entry.base_offset, entry.payload) == (offset, payload_of(number))
            found.add(number)
    return found


async def served(left: LeftLog) -> set[int]:
    """Numbers of what a broker on it serves, all of which it also remembers."""
    store = await left.store()
    log = await opened(store, state := Numbers())
    found = await readable(log)
    assert state.found >= found
    await log.close()
    await store.close()
    return found


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
            found.update(number_of(e) for e in block.entries() if e.stream_id < STREAMS_COUNT)
        at = end
    return found
