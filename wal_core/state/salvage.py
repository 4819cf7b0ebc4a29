"""What entries alone say of a user's state, where pieces of the checkpoint are lost.

The checkpoint is the sum of the entries, so what a lost piece said can be had from them, as far as
they are still there: the entries of those streams that the user needs for it are read once more,
from the first that is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing

from wal_core.format.block import Block
from wal_core.format.chain import Link
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.places import Place
from wal_core.format.stream_tables import StreamRow
from wal_core.state.tables import Tables, place_of
from wal_core.stores.persistence import Persistence
from wal_core.stores.read_each import read_each
from wal_core.stores.segments.base import SegmentStore
from wal_core.types import Entry, Salvage

_TURN_ENTRIES_COUNT = 200
"""Applied in one step of the loop: a millisecond or two."""


class EntriesAgain:
    """Of one log, whose finished part is a chain of links. `rows`: its streams at their end."""

    def __init__(
        self,
        store: SegmentStore,
        log_id: int,
        persist: Persistence,
        load: Callable[[Link], Awaitable[Tables]],
        *,
        links: Sequence[Link],
        rows: Iterable[StreamRow],
    ) -> None:
        self._store = store
        self._log_id = log_id
        self._persist = persist
        self._load = load
        self._links = links
        own = [row for row in rows if row.stream_id != CHECKPOINT_STREAM_ID]
        self._reached = {row.stream_id: row.start_offset for row in own}
        self._ends = {row.stream_id: row.end_offset for row in own}

    async def give(self, salvage: Salvage) -> None:
        """All entries that it wants and that can be read. Raises Corrupt where it understands one
        as little as a start would."""
        given: set[int] = set()
        # What one stream says may make others wanted.
        while wanted := [
            stream_id
            for stream_id, end in self._ends.items()
            if stream_id not in given and salvage.wants(stream_id, end)
        ]:
            count = 0
            async with aclosing(self._entries(wanted)) as entries:
                async for entry in entries:
                    salvage.apply(entry)
                    count += 1
                    if not count % _TURN_ENTRIES_COUNT:
                        await asyncio.sleep(0)
            given.update(wanted)

    async def _entries(self, wanted: Sequence[int]) -> AsyncGenerator[Entry, None]:
        """Of each stream in order; of several in any."""
        for link in self._links:
            places = self._places(await self._load(link), wanted)
            async with aclosing(read_each(self._store.objects, places, self._persist)) as blocks:
                async for _, block in blocks:
                    if not isinstance(block, Block):
                        continue
                    for stream_id in wanted:
                        for entry in block.of_stream(stream_id):
                            if entry.end_offset > self._reached[stream_id]:
                                self._reached[stream_id] = entry.end_offset
                                yield entry

    def _places(self, tables: Tables, wanted: Iterable[int]) -> list[Place]:
        numbers = {run.block for stream_id in wanted for run in tables.runs(stream_id)}
        places = (place_of(self._store, self._log_id, tables, number) for number in sorted(numbers))
        return [place for place in places if place.length]
