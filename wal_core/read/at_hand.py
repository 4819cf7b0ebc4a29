"""The reads that take no wait: of what the tail, the caches or the system have in memory.

Most of what readers ask for is there, and then a task, a thread and a deadline for each block cost
more than the bytes. Whatever is not, or is not as it should be, is left to `LogReader.read`: None.
"""

from __future__ import annotations

from wal_core.config import MIB
from wal_core.format.chain import Link
from wal_core.format.segment_index import SegmentView
from wal_core.read.cache import LoadingCache
from wal_core.read.offsets import entry_of_offset, run_of_offset
from wal_core.read.stored_blocks import StoredBlocks
from wal_core.state.contents import Contents
from wal_core.state.streams import take
from wal_core.state.tables import Tables
from wal_core.stores.stretches import AT_ONCE_BYTES_MAX, Blocks
from wal_core.types import Payloads

_ENTRIES_MAX_COUNT = 2_000
"""Of one look, into the tail or into blocks, which takes at most half a microsecond each."""

_LOOK_BYTES = MIB // 2
"""What looking at a stretch counts for besides its bytes: eight of them at once, at most."""
_REGIONS_BYTES = MIB // 16
"""What regions of a file count for, which nobody looks at: 64 of them at once."""


class ReaderAtHand:
    """Of one log; changes nothing but what is in the caches."""

    def __init__(
        self, contents: Contents, tables: LoadingCache[Link, Tables], blocks: StoredBlocks
    ) -> None:
        self._contents = contents
        self._tables = tables
        self._blocks = blocks

    def read(self, stream_id: int, offset: int, bytes_max: int) -> Payloads | None:
        """See Log.read_at_hand."""
        stream = self._contents.live(stream_id)
        if stream is None or not stream.start <= offset < stream.confirmed:
            return None
        found = Payloads([], offset, 0)
        looked_bytes = 0
        while looked_bytes < AT_ONCE_BYTES_MAX and found.end_offset < stream.confirmed:
            room = bytes_max - found.bytes_count
            if found.pieces and room <= 0:
                break
            more = stream.payloads_from(found.end_offset, room, _ENTRIES_MAX_COUNT)
            if more is None:
                more = self._blocks.regions(stream_id, found.end_offset, room)
                looked_bytes += 0 if more is None else _REGIONS_BYTES
            if more is None:
                blocks = self._around(stream_id, found.end_offset)
                if blocks is None:
                    break
                looked_bytes += blocks.bytes_count + _LOOK_BYTES
                more = _from_blocks(blocks, stream_id, found.end_offset, room)
            if more is None or (found.pieces and more.bytes_count > room):
                break  # "at least one" was only owed to the first
            bytes_count = found.bytes_count + more.bytes_count
            found = Payloads(found.pieces + more.pieces, more.end_offset, bytes_count)
        return found if found.pieces else None

    def _around(self, stream_id: int, offset: int) -> Blocks | None:
        """The blocks around the one that holds `offset`."""
        segment = self._segment_of(stream_id, offset)
        if segment is None:
            return None
        runs = segment.runs(stream_id)
        at = run_of_offset(runs, offset)
        return None if at < 0 else self._blocks.at_hand(segment, runs, at)

    def _segment_of(self, stream_id: int, offset: int) -> SegmentView | None:
        """The first that ends behind `offset`: as `LogReader.segments_from`, without a wait."""
        links = self._contents.chain.links
        low, high = 0, len(links)
        while low < high:
            middle = (low + high) // 2
            tables = self._tables.peek(links[middle])
            if tables is None:
                return None
            row = tables.stream(stream_id)
            if row is not None and row.end_offset > offset:
                high = middle
            else:
                low = middle + 1
        return self._tables.peek(links[low]) if low < len(links) else self._contents.active


def _from_blocks(blocks: Blocks, stream_id: int, offset: int, bytes_max: int) -> Payloads | None:
    entries = blocks.of_stream(stream_id)
    at = entry_of_offset(entries, offset)
    if at < 0:
        return None
    return Payloads.of(take(entries, at, bytes_max, _ENTRIES_MAX_COUNT), offset)
