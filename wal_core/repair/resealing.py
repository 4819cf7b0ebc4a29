"""Sealing what is damaged: everything that can be read goes over, the rest is a hole by name.

Unlike a compaction, which stops at the first thing that is wrong, this takes nobody's word: every
block is read, and of what a table says only where blocks are counts. Nothing is visible before the
manifest that names the result is committed, and nothing is deleted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing

from wal_core.config import LogConfig
from wal_core.format.block import Block
from wal_core.format.chain import Sealed
from wal_core.format.stream_tables import NO_TIMESTAMP_MS, Run, StreamRow
from wal_core.fsck.contents import disagreement
from wal_core.state.rebuild import Known
from wal_core.state.survey import LiveRun
from wal_core.stores.persistence import Persistence
from wal_core.stores.read_each import read_each
from wal_core.stores.segments.base import SegmentStore
from wal_core.upkeep.compaction import Source
from wal_core.upkeep.sealed_writer import SealedWriter

_SEGMENT_FILE = ".seg"


class Resealing:
    """Of a run of links: `take` each, in order, then `finish`. `before`: the rows of the link that
    comes before them."""

    def __init__(
        self,
        store: SegmentStore,
        config: LogConfig,
        persist: Persistence,
        writer: SealedWriter,
        before: Iterable[StreamRow],
    ) -> None:
        self._objects = store.objects
        self._one_object = store.segment_is_one_object
        self._config = config
        self._persist = persist
        self._writer = writer
        self._rows = {row.stream_id: row for row in before}
        self._ends = {row.stream_id: row.end_offset for row in self._rows.values()}
        # Payload bytes of streams before what comes next of them.
        self._totals = {row.stream_id: row.payload_bytes for row in self._rows.values()}
        self._begun: set[int] = set()  # streams
        self._starts: Mapping[int, int] = {}

    async def take(self, source: Source, after: Mapping[int, Known]) -> bool:
        """`after`: where streams go on behind it, as far as that is known. Returns whether all was
        as its tables say."""
        self._starts = source.starts
        bad_keys = await self._bad_keys(source) | self._overlapping_keys(source)
        kept = source.worth_keeping(self._config, one_object=self._one_object, uploads=False)
        kept -= bad_keys
        copied = [
            place for place in source.places.values() if place.length and place.key not in kept
        ]
        async with aclosing(read_each(self._objects, copied, self._persist)) as blocks:
            for number, live in source.live.items():
                place = source.places[number]
                if not place.length:
                    continue  # lost before: what comes next shows where it ends
                if place.key in kept:
                    await self._refer(source, number, live)
                    continue
                _, block = await anext(blocks)
                if isinstance(block, Block):
                    await self._copy(block, live)
        await self._end(source, after)
        return not bad_keys

    async def finish(self, created_ms: int) -> Sealed:
        """Write the index."""
        rows = [
            row._replace(start_offset=max(row.start_offset, self._starts[row.stream_id]))
            for row in sorted(self._rows.values())
            if row.stream_id in self._starts
        ]
        return await self._writer.finish(rows, created_ms)

    # -- what is whole ---------------------------------------------------------------------

    async def _bad_keys(self, source: Source) -> set[str]:
        """Objects with anything in them that is not as the tables say."""
        bad = set()
        for key, wanted_bytes in source.sizes.items():
            found_bytes = await self._persist(lambda key=key: self._objects.size(key))  # type: ignore[misc]
            longer = key.endswith(_SEGMENT_FILE)
            if found_bytes is None or not (
                found_bytes == wanted_bytes or (longer and found_bytes > wanted_bytes)
            ):
                bad.add(key)
        places = [place for place in source.places.values() if place.length]
        lives = [live for block, live in source.live.items() if source.places[block].length]
        async with aclosing(read_each(self._objects, places, self._persist)) as blocks:
            for live in lives:
                place, block = await anext(blocks)
                if not isinstance(block, Block) or disagreement(block, live, None):
                    bad.add(place.key)
        return bad

    def _overlapping_keys(self, source: Source) -> set[str]:
        """Objects of which something lies elsewhere as well, if tables are right."""
        ends, found = dict(self._ends), set()
        for number, live in source.live.items():
            for run, end_offset, _ in live:
                if run.first_offset < ends.get(run.stream_id, 0):
                    found.add(source.places[number].key)
                ends[run.stream_id] = max(end_offset, ends.get(run.stream_id, 0))
        return found

    # -- taking over -----------------------------------------------------------------------

    async def _refer(self, source: Source, number: int, live: Sequence[LiveRun]) -> None:
        runs = []
        for one in live:
            stream_id = one.run.stream_id
            await self._reach(stream_id, one.run.first_offset, one.run.bytes_before)
            before = self._bytes_before(one.run)
            runs.append(one._replace(run=one.run._replace(bytes_before=before)))
            self._totals[stream_id] = before + one.payload_bytes
            self._ends[stream_id] = one.end_offset
        place = source.places[number]
        size_bytes = source.sizes[place.key]
        await self._writer.reference(place, source.data_bytes(number), size_bytes, runs)

    async def _copy(self, block: Block, live: Sequence[LiveRun]) -> None:
        for one in live:
            stream_id = one.run.stream_id
            reached = self._ends.get(stream_id, 0)
            entries = [e for e in block.of_stream(stream_id) if e.base_offset >= reached]
            if not entries:
                continue
            await self._reach(stream_id, entries[0].base_offset, one.run.bytes_before)
            before = self._bytes_before(one.run)
            run = one.run._replace(bytes_before=before)
            await self._writer.copy(entries, one._replace(run=run), self._starts[stream_id])
            self._totals[stream_id] = before + sum(len(entry.payload) for entry in entries)
            self._ends[stream_id] = entries[-1].end_offset

    async def _reach(self, stream_id: int, offset: int, bytes_before: int) -> None:
        """The stream goes on at `offset`: what is missing before it is lost."""
        first = max(self._ends.get(stream_id, 0), self._starts[stream_id])
        if first >= offset:
            return
        before = self._totals.get(stream_id, 0)
        await self._writer.lose(stream_id, first, before)
        self._begun.add(stream_id)
        self._totals[stream_id] = max(before, bytes_before)
        self._ends[stream_id] = offset

    def _bytes_before(self, run: Run) -> int:
        """What was deleted between the first one and what is before it counts as well."""
        before = self._totals.get(run.stream_id, 0)
        if run.stream_id not in self._begun:
            self._begun.add(run.stream_id)
            before = self._totals[run.stream_id] = max(before, run.bytes_before)
        return before

    async def _end(self, source: Source, after: Mapping[int, Known]) -> None:
        """The streams as they were behind it: as its own table says, or what is behind it."""
        for row in source.tables.streams():
            self._note_end(row)
        for stream_id, known in after.items():
            row = self._rows.get(stream_id) or StreamRow(
                stream_id, 0, 0, NO_TIMESTAMP_MS, 0, NO_TIMESTAMP_MS
            )
            if known.offset > row.end_offset:
                self._rows[stream_id] = row._replace(
                    end_offset=known.offset, payload_bytes=known.payload_bytes
                )
        for stream_id, row in self._rows.items():
            if stream_id in self._starts:
                await self._reach(stream_id, row.end_offset, row.payload_bytes)

    def _note_end(self, row: StreamRow) -> None:
        """Never behind what was found."""
        before = self._rows.get(row.stream_id, row)
        self._rows[row.stream_id] = row._replace(
            end_offset=max(row.end_offset, self._ends.get(row.stream_id, 0)),
            max_timestamp_ms=max(row.max_timestamp_ms, before.max_timestamp_ms),
            payload_bytes=max(row.payload_bytes, self._totals.get(row.stream_id, 0)),
        )
