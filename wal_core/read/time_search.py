"""Finding entries by their time, among those that are left.

Times need not rise: a producer's clock may be ahead, or was set back. What a stream's row calls its
maximum counts what is gone, so it says only before which segment nothing can be late enough, which
bisection finds. From there on the segments' own maxima decide, one segment after the other, and
inside of one those of its runs. So a record far ahead of its neighbours costs a look at the tables
behind it, and once it is gone it counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from wal_core.format.segment_index import SegmentView
from wal_core.format.stream_tables import NO_TIMESTAMP_MS, Run, Runs
from wal_core.read.log_reader import LogReader
from wal_core.read.offsets import run_of_offset
from wal_core.stores.off_loop import READER, off_loop_if_large
from wal_core.types import Entry


class TimeSearch:
    """Over one log; asks its reader."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader

    async def find(self, stream_id: int, timestamp_ms: int, offset: int) -> Entry | None:
        """See Log.find_timestamp."""
        return await self._reader.follow(lambda: self._find(stream_id, timestamp_ms, offset))

    async def _find(self, stream_id: int, timestamp_ms: int, offset: int) -> Entry | None:
        stream = self._reader.live(stream_id)
        if stream is None or stream.max_ts_ms < timestamp_ms:
            return None
        offset = max(offset, stream.start)
        if offset >= stream.confirmed:
            return None
        for segment in await self._reader.segments_from(
            stream_id,
            lambda row: row.end_offset > offset and row.max_timestamp_ms >= timestamp_ms,
        ):
            view = await self._reader.view(segment)
            if view.max_timestamp_ms(stream_id) < timestamp_ms:
                continue
            runs = view.runs(stream_id)
            at = await _first_reaching(runs, timestamp_ms, max(run_of_offset(runs, offset), 0))
            while at < len(runs):
                for entry in await self._entries(stream_id, view, runs[at]):
                    late = entry.max_timestamp_ms >= timestamp_ms
                    if late and entry.end_offset > max(offset, stream.start):
                        return entry
                at = await _first_reaching(runs, timestamp_ms, at + 1)  # it lies below
        return None

    async def find_latest(self, stream_id: int, offset: int) -> Entry | None:
        """See Log.find_latest."""
        return await self._reader.follow(lambda: self._find_latest(stream_id, offset))

    async def _find_latest(self, stream_id: int, offset: int) -> Entry | None:
        stream = self._reader.live(stream_id)
        if stream is None or stream.max_ts_ms < 0:
            return None
        # Unless it is gone, the latest there ever was is the one, and bisection finds it.
        found = await self._find(stream_id, stream.max_ts_ms, offset)
        offset = max(offset, stream.start)
        if found is not None or offset >= stream.confirmed:
            return found
        best_ms = -1
        where: tuple[SegmentView, Run] | None = None
        for segment in await self._reader.segments_from(
            stream_id, lambda row: row.end_offset > offset
        ):
            view = await self._reader.view(segment)
            if view.max_timestamp_ms(stream_id) <= best_ms:
                continue
            runs = view.runs(stream_id)
            at = max(run_of_offset(runs, offset), 0)
            if at < len(runs) and runs[at].first_offset < offset:
                for entry in await self._entries(stream_id, view, runs[at]):
                    if entry.end_offset > offset and entry.max_timestamp_ms > best_ms:
                        best_ms, found = entry.max_timestamp_ms, entry
                at += 1
            greatest_ms = await _greatest(runs, at)
            if greatest_ms > best_ms:
                at = await _first_reaching(runs, greatest_ms, at)
                best_ms, where = greatest_ms, (view, runs[at])
        if where is None:
            return found
        entries = await self._entries(stream_id, *where)
        return next((entry for entry in entries if entry.max_timestamp_ms == best_ms), None)

    async def offset_for_time(self, stream_id: int, timestamp_ms: int) -> int:
        """See Log.offset_for_time."""
        return await self._reader.follow(lambda: self._offset_for_time(stream_id, timestamp_ms))

    async def _offset_for_time(self, stream_id: int, timestamp_ms: int) -> int:
        """Costs what is let go of, and next to nothing when nothing is: the first run decides."""
        stream = self._reader.live(stream_id)
        if stream is None:
            return 0
        first = await self._reader.first_run(stream_id, stream)
        start, end = stream.start, stream.confirmed
        if first is None or start >= end:
            return start
        first_ms = first.max_timestamp_ms if first.first_offset >= start else stream.first_max_ms
        if first_ms is not None and first_ms >= timestamp_ms:
            return start
        for segment in await self._reader.segments_from(
            stream_id, lambda row: row.end_offset > start
        ):
            view = await self._reader.view(segment)
            kept = await self._first_kept(stream_id, view, start, timestamp_ms)
            if kept is not None:
                return max(start, kept.first_offset)
        return end

    async def _first_kept(
        self, stream_id: int, view: SegmentView, start: int, timestamp_ms: int
    ) -> Run | None:
        """The first run of a segment that is not too old, None when all may go."""
        runs = view.runs(stream_id)
        at = max(run_of_offset(runs, start), 0)
        greatest_ms = await _greatest(runs, at) if at else view.max_timestamp_ms(stream_id)
        if greatest_ms < timestamp_ms:
            timeless = NO_TIMESTAMP_MS < greatest_ms < 0
            return runs[at] if timeless else None
        young = await _first_reaching(runs, timestamp_ms, at)
        if young > at or runs[at].first_offset >= start:
            return runs[young]
        # It is the run that the stream starts in, and what makes it young may be gone. Where the
        # next one is young too that would free nothing worth a look at the block.
        following = await _first_reaching(runs, timestamp_ms, at + 1)
        if following != at + 1 or following == len(runs):
            left_ms = await self._left_of_first(stream_id, view, runs[at], start)
            if 0 <= left_ms < timestamp_ms:
                return runs[following] if following < len(runs) else None
        return runs[at]

    async def _left_of_first(self, stream_id: int, view: SegmentView, run: Run, start: int) -> int:
        """The greatest time of what is left of the run that a stream starts in."""
        entries = await self._entries(stream_id, view, run)
        left = (entry.max_timestamp_ms for entry in entries if entry.end_offset > start)
        left_ms = max(left, default=-1)
        stream = self._reader.live(stream_id)
        if stream is not None:
            stream.note_first_max(start, left_ms)
        return left_ms

    async def _entries(self, stream_id: int, view: SegmentView, run: Run) -> Sequence[Entry]:
        return (await self._reader.blocks.block(view, run.block)).of_stream(stream_id)


async def _first_reaching(runs: Runs, timestamp_ms: int, at: int) -> int:
    """Index of the first run from `at` on that has something so late; `len(runs)` without one."""
    count = len(runs)
    work = partial(_position, runs.maxima(at), timestamp_ms)
    found = await off_loop_if_large(READER, count - at, work)
    return count if found is None else at + found


def _position(maxima: Iterable[int], timestamp_ms: int) -> int | None:
    for position, maximum_ms in enumerate(maxima):
        if maximum_ms >= timestamp_ms:
            return position
    return None


async def _greatest(runs: Runs, at: int) -> int:
    """Of the runs from `at` on, NO_TIMESTAMP_MS without one."""
    work = partial(max, runs.maxima(at), default=NO_TIMESTAMP_MS)
    return await off_loop_if_large(READER, len(runs) - at, work)
