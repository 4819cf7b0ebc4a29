"""Reading the checkpoint at a start: its pieces, wherever compaction put them, then the changes.

Which segments hold pieces is found by bisection over the chain, both halves at once: the round
trips are the logarithm of its length, whatever lies between. Then the blocks are read in order,
several at once, and nothing of them is kept. For a piece that cannot be read the entries stand in
(salvage.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from wal_core.errors import Corrupt
from wal_core.format.block import Block
from wal_core.format.chain import Link
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.places import Place
from wal_core.format.stream_tables import StreamRow
from wal_core.state.checkpoint import Checkpoint
from wal_core.state.salvage import EntriesAgain
from wal_core.state.tables import Tables, place_of
from wal_core.stores.persistence import Persistence
from wal_core.stores.read_each import read_each
from wal_core.stores.segments.base import SegmentStore
from wal_core.stores.stretches import read_in_order
from wal_core.types import Buffer, LogState


class LostPieces(NamedTuple):
    """Offsets first .. end - 1 of the checkpoint stream cannot be read; none: what came behind the
    last piece."""

    first: int
    end: int
    text: str  # why, for people

    def __str__(self) -> str:
        what = f"pieces {self.first} to {self.end - 1}"
        return f"{what if self.first < self.end else 'what followed the pieces'} of the checkpoint"


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

    async def load(
        self,
        links: Sequence[Link],
        rows: Iterable[StreamRow],
        changes: Buffer | None,
        checkpoint: Checkpoint,
        state: LogState,
    ) -> list[LostPieces]:
        """Give the checkpoint all that is stored of it, and tell what was not to be had. `rows`:
        of the footer that is started from; `changes`: None where it is lost, and they are what
        is known of the streams. Raises Corrupt where something is whole and not understood."""
        rows = list(rows)
        row = next((row for row in rows if row.stream_id == CHECKPOINT_STREAM_ID), None)
        lost: list[LostPieces] = []
        if row is not None and row.start_offset < row.end_offset:
            lost = await self._take(await self._places(links, row), row, checkpoint)
        end = 0 if row is None else row.end_offset
        if changes is None:
            lost.append(LostPieces(end, end, "no footer behind them can be read"))
            checkpoint.lose_pieces(end)
        if lost:
            salvage = state.salvage()
            entries = EntriesAgain(
                self._store, self._log_id, self._persist, self._load, links=links, rows=rows
            )
            await entries.give(salvage)
            checkpoint.take_salvage(salvage.pairs(checkpoint.doubtful()))
        checkpoint.take_changes(changes or b"", end)
        checkpoint.taken()
        return lost

    async def _take(
        self, places: Sequence[Place], row: StreamRow, checkpoint: Checkpoint
    ) -> list[LostPieces]:
        due, text, lost = row.start_offset, "", []

        def lose(end: int) -> None:
            lost.append(LostPieces(due, end, text or "no table names them"))
            checkpoint.lose_pieces(end)

        async with aclosing(self._blocks(places)) as blocks:
            async for block in blocks:
                if isinstance(block, Corrupt):
                    text = text or str(block)
                    continue
                for entry in block.of_stream(CHECKPOINT_STREAM_ID):
                    if due <= entry.base_offset < row.end_offset:
                        if due < entry.base_offset:
                            lose(entry.base_offset)
                        checkpoint.take_piece(entry.base_offset, entry.payload)
                        due, text = entry.base_offset + 1, ""
                        await asyncio.sleep(0)
        if due < row.end_offset:
            lose(row.end_offset)
        return lost

    async def _blocks(self, places: Sequence[Place]) -> AsyncGenerator[Block | Corrupt, None]:
        """Neighbours at once; from the first that is damaged on each alone."""
        count = 0
        try:
            async with aclosing(read_in_order(self._store.objects, places, self._persist)) as whole:
                async for block in whole:
                    count += 1
                    yield block
            return
        except Corrupt:
            pass
        rest = read_each(self._store.objects, places[count:], self._persist)
        async with aclosing(rest) as blocks:
            async for _, found in blocks:
                yield found

    async def _places(self, links: Sequence[Link], row: StreamRow) -> list[Place]:
        """Of the blocks that hold what the row says, in order."""
        places = [
            place_of(self._store, self._log_id, tables, number)
            for tables in await self._holding(links, -1, row.end_offset, row.start_offset)
            for number in _blocks(tables, row.start_offset, row.end_offset)
        ]
        return [place for place in places if place.length]  # else it is known to be lost

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
