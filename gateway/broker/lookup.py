"""Finding records by their time, among those that are left.

The log's index knows batches. What it cannot know is which record of a batch it is, and whether the
records of the batch that the log starts in are late themselves. Batches may have to be
decompressed: in threads of their own, which clients share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

from protocol import find_max_timestamp, find_offset_for_timestamp

if TYPE_CHECKING:
    from gateway.broker.partition import Partition
    from gateway.fairness.threads import Share
    from wal_core import Entry

Found = tuple[int, int]  # (offset, timestamp)
NOT_FOUND: Found = (-1, -1)
SCAN_BYTES = 4 << 20  # of one read while batches are looked at one after the other


async def find_timestamp(partition: Partition, timestamp_ms: int, threads: Share) -> Found:
    """The first record at or after `timestamp_ms`; NOT_FOUND without one.

    Raises WalError, and BatchError for a batch that does not decompress.
    """
    offset = 0
    while True:
        entry = await partition.find_timestamp(timestamp_ms, offset)
        if entry is None:
            return NOT_FOUND
        start = partition.log_start_offset
        found = await threads.run(
            partial(find_offset_for_timestamp, entry.payload, timestamp_ms, from_offset=start)
        )
        if found is not None:
            return found
        # Its late records are those that were deleted, or none of them has a time.
        offset = entry.end_offset


async def find_latest(partition: Partition, threads: Share) -> Found:
    """The record with the greatest timestamp, the first of several; NOT_FOUND when no record that
    is left has one.

    Raises as `find_timestamp` does.
    """
    start = partition.log_start_offset
    best = NOT_FOUND
    entry = await partition.find_latest()
    if entry is not None and entry.base_offset < start:
        # Its greatest timestamp may be that of a deleted record.
        best = await _latest_inside(entry, start, threads)
        entry = await partition.find_latest(entry.end_offset)
    if entry is None or entry.max_timestamp_ms <= best[1]:
        return best
    found = await _latest_inside(entry, start, threads)
    if found[1] == entry.max_timestamp_ms:
        return found
    # A batch without times, which has that of its arrival: only records can tell now.
    async for other in _entries(partition, start):
        if other.max_timestamp_ms > best[1]:
            found = await _latest_inside(other, start, threads)
            best = max(best, found, key=lambda pair: pair[1])
    return best


async def _latest_inside(entry: Entry, start: int, threads: Share) -> Found:
    found = await threads.run(partial(find_max_timestamp, entry.payload, from_offset=start))
    return NOT_FOUND if found is None or found[1] < 0 else found


async def _entries(partition: Partition, offset: int) -> AsyncIterator[Entry]:
    """All from the one that holds `offset`; what is deleted meanwhile is skipped."""
    while True:
        offset = max(offset, partition.log_start_offset)
        entries = await partition.read(offset, SCAN_BYTES)
        if not entries:
            return
        for entry in entries:
            yield entry
        offset = entries[-1].end_offset
