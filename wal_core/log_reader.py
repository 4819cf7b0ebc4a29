"""The reading half of a log: from the tail in memory, else through footers and the block cache.

Only confirmed entries are ever seen. Finding a block costs a binary search over the segments
(each step a footer, cached) and one inside the footer's tables.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from wal_core.block_format import Block
from wal_core.cache import LoadingCache
from wal_core.config import MIB, LogConfig
from wal_core.errors import Corrupt, Invalid, Truncated
from wal_core.footer_format import Footer
from wal_core.log_writer import LogWriter
from wal_core.segment_index import SegmentView
from wal_core.segment_store.base import SegmentStore, Slot
from wal_core.streams import Stream, take
from wal_core.types import Entry

_READ_AHEAD_COUNT = 8
_READ_AHEAD_BYTES = 4 * MIB
"""Bounds of what one sequential reader has loaded ahead; larger hides more latency of the store
and throws away more when the reader does not go on."""


class _BlockKey(NamedTuple):
    slot: Slot
    length: int


class LogReader:
    """Shares streams, tail and the active segment with the writer; never changes them."""

    def __init__(
        self,
        store: SegmentStore,
        config: LogConfig,
        *,
        streams: dict[int, Stream],
        segments: list[int],
        writer: LogWriter,
    ) -> None:
        self._store = store
        self._log_id = config.log_id
        self._streams = streams
        self._segments = segments
        self._writer = writer
        self.blocks: LoadingCache[_BlockKey, Block] = LoadingCache(
            config.block_cache_bytes_max,
            self._load_block,
            lambda block: len(block.buffer) + 400 * block.header.entry_count,
            config.store_timeout_ms,
        )
        self.footers: LoadingCache[int, Footer] = LoadingCache(
            config.footer_cache_bytes_max,
            self._load_footer,
            lambda footer: footer.total_bytes,
            config.store_timeout_ms,
        )

    def _live(self, stream_id: int) -> Stream | None:
        stream = self._streams.get(stream_id)
        return None if stream is None or stream.dropped else stream

    def read_tail(self, stream_id: int, offset: int, bytes_max: int) -> list[Entry] | None:
        """See Log.read_tail."""
        stream = self._live(stream_id)
        if stream is None or offset >= stream.confirmed:
            return []
        return stream.tail_from(offset, bytes_max)

    async def read(self, stream_id: int, offset: int, bytes_max: int) -> list[Entry]:
        """See Log.read."""
        stream = self._live(stream_id)
        if offset < (stream.start if stream else 0):
            start = stream.start if stream else 0
            raise Truncated(f"stream {stream_id} starts at {start}, not at {offset}")
        found: list[Entry] = []
        room = bytes_max
        while stream is not None and offset < stream.confirmed:
            more = stream.tail_from(offset, room)
            if more is None:
                more = await self._read_stored(stream_id, offset, room)
            if found and len(more[0].payload) > room:
                break  # "at least one" was only owed to the first
            found += more
            room -= sum(len(entry.payload) for entry in more)
            offset = found[-1].end_offset
            if room <= 0:
                break
        return found

    async def _read_stored(self, stream_id: int, offset: int, bytes_max: int) -> list[Entry]:
        """Entries of the one block that holds `offset`."""
        view = await self._first_segment(
            lambda view: view.end_offset(stream_id) > offset, stream_id
        )
        numbers = view.blocks_from(stream_id, offset)
        number = next(numbers, None)
        if number is None:
            raise self._lost(stream_id, offset, view)
        self._read_ahead(view, numbers)
        entries = (await self._block(view, number)).of_stream(stream_id)
        at = bisect_right(entries, offset, key=lambda entry: entry.base_offset) - 1
        if at < 0 or entries[at].end_offset <= offset:
            raise self._lost(stream_id, offset, view)
        return take(entries, at, bytes_max)

    def _read_ahead(self, view: SegmentView, numbers: Iterator[int]) -> None:
        """Have the next blocks of the stream loaded meanwhile: one in any case, more small ones."""
        ahead_bytes = 0
        for number in islice(numbers, _READ_AHEAD_COUNT):
            self.blocks.prefetch(self._key(view, number))
            ahead_bytes += view.extent(number)[1]
            if ahead_bytes >= _READ_AHEAD_BYTES:
                return

    async def find_timestamp(self, stream_id: int, timestamp_ms: int) -> Entry | None:
        """See Log.find_timestamp."""
        stream = self._live(stream_id)
        if stream is None or not stream.confirmed or stream.max_ts_ms < timestamp_ms:
            return None
        view = await self._first_segment(
            lambda view: view.max_timestamp_ms(stream_id) >= timestamp_ms, stream_id
        )
        number = view.block_of_timestamp(stream_id, timestamp_ms)
        if number is not None:
            for entry in (await self._block(view, number)).of_stream(stream_id):
                if entry.max_timestamp_ms >= timestamp_ms:
                    return entry
        raise self._lost(stream_id, -1, view)

    async def _first_segment(
        self, reached: Callable[[SegmentView], bool], stream_id: int
    ) -> SegmentView:
        """The first segment where the monotone `reached` holds; the caller knows there is one."""
        active = self._writer.active
        low, high = 0, len(self._segments)
        while low < high:
            middle = (low + high) // 2
            if reached(await self.footers.get(self._segments[middle])):
                high = middle
            else:
                low = middle + 1
        if low < len(self._segments):
            return await self.footers.get(self._segments[low])
        if active is None:
            raise Corrupt(f"stream {stream_id} is in no segment", log_id=self._log_id)
        return active

    async def _block(self, view: SegmentView, number: int) -> Block:
        return await self.blocks.get(self._key(view, number))

    def _key(self, view: SegmentView, number: int) -> _BlockKey:
        position, length = view.extent(number)
        return _BlockKey(Slot(self._log_id, view.segment, number, position), length)

    async def close(self) -> None:
        """End loads in progress."""
        await self.blocks.close()
        await self.footers.close()

    async def _load_block(self, key: _BlockKey) -> Block:
        return await self._store.read_block(key.slot, key.length)

    async def _load_footer(self, segment: int) -> Footer:
        block = await self._store.read_footer(self._log_id, segment)
        if block is None:
            raise Corrupt("a finished segment has no footer", log_id=self._log_id, segment=segment)
        return Footer.of_block(block)

    def _lost(self, stream_id: int, offset: int, view: SegmentView) -> Corrupt:
        return Corrupt(
            f"the index does not lead to stream {stream_id} offset {offset}",
            log_id=self._log_id,
            segment=view.segment,
        )


def check_read(offset: int, bytes_max: int) -> None:
    """Refuse what cannot be meant."""
    if offset < 0 or bytes_max < 0:
        raise Invalid(f"offset {offset} and bytes_max {bytes_max} must not be negative")
