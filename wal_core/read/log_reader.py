"""The reading half of a log: from the tail in memory, else through tables and the block cache.

Only confirmed entries are ever seen. Finding a block costs a binary search over the segments
(each step a footer, cached) and one inside the footer's tables.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from wal_core.budgets import Budgets
from wal_core.config import LogConfig
from wal_core.errors import Corrupt, Invalid, Truncated, WalError
from wal_core.format.chain import Link
from wal_core.format.segment_index import SegmentIndex, SegmentView
from wal_core.format.stream_tables import Run, StreamRow
from wal_core.read.at_hand import ReaderAtHand
from wal_core.read.cache import LoadingCache
from wal_core.read.offsets import entry_of_offset, run_of_offset
from wal_core.read.stored_blocks import StoredBlocks, Turn
from wal_core.state.contents import Contents
from wal_core.state.rebuild import Rebuild
from wal_core.state.streams import Stream, take
from wal_core.state.table_loading import TableLoading
from wal_core.state.tables import Tables
from wal_core.stores.segments.base import SegmentStore
from wal_core.tally import ReadTally
from wal_core.types import Entry, Payloads

_TURN_ENTRIES_COUNT = 128
"""A read that has found so many, in less than a tenth of a millisecond, lets others have the loop:
acknowledgements cross it several times while somebody catches up. More: those wait longer; fewer:
catching up takes longer beside writes, for which each piece waits."""

_ENOUGH_ENTRIES_COUNT = 500
"""A read that has found so many, and bytes enough, is done. More would be few replies and much work
for one of them, fewer would cost a client that catches up more requests."""

_TAIL_ENTRIES_MAX_COUNT = 5_000
"""Of one look into memory, which takes about 0.1 us each."""

_LOOKS_MAX_COUNT = 3
"""So often at most something is looked for that a compaction has moved meanwhile."""

T = TypeVar("T")


class LogReader:
    """Of whatever log the contents are; never changes them."""

    def __init__(
        self,
        store: SegmentStore,
        config: LogConfig,
        contents: Contents,
        rebuild: Rebuild,
        budgets: Budgets,
        *,
        confirm: Callable[[], Awaitable[None]],
    ) -> None:
        """`confirm` raises if what is missing is no damage: another has the log, and has deleted
        it."""
        self.confirm = confirm
        self._log_id = config.log_id
        self._contents = contents
        self._chain = contents.chain
        self._let_writes_pass = store.let_writes_pass
        self.live = contents.live
        self.tail_reads = ReadTally()
        self.blocks = StoredBlocks(store, config, budgets)
        self.loading = TableLoading(
            store,
            config.log_id,
            contents,
            rebuild,
            get=self._tables_of,
            confirm=confirm,
        )
        self.tables: LoadingCache[Link, Tables] = LoadingCache(
            budgets.tables,
            self.loading.load,
            lambda tables: tables.total_bytes,
            config.store_timeout_ms,
        )
        self.at_hand = ReaderAtHand(contents, self.tables, self.blocks)

    def read_tail(self, stream_id: int, offset: int, bytes_max: int) -> Payloads | None:
        """See Log.read_tail."""
        stream = self.live(stream_id)
        if stream is None or offset >= stream.confirmed:
            return Payloads([], offset, 0)
        found = stream.payloads_from(offset, bytes_max, _TAIL_ENTRIES_MAX_COUNT)
        if found is None:
            self.tail_reads.missed_count += 1
        else:
            self.tail_reads.found_count += 1
        return found

    async def read(
        self, stream_id: int, offset: int, bytes_max: int, bytes_enough: int | None = None
    ) -> list[Entry]:
        """See Log.read."""
        stream = self.live(stream_id)
        found: list[Entry] = []
        room = bytes_max
        least_room = 0 if bytes_enough is None else max(bytes_max - bytes_enough, 0)
        turn_count = 0
        while stream is not None and offset < stream.confirmed:
            if offset < stream.start:
                if found:
                    break  # it was truncated meanwhile; what was read before that counts
                raise self._truncated(stream_id, offset)
            enough = bool(found) and room <= least_room
            if turn_count >= _TURN_ENTRIES_COUNT:
                turn_count = 0
                await self._let_writes_pass()
                if enough and len(found) >= _ENOUGH_ENTRIES_COUNT:
                    break
            more = stream.tail_from(offset, room, _TURN_ENTRIES_COUNT)
            if more is None:
                if not found:
                    await self._let_writes_pass()
                look = partial(self._read_stored, stream_id, offset, room, wait=not enough)
                try:
                    more = await self.follow(look)
                except WalError:
                    if found:
                        break  # whoever begins there is told; what lies before it is whole
                    raise
            if not more or (found and len(more[0].payload) > room):
                break  # "at least one" was only owed to the first
            found += more
            turn_count += len(more)
            room -= sum(len(entry.payload) for entry in more)
            offset = found[-1].end_offset
            if room <= 0:
                break
        return found

    async def follow(self, look: Callable[[], Awaitable[T]]) -> T:
        """Look again where what was looked at is gone because a compaction has replaced it.

        What it replaces stays for a grace time; a look that takes longer (a store that is slow or
        was away) would take for damage what is whole in its new place.
        """
        left_count = _LOOKS_MAX_COUNT
        while True:
            links = self._chain.links
            left_count -= 1
            try:
                return await look()
            except Corrupt:
                is_same = links and self._chain.links[: len(links)] == links  # or was appended to
                if is_same or not left_count:
                    await self.confirm()
                    raise

    async def _read_stored(
        self, stream_id: int, offset: int, bytes_max: int, *, wait: bool = True
    ) -> list[Entry]:
        """Entries from the one that holds `offset` on, as far as its stretch and
        `_TURN_ENTRIES_COUNT` go; none if they would have to be waited for and `wait` is False."""
        view = await self._first_segment(stream_id, lambda row: row.end_offset > offset)
        runs = view.runs(stream_id)
        at = run_of_offset(runs, offset)
        if at < 0:
            raise self._lost(stream_id, offset)
        run = runs[at]
        turn = await self.blocks.turn(stream_id, offset, view, runs, at, wait=wait)
        if turn is Turn.NOTHING:
            return []
        blocks = await self.blocks.around(view, runs, at, turn, wait=wait)
        if blocks is None:
            return []
        entries = blocks.of_stream(stream_id)
        at = entry_of_offset(entries, offset)
        if at < 0:
            raise self._lost(stream_id, offset)
        taken = take(entries, at, bytes_max, _TURN_ENTRIES_COUNT)
        self.blocks.moved(stream_id, offset, run, taken)
        return taken

    # -- questions to the index ------------------------------------------------------------

    async def offset_for_size(self, stream_id: int, bytes_count: int) -> int:
        """See Log.offset_for_size."""
        return await self.follow(lambda: self._offset_for_size(stream_id, bytes_count))

    async def _offset_for_size(self, stream_id: int, bytes_count: int) -> int:
        stream = self.live(stream_id)
        if stream is None:
            return 0
        first = await self.first_run(stream_id, stream)
        # The stream's byte that the kept part has to begin at or before: at most its last one.
        limit = stream.payload_bytes - max(bytes_count, 1)
        if first is None or first.bytes_before >= limit:
            return stream.start
        view = await self._first_segment(stream_id, lambda row: row.payload_bytes > limit)
        runs = view.runs(stream_id)
        at = bisect_right(runs, limit, key=lambda run: run.bytes_before) - 1
        return max(stream.start, runs[at].first_offset) if at >= 0 else stream.start

    async def size_bytes(self, stream_id: int) -> int:
        """See Log.size_bytes."""
        stream = self.live(stream_id)
        if stream is None:
            return 0
        first = await self.follow(lambda: self.first_run(stream_id, stream))
        return stream.payload_bytes - first.bytes_before if first else 0

    async def first_run(self, stream_id: int, stream: Stream) -> Run | None:
        """The run that holds the stream's start; None when the stream is empty."""
        start = stream.start
        if start >= stream.confirmed:
            return None
        if stream.first_run is not None:
            return stream.first_run
        view = await self._first_segment(stream_id, lambda row: row.end_offset > start)
        runs = view.runs(stream_id)
        at = run_of_offset(runs, start)
        if at < 0:
            raise self._lost(stream_id, start)
        stream.note_first_run(start, runs[at])
        return runs[at]

    async def _first_segment(
        self, stream_id: int, reached: Callable[[StreamRow], bool]
    ) -> SegmentView:
        """The first segment where the monotone `reached` holds; the caller knows there is one."""
        return await self.view((await self.segments_from(stream_id, reached))[0])

    async def segments_from(
        self, stream_id: int, reached: Callable[[StreamRow], bool]
    ) -> list[Link | SegmentIndex]:
        """All from the first one on where the monotone `reached` holds, which the caller knows
        there is; as they were when it was called."""
        active = self._contents.active
        links = self._chain.links
        low, high = 0, len(links)
        while low < high:
            middle = (low + high) // 2
            row = (await self.tables.get(links[middle])).stream(stream_id)
            if row is not None and reached(row):
                high = middle
            else:
                low = middle + 1
        found: list[Link | SegmentIndex] = [*links[low:]]
        if active is not None:
            found.append(active)
        if not found:
            raise Corrupt(f"stream {stream_id} is in no segment", log_id=self._log_id)
        return found

    async def _tables_of(self, link: Link) -> Tables:
        return await self.tables.get(link)

    async def view(self, segment: Link | SegmentIndex) -> SegmentView:
        """The tables of a segment."""
        return segment if isinstance(segment, SegmentIndex) else await self.tables.get(segment)

    async def close(self) -> None:
        """End loads in progress."""
        await self.blocks.close()
        await self.tables.close()
        await self.loading.close()

    def _truncated(self, stream_id: int, offset: int) -> Truncated:
        stream = self.live(stream_id)
        if stream is None:
            return Truncated(f"stream {stream_id} was dropped")
        return Truncated(f"stream {stream_id} starts at {stream.start}, not at {offset}")

    def _lost(self, stream_id: int, offset: int) -> WalError:
        stream = self.live(stream_id)
        if stream is None or offset < stream.start:  # truncated, and removed, while we looked
            return self._truncated(stream_id, offset)
        return Corrupt(
            f"the index does not lead to stream {stream_id} offset {offset}",
            log_id=self._log_id,
        )


def check_read(offset: int, bytes_max: int) -> None:
    """Refuse what cannot be meant."""
    if offset < 0 or bytes_max < 0:
        raise Invalid(f"offset {offset} and bytes_max {bytes_max} must not be negative")
