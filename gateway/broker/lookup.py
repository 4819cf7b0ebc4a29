"""Finding records by their time, among those that are left.

The log's index knows batches and running maxima. What it cannot know is which record of a batch it
is, and which of several batches is the latest once the one that was is deleted: then batches are
looked at one after the other. Batches may have to be decompressed, which is done off the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING

from protocol import find_max_timestamp, find_offset_for_timestamp

if TYPE_CHECKING:
    from gateway.broker.partition import Partition
    from wal_core import Entry

Found = tuple[int, int]  # (offset, timestamp)
NOT_FOUND: Found = (-1, -1)
SCAN_BYTES = 4 << 20  # of one read while batches are looked at one after the other


async def find_timestamp(partition: Partition, timestamp_ms: int) -> Found:
    """The first record at or after `timestamp_ms`; NOT_FOUND without one.

    Raises WalError, and BatchError for a batch that does not decompress.
    """
    entry = await partition.log.find_timestamp(partition.stream_id, timestamp_ms)
    if entry is None:
        return NOT_FOUND
    start = partition.log_start_offset
    found = await _inside(find_offset_for_timestamp, entry, start, timestamp_ms)
    if found is not None or entry.base_offset >= start:
        return found or NOT_FOUND
    # The log starts inside this batch, and its late records are those that were deleted.
    async for later in _entries(partition, entry.end_offset):
        if later.max_timestamp_ms >= timestamp_ms:
            return await _inside(find_offset_for_timestamp, later, 0, timestamp_ms) or NOT_FOUND
    return NOT_FOUND


async def find_latest(partition: Partition) -> Found:
    """The record with the greatest timestamp, the first of several; NOT_FOUND when no record that
    is left has one.

    Raises as `find_timestamp` does.
    """
    _, batch_offset = partition.max_timestamp_position()
    start = partition.log_start_offset
    if not 0 <= batch_offset < partition.high_watermark:
        return NOT_FOUND
    if batch_offset < start:
        return await _scan_for_latest(partition, start)
    entries = await partition.log.read(partition.stream_id, batch_offset, 0)
    return await _inside(find_max_timestamp, entries[0], start) or NOT_FOUND


async def _scan_for_latest(partition: Partition, start: int) -> Found:
    best: Entry | None = None
    first = NOT_FOUND
    async for entry in _entries(partition, start):
        if entry.base_offset < start:
            # Its greatest timestamp may be that of a deleted record.
            first = await _inside(find_max_timestamp, entry, start) or NOT_FOUND
        elif best is None or entry.max_timestamp_ms > best.max_timestamp_ms:
            best = entry
    if best is None or best.max_timestamp_ms <= first[1]:
        return first
    return await _inside(find_max_timestamp, best, start) or NOT_FOUND


async def _entries(partition: Partition, offset: int) -> AsyncIterator[Entry]:
    """All from the one that holds `offset`; what is deleted meanwhile is skipped."""
    while True:
        offset = max(offset, partition.log_start_offset)
        entries = await partition.log.read(partition.stream_id, offset, SCAN_BYTES)
        if not entries:
            return
        for entry in entries:
            yield entry
        offset = entries[-1].end_offset


async def _inside(
    look: Callable[..., Found | None], entry: Entry, start: int, *wanted: int
) -> Found | None:
    work = partial(look, entry.payload, *wanted, from_offset=start)
    return await asyncio.get_running_loop().run_in_executor(None, work)
