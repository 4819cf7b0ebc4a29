"""A log in a folder that was written and opened again: for tests of what is read on the loop."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random  # noqa: TID251 - seeded
from collections.abc import Sequence
from pathlib import Path

from wal_core import LogConfig, Payloads, open_store
from wal_core.stores.file_region import FileRegion
from wal_core.tests.harness import Harness

CONFIG = dataclasses.replace(
    LogConfig.preset("file"),
    segment_blocks_max=6,
    tail_bytes_max=2_000,
    gather_ms=0,
    seal_segments_min_count=1_000,
    table_cache_bytes_max=1 << 30,  # the state of these tests keeps all payloads in the footers
)


async def opened(folder: Path) -> Harness:
    """With nobody who has written a moment ago."""
    h = await Harness.open(await open_store(str(folder), "file"), CONFIG)
    h.store._ended_s = -math.inf  # an opening may write
    return h


async def reopened(
    folder: Path,
    seed: int,
    *,
    blocks_count: int,
    streams: Sequence[int],
    sizes: Sequence[int],
    counts: Sequence[int],
) -> Harness:
    """Several segments of blocks, each of one of the counts of entries; these of any stream and any
    size."""
    rng = random.Random(seed)
    h = await opened(folder)
    for _ in range(blocks_count):
        adding = [
            h.add(rng.choice(streams), rng.randbytes(rng.choice(sizes)), count=2)
            for _ in range(rng.choice(counts))
        ]
        await asyncio.gather(*adding)
    await h.log.close()
    return await opened(folder)


def forget_blocks(h: Harness) -> None:
    """Those in the cache."""
    cache = h.log._reader.blocks._cache
    for stretch in list(cache._values):
        cache.forget(stretch)


def joined(found: Payloads) -> bytes:
    """Their bytes, wherever they are."""
    return b"".join(p.read() if isinstance(p, FileRegion) else p for p in found.pieces)
