"""Which links of a log are worth a compaction, as far as that is for tables to say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from functools import partial

from wal_core.config import LogConfig
from wal_core.errors import Corrupt
from wal_core.format.chain import Completed, Link, Sealed
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.footer import Footer
from wal_core.format.sealed_index import SealedIndex
from wal_core.read.log_reader import LogReader
from wal_core.state.contents import Contents
from wal_core.state.survey import Starts
from wal_core.stores.off_loop import UPKEEP, off_loop_if_large
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.upkeep.compaction import Source
from wal_core.upkeep.compaction_plan import UNSEALED_COUNT

_logger = logging.getLogger(__name__)


class Candidates:
    """Belongs to the Maintenance of a log."""

    def __init__(
        self,
        store: SegmentStore,
        config: LogConfig,
        contents: Contents,
        reader: LogReader,
        persist: Persistence,
    ) -> None:
        self._store = store
        self._config = config
        self._chain = contents.chain
        self._streams = contents.streams
        self._reader = reader
        self._persist = persist
        self._loop = asyncio.get_running_loop()
        self._has_died = False  # something, since the last look for it
        self._checked_s = -float("inf")  # and when nothing was found
        self._pieces_end = 0  # of the checkpoint, when dead ones were looked for
        self._is_small: dict[Link, bool] = {}  # completed ones: whether of many small blocks
        self._avoided: set[Link] = set()
        self._dies_until = -1  # segments up to that one may say so in their footers

    def something_died(self) -> None:
        """A stream was truncated or dropped; or it is worth a look all the same."""
        self._has_died = True
        self._dies_until = self._chain.last + 2

    def was_sealed(self, link: Sealed) -> None:
        """The bucket knows its streams now."""
        if self._store.uploads and link.last <= self._dies_until:
            self._has_died = True

    def look_for_pieces(self) -> None:
        """A segment was finished: are pieces of the checkpoint dead?"""
        pieces = self._streams.get(CHECKPOINT_STREAM_ID)
        if pieces is not None and pieces.start > self._pieces_end:
            # All that there was of the checkpoint at the last look is dead.
            self._pieces_end = pieces.end
            self.something_died()

    def due_s(self) -> float:
        """When what died is looked for, on the loop's clock; infinite while nothing has."""
        if not self._has_died:
            return float("inf")
        if self._store.room.is_low:
            return self._loop.time()
        return self._checked_s + self._config.dead_check_ms / 1000

    def workable(self) -> list[list[Link]]:
        """Links up to the first damaged completed segment; damaged sealed ones are left out, and
        their neighbours are none."""
        pieces: list[list[Link]] = [[]]
        for link in self._chain.links:
            if link not in self._avoided:
                pieces[-1].append(link)
            elif isinstance(link, Completed):
                break
            else:
                pieces.append([])
        return [piece for piece in pieces if piece]

    async def starts(self, run: Sequence[Link] = ()) -> Starts:
        """Of all live streams: now; or where segments are uploaded, as what is sealed knows them
        with that run. So what is gone there was deleted there, however much is still to come."""
        if self._store.uploads:
            sealed = [link for link in self._chain.links if isinstance(link, Sealed)]
            links = sorted([*sealed, *run], key=lambda link: link.last)
            rows = (await self._tables(links[-1])).streams() if links else ()
            return {row.stream_id: row.start_offset for row in rows}
        return {
            stream_id: stream.start
            for stream_id, stream in self._streams.items()
            if not stream.dropped
        }

    async def _tables(self, link: Link) -> Footer | SealedIndex:
        return await self._persist(lambda: self._reader.tables.get(link))

    def avoid(self, link: Link) -> None:
        """It is damaged: left alone until the next start."""
        self._avoided.add(link)

    def _avoid(self, link: Link, error: Corrupt) -> None:
        _logger.warning("maintenance of the log: %s", error)
        self.avoid(link)

    async def load(self, link: Link, starts: Starts) -> Source:
        """What a compaction needs to know of a link. Raises Corrupt, Unavailable."""
        tables = await self._tables(link)
        if link in self._reader.loading.damaged:
            raise Corrupt(f"segments {link.first} to {link.last}: their table is damaged")
        source = partial(Source, link, tables, starts, self._reader.blocks.place)
        return await off_loop_if_large(UPKEEP, tables.run_count, source)

    async def dead(self) -> set[Link]:
        """Links of which most is dead; looked for only after something died, and not too often."""
        if self._loop.time() < self.due_s():
            return set()
        self._has_died = False
        dead = set()
        for link in self._unless_newest():
            try:
                source = await self.load(link, await self.starts())
            except Corrupt as error:
                self._avoid(link, error)
                continue
            if source.stored_bytes and sum(source.live_bytes().values()) * 2 < source.stored_bytes:
                dead.add(link)
            await asyncio.sleep(0)
        if dead:
            self._has_died = True  # there may be more than one step can do
        else:
            self._checked_s = self._loop.time()
        return dead

    async def small(self) -> set[Link]:
        """Completed segments of many small blocks. Where blocks are objects, segments are short."""
        config = self._config
        small: set[Link] = set()
        if not self._store.segment_is_one_object:
            return small
        for link in self._unless_newest():
            if not isinstance(link, Completed):
                continue
            if link not in self._is_small:
                try:
                    tables = await self._tables(link)
                except Corrupt as error:
                    self._avoid(link, error)
                    continue
                self._is_small[link] = (
                    isinstance(tables, Footer)
                    and tables.block_count >= config.seal_blocks_min_count
                    and tables.mean_block_bytes < config.small_block_bytes
                )
            if self._is_small[link]:
                small.add(link)
        for link in self._is_small.keys() - set(self._chain.links):
            del self._is_small[link]
        return small

    def _unless_newest(self) -> Iterator[Link]:
        """What may be compacted for being dead: all but the newest completed segments."""
        for piece in self.workable():
            completed = [link for link in piece if isinstance(link, Completed)]
            newest = completed if self._store.uploads else completed[-UNSEALED_COUNT:]
            yield from (link for link in piece if link not in newest)
