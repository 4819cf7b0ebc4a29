"""What a compaction makes superfluous, and its deletion at a pace that leaves room for others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from wal_core.config import LogConfig
from wal_core.format.block import BlockKind
from wal_core.format.chain import Sealed
from wal_core.format.footer import Footer
from wal_core.format.sealed_index import SealedIndex
from wal_core.stores.manifests import Garbage
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.upkeep.compaction import Source

HURRIED_GRACE_MS = 15_000
"""For want of room: as long as a read that has begun usually takes, not the longest conceivable."""
UPLOADED_GRACE_MS = 15_000
"""What was uploaded leaves the logstores so soon: their room bridges an outage of the bucket."""
_KEYS_PER_DELETE_COUNT = 200


def garbage_of(
    source: Source,
    referenced: frozenset[str],
    store: SegmentStore,
    config: LogConfig,
    now_ms: int,
) -> list[Garbage]:
    """What is left of a source once a sealed segment stands for it that references some of it."""
    due_ms = now_ms + config.garbage_grace_ms
    tables = source.tables
    if isinstance(source.link, Sealed):
        assert isinstance(tables, SealedIndex)
        keys = [row.key for row in tables.objects if row.key not in referenced]
        return [Garbage(due_ms=due_ms, keys=[source.link.index, *keys])]
    assert isinstance(tables, Footer)
    segment = source.link.segment
    if store.uploads:
        grace_ms = min(config.garbage_grace_ms, UPLOADED_GRACE_MS)
        return [Garbage(due_ms=now_ms + grace_ms, segment=segment)]
    keep = [block for block, place in source.places.items() if place.key in referenced]
    if store.segment_is_one_object:
        return [] if keep else [Garbage(due_ms=due_ms, segment=segment)]
    rows = [Garbage(due_ms=due_ms, segment=segment, keep=keep)]
    if tables.kind == BlockKind.FENCE:
        # An earlier writer, paused before it was fenced, must go on finding this slot taken. What
        # it had sent for the slots behind may arrive as late, and goes with the fence.
        rows = [
            Garbage(due_ms=due_ms, segment=segment, keep=[*keep, tables.block_count]),
            Garbage(
                due_ms=now_ms + config.fence_grace_ms, segment=segment, keep=keep, is_fence=True
            ),
        ]
    return rows


def when_due_ms(row: Garbage, config: LogConfig, *, in_want: bool) -> int:
    """When a row may be deleted; for want of room soon, though some late reader may miss it."""
    if not in_want or row.is_fence:
        return row.due_ms
    spared_ms = config.garbage_grace_ms - HURRIED_GRACE_MS
    return row.due_ms - max(spared_ms, 0)


async def collect(
    rows: Sequence[Garbage], store: SegmentStore, log_id: int, persist: Persistence
) -> None:
    """Delete; may be repeated. Half of the time nothing is asked of the store."""
    loop = asyncio.get_running_loop()
    for row in rows:
        begun_s = loop.time()
        if row.segment is not None:
            segment, keep = row.segment, row.keep
            await _repeat(persist, store, log_id, segment, keep)
        for at in range(0, len(row.keys), _KEYS_PER_DELETE_COUNT):
            keys = row.keys[at : at + _KEYS_PER_DELETE_COUNT]
            await _delete(persist, store, keys)
        await asyncio.sleep(loop.time() - begun_s)


async def _repeat(
    persist: Persistence, store: SegmentStore, log_id: int, segment: int, keep: Sequence[int]
) -> None:
    await persist(lambda: store.delete_segment(log_id, segment, keep))


async def _delete(persist: Persistence, store: SegmentStore, keys: Sequence[str]) -> None:
    await persist(lambda: store.objects.delete(*keys))
