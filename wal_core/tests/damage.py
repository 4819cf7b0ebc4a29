"""A bucket with a log in it that tests of fsck damage."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

from wal_core import Entry, LogReport, MemoryStore, check_log, open_store
from wal_core.format.block import BlockIds, encode_entries, parse_block, parse_header
from wal_core.format.chain import Completed, Sealed
from wal_core.fsck.findings import Kind
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.compaction_load import SMALL, VirtualClock
from wal_core.tests.harness import CountingRng, Harness

CONFIG = dataclasses.replace(
    SMALL,
    merge_count=4,
    garbage_grace_ms=60_000,
    fence_grace_ms=600_000,
    table_cache_bytes_max=100_000,
)
STREAMS_COUNT = 3
ENTRIES_COUNT = 68


class Place:
    """A bucket with a log in it that nobody writes any more: sealed segments, completed ones, an
    unfinished one, garbage. The records of entry n are one of stream n % 3."""

    def __init__(self) -> None:
        self.bucket = MemoryStore()
        self.sealed: list[Sealed] = []
        self.completed: list[int] = []

    async def fill(self, *, settled: bool = False) -> Place:
        store = await open_store("", "object", objects=FaultyObjectStore(self.bucket))
        h = await Harness.open(store, CONFIG, clock=VirtualClock())
        for number in range(ENTRIES_COUNT):
            await h.add(number % STREAMS_COUNT, bytes([number]) * (100 + number % 20), ts=number)
            await h.log.until_quiet()
        if settled:
            await asyncio.sleep(100)
            await h.log.until_quiet()
        links = h.log._contents.chain.links
        self.sealed = [link for link in links if isinstance(link, Sealed)]
        self.completed = [link.segment for link in links if isinstance(link, Completed)]
        await h.crash()
        return self

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.bucket.objects if key.startswith(prefix))

    def flip(self, key: str, at: int = -1) -> None:
        body = bytearray(self.bucket.objects[key])
        body[at] ^= 1
        self.bucket.objects[key] = bytes(body)

    def put_block(self, key: str, *entries: Entry, own: bool = True) -> None:
        """In the place of a block, a whole one with other entries; not `own`: by another writer."""
        header = parse_header(self.bucket.objects[key])
        nonce = header.nonce if own else bytes(16)
        ids = BlockIds(0, header.segment, header.block, header.term, header.durable_count, nonce)
        self.bucket.objects[key] = b"".join(encode_entries(ids, entries).pieces)

    def entries(self, key: str) -> list[Entry]:
        return parse_block(self.bucket.objects[key]).entries()

    def truncate(self, key: str, left_bytes: int) -> None:
        self.bucket.objects[key] = self.bucket.objects[key][:left_bytes]

    async def delete(self, *keys: str) -> None:
        assert set(keys) <= set(self.bucket.objects)
        await self.bucket.delete(*keys)

    async def check(self, *, deep: bool = True) -> LogReport:
        store = ObjectSegmentStore(self.bucket)
        return await check_log(store, CONFIG, CountingRng(), deep=deep)

    async def found(self, *, deep: bool = True) -> list[tuple[Kind, str]]:
        report = await self.check(deep=deep)
        return [(finding.kind, finding.place) for finding in report.findings]

    def completed_block(self, block: int = 1) -> str:
        """Of the segment before the last completed one."""
        return f"logs/0/{self.completed[-2]:020d}/{block:010d}"

    def footer(self, segment: int) -> str:
        return self.keys(f"logs/0/{segment:020d}/")[-1]

    def sealed_data(self) -> str:
        """An object that only the last sealed segment names."""
        folder = self.sealed[-1].index.removesuffix("index")
        return self.keys(f"{folder}0")[0]

    def newest_manifest(self) -> str:
        return self.keys("manifests/")[-1]


def scenario(test: Callable[[Place], Awaitable[None]]) -> Callable[[], None]:
    def test_in_virtual_time() -> None:
        async def main() -> None:
            await test(await Place().fill())

        run(main)

    test_in_virtual_time.__name__ = test.__name__
    return test_in_virtual_time
