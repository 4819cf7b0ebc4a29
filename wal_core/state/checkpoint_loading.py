"""Reading the checkpoint at a start: its pieces, wherever compaction put them, then the changes.

Which segments hold pieces is found by bisection over the chain, both halves at once: the round
trips are the logarithm of its length, whatever lies between. Then the blocks are read in order,
several at once, and nothing of them is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

from wal_core.errors import Corrupt
from wal_core.format.chain import Link
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.footer import Footer
from wal_core.format.places import Place
from wal_core.format.stream_tables import StreamRow
from wal_core.state.checkpoint import Checkpoint
from wal_core.state.tables import Tables, place_of
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.stores.stretches import read_in_order


class CheckpointLoader:
    """Of one log, whose finished part is a chain of links; the last one ends with the footer that
    is started from.
    """

    def __init__(
        self,
        store: SegmentStore,
        log_id: int,
        persist: Persistence,
        load: Callable[[Link], Awaitable[Tables]],
    ) -> None:
        self._store = store
        self._log_id = log_id
        self._persist = persist
        self._load = load

    async def load(self, links: Sequence[Link], footer: Footer, checkpoint: Checkpoint) -> None:
        """Give the checkpoint all that is stored of it. Raises Corrupt."""
        row = footer.stream(CHECKPOINT_STREAM_ID)
        if row is not None and row.start_offset < row.end_offset:
            places = await self._places(links, row)
            await self._take(places, row, checkpoint)
        checkpoint.take_changes(footer.changes, 0 if row is None else row.end_offset)
        checkpoint.taken()

    async def _take(self, places: Sequence[Place], row: StreamRow, checkpoint: Checkpoint) -> None:
        due = row.start_offset
        async with aclosing(read_in_order(self._store.objects, places, self._persist)) as blocks:
            async for block in blocks:
                for entry in block.of_stream(CHECKPOINT_STREAM_ID):
                    if due == entry.base_offset < row.end_offset:
                        checkpoint.take_piece(entry.base_offset, entry.payload)
                        due += 1
                        await asyncio.sleep(0)
        if due < row.end_offset:
            raise Corrupt(f"piece {due} of the checkpoint is nowhere")

    async def _places(self, links: Sequence[Link], row: StreamRow) -> list[Place]:
        """Of the blocks that hold what the row says, in order."""
        return [
            place_of(self._store, self._log_id, tables, number)
            for tables in await self._holding(links, -1, row.end_offset, row.start_offset)
            for number in _blocks(tables, row.start_offset, row.end_offset)
        ]

    async def _holding(
        self, links: Sequence[Link], before: int, end: int, start: int
    ) -> list[Tables]:
        """Tables of the links with pieces from `start` on. `before`: where the stream ends before
        the first of them, -1: unknown; `end`: where it ends behind the last."""
        if not links or before == end or end <= start:
            return []
        middle = len(links) // 2
        tables = await self._load(links[middle])
        row = tables.stream(CHECKPOINT_STREAM_ID)
        reached = 0 if row is None else row.end_offset
        left, right = await asyncio.gather(
            self._holding(links[:middle], before, reached, start),
            self._holding(links[middle + 1 :], reached, end, start),
        )
        here = [tables] if len(tables.runs(CHECKPOINT_STREAM_ID)) and reached > start else []
        return [*left, *here, *right]


def _blocks(tables: Tables, start: int, end: int) -> list[int]:
    """Numbers of the blocks with pieces from `start` to `end`."""
    runs = tables.runs(CHECKPOINT_STREAM_ID)
    firsts = [run.first_offset for run in runs]
    ends = [*firsts[1:], end]
    return [
        run.block
        for run, run_end in zip(runs, ends, strict=True)
        if run.first_offset < end and run_end > start
    ]
