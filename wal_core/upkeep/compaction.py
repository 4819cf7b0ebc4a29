"""One compaction: a run of finished segments becomes one sealed segment.

Blocks that already lie together stay where they are and are referenced; of all others the entries
that are alive are copied, so that each stream's lie together. Nothing is visible before the
manifest that names the result is committed, and nothing is deleted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TypeAlias

from wal_core.config import MIB, LogConfig
from wal_core.format.chain import Completed, Link, Sealed
from wal_core.format.footer import Footer
from wal_core.format.places import Place
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.stream_tables import StreamRow
from wal_core.state.survey import LiveRun, Starts, live_runs
from wal_core.state.tables import Tables
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.off_loop import UPKEEP, off_loop_if_large
from wal_core.stores.persistence import Persistence
from wal_core.stores.stretches import read_in_order
from wal_core.upkeep.sealed_writer import SealedWriter

PlaceOf: TypeAlias = Callable[[Tables, int], Place]

_READS_AHEAD_COUNT = 4
_READS_AHEAD_BYTES = 16 * MIB


class Source:
    """A finished segment that takes part: where its blocks are and what in them is alive."""

    def __init__(self, link: Link, tables: Tables, starts: Starts, place_of: PlaceOf) -> None:
        self.link = link
        self.tables = tables
        self.starts = starts
        self.live = live_runs(tables, starts)
        self.places = {block: place_of(tables, block) for block in self.live}
        self.sizes = self._sizes(place_of)

    def _sizes(self, place_of: PlaceOf) -> dict[str, int]:
        """Bytes of every object that holds blocks of this segment."""
        tables = self.tables
        if isinstance(tables, SealedIndex):
            return dict(tables.objects)
        sizes: Counter[str] = Counter()
        for block in range(tables.block_count):
            at = place_of(tables, block)
            sizes[at.key] += at.length or 0
        return dict(sizes)

    @property
    def stored_bytes(self) -> int:
        return sum(self.sizes.values())

    def live_bytes(self) -> Counter[str]:
        """Of every object: its share that is alive, in stored bytes."""
        found: Counter[str] = Counter()
        for block, runs in self.live.items():
            place = self.places[block]
            payload_bytes = sum(run.payload_bytes for run in runs)
            share = payload_bytes / max(self.data_bytes(block), 1)
            found[place.key] += round((place.length or 0) * share)
        return found

    def data_bytes(self, block: int) -> int:
        """Payload bytes of a block, dead ones included."""
        if isinstance(self.tables, SealedIndex):
            return self.tables.block(block).data_bytes
        return self.tables.extent(block).data_bytes

    def worth_keeping(
        self, config: LogConfig, *, one_object: bool, uploads: bool
    ) -> frozenset[str]:
        """Keys of objects to reference: mostly alive, and what is in them lies together."""
        if uploads and isinstance(self.link, Completed):
            return frozenset()
        live = self.live_bytes()
        kept = {key for key, size in self.sizes.items() if live[key] and live[key] * 2 >= size}
        if isinstance(self.tables, Footer) and one_object:
            # Side by side they lie already, but each still costs whoever reads it.
            if self.tables.mean_block_bytes < config.small_block_bytes:
                return frozenset()
        elif isinstance(self.link, Completed):
            for block, runs in self.live.items():
                place = self.places[block]
                if len(runs) > 1 or (place.length or 0) < config.reference_bytes_min:
                    kept.discard(place.key)
        return frozenset(kept)


class Compaction:
    """Run once. Afterwards `writer.created` are the objects written, also if it failed."""

    def __init__(
        self,
        objects: ObjectStore,
        config: LogConfig,
        persist: Persistence,
        writer: SealedWriter,
        *,
        one_object: bool,
        uploads: bool,
    ) -> None:
        self._objects = objects
        self._config = config
        self._persist = persist
        self.writer = writer
        self._one_object = one_object
        self._uploads = uploads

    async def run(
        self, links: Sequence[Link], load: Callable[[Link], Awaitable[Source]], created_ms: int
    ) -> tuple[Sealed, list[Source]]:
        """The sealed segment and what it was made of. Raises Corrupt when a source is damaged."""
        sources: list[Source] = []
        for link in links:
            sources.append(await load(link))
            await self._take(sources[-1])
        # The streams as they were at the end of the last one, and where they start by now.
        starts = sources[-1].starts
        streams: list[StreamRow] = [
            row._replace(start_offset=max(row.start_offset, starts[row.stream_id]))
            for row in sources[-1].tables.streams()
            if row.stream_id in starts
        ]
        last = sources[-1].tables
        # What a start needs where the log ends here.
        ends = self._uploads or isinstance(last, SealedIndex)
        changes = last.changes if ends else None
        return await self.writer.finish(streams, created_ms, changes), sources

    async def _take(self, source: Source) -> None:
        weigh = partial(
            source.worth_keeping,
            self._config,
            one_object=self._one_object,
            uploads=self._uploads,
        )
        kept = await off_loop_if_large(UPKEEP, source.tables.block_count, weigh)
        copied = (
            place for place in source.places.values() if place.length and place.key not in kept
        )
        reads = read_in_order(
            self._objects,
            copied,
            self._persist,
            lane=UPKEEP,
            count_max=_READS_AHEAD_COUNT,
            bytes_max=_READS_AHEAD_BYTES,
        )
        async with aclosing(reads) as blocks:
            for number, live in source.live.items():
                place = source.places[number]
                if not place.length:
                    await self._lose(source, live)
                    continue
                if place.key in kept:
                    data_bytes = source.data_bytes(number)
                    await self.writer.reference(place, data_bytes, source.sizes[place.key], live)
                    continue
                block = await anext(blocks)
                for run in live:
                    stream_id = run.run.stream_id
                    start = source.starts[stream_id]
                    await self.writer.copy(block.of_stream(stream_id), run, start)

    async def _lose(self, source: Source, live: Sequence[LiveRun]) -> None:
        """What is known to be lost stays known."""
        for run, _, _ in live:
            first = max(run.first_offset, source.starts[run.stream_id])
            await self.writer.lose(run.stream_id, first, run.bytes_before)
