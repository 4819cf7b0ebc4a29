"""Segments as objects: slot n is created, if absent, under a dense ordered key.

The conditional create is the whole fencing: two writers cannot fill one slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing

from wal_core.config import Mode
from wal_core.errors import Corrupt
from wal_core.format.block import FOOTER_KINDS, HEADER_BYTES, Block, BlockHeader, parse_header
from wal_core.format.places import Lost, Place, Slot
from wal_core.format.segment_end import end_of, is_footer, slot_number
from wal_core.stores.objects.base import NotFound, ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import create_own, read_block, verified
from wal_core.stores.read_each import read_each
from wal_core.stores.read_window import ReadWindow
from wal_core.stores.room import Room
from wal_core.stores.segments.base import Told
from wal_core.tally import StoreTally
from wal_core.types import Buffer

_FOOTER_GUESS_BYTES = 256 * 1024
"""Most footers are smaller and so cost one read; a block that is none costs no more than this."""


class ObjectSegmentStore:
    """A SegmentStore over any ObjectStore."""

    locks = False
    claims = False
    segment_is_one_object = False
    at_hand = None
    uploads = False

    def __init__(
        self,
        objects: ObjectStore,
        *,
        mode: Mode = "object",
        room: Room | None = None,
        tally: StoreTally | None = None,
    ) -> None:
        """Of mode quorum: to look at what was uploaded, which is as much as the bucket knows."""
        self.mode: Mode = mode
        self.objects = objects
        self.tally = tally or StoreTally()
        self.room = room or Room()
        self.location = objects.location
        self._recovering = ReadWindow()

    async def lock(self, log_id: int) -> int:
        return 0

    async def note_term(self, log_id: int, term: int) -> None:
        """Terms are noted by the fence every open leaves behind."""

    async def check_claim(self, log_id: int, term: int) -> None:
        """There is none: who fills a slot first owns it."""

    async def unlock(self, log_id: int) -> None:
        """There is no lock: the next opener fences."""

    def when_spare(self, log_id: int, call: Callable[[], None]) -> None:
        """There is one place."""

    def away_count(self, log_id: int) -> int:
        return 0

    def begin(self, slot: Slot, pieces: Sequence[Buffer], told: Told) -> bool:
        return False  # what it waits for takes much longer than a task

    async def let_writes_pass(self) -> None:
        await asyncio.sleep(0)  # a write takes much longer than what a read does in one go

    async def segments(self, log_id: int, after: int = -1) -> list[int]:
        # Behind every key of that segment: "0" is the character after "/".
        start_after = f"logs/{log_id}/{after:020d}0" if after >= 0 else ""
        rows = await self.objects.list(f"logs/{log_id}/", start_after)
        names = {row.key.split("/")[2] for row in rows}
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def place(self, slot: Slot, length: int | None) -> Place:
        return Place(_key(slot.log_id, slot.segment, slot.block), 0, length, *slot[:3])

    async def append(self, slot: Slot, pieces: Sequence[Buffer], *, final: bool) -> None:
        await create_own(self.objects, self.place(slot, None), pieces)

    async def read_footer(self, log_id: int, segment: int) -> Block | None:
        """The last object nearly always is it. Behind a footer there can only be what an old writer
        had in flight when it was fenced, and before what the last block calls durable there is
        none: so a segment without one costs a few heads, read at once, however long it is."""
        rows = await self.objects.list(_folder(log_id, segment))
        if not rows:
            return None
        try:
            start = await self.objects.get_range(rows[-1].key, 0, _FOOTER_GUESS_BYTES)
            last = parse_header(start)
            place = self.place(Slot(log_id, segment, last.block, 0), last.total_bytes)
            if last.kind in FOOTER_KINDS:
                if last.total_bytes <= len(start):
                    return verified(place, start)
                return await read_block(self.objects, place)
            floor = _key(log_id, segment, last.durable_count)
            doubtful = [row.key for row in rows[:-1] if row.key >= floor]
            heads = await asyncio.gather(
                *(self.objects.get_range(key, 0, HEADER_BYTES) for key in doubtful)
            )
        except NotFound:
            return None  # deleted this moment
        for head in map(parse_header, heads):
            if head.kind in FOOTER_KINDS:
                place = self.place(Slot(log_id, segment, head.block, 0), head.total_bytes)
                return await read_block(self.objects, place)
        return None

    async def recover_segment(
        self,
        log_id: int,
        segment: int,
        persist: Persistence,
        *,
        first: int = 0,
        cut: bool = True,
        finished: bool = False,
    ) -> AsyncGenerator[Block | Lost, None]:
        before = _key(log_id, segment, first - 1) if first else ""
        rows = await persist(lambda: self.objects.list(_folder(log_id, segment), before))
        sizes = {slot_number(row.key): row.size_bytes for row in rows}
        sizes.pop(-1, None)

        async def head(number: int) -> BlockHeader | None:
            return await persist(lambda: self._head(_key(log_id, segment, number)))

        end = await end_of(sizes, first, head)
        # Also those that are not listed: they may have been created meanwhile.
        places = [
            self.place(Slot(log_id, segment, block, 0), sizes.get(block))
            for block in range(first, end)
        ]
        async with aclosing(read_each(self.objects, places, persist, self._recovering)) as found:
            async for place, block in found:
                if isinstance(block, Block):
                    yield block
                    if block.is_footer:
                        return
                elif await is_footer(place.block, end - 1, head, finished=finished):
                    yield Lost(place.block, 0, 0, block.message)
                    return
                else:
                    yield Lost(place.block, 1, 0, block.message)
        if finished:
            yield Lost(end, 1, 0, "no block, and no footer")

    def follow(self, log_id: int, segment: int) -> _Tail:
        return _Tail(self, log_id, segment)

    async def _head(self, key: str) -> BlockHeader | None:
        """Not verified; None when there is none to be seen."""
        try:
            return parse_header(await self.objects.get_range(key, 0, HEADER_BYTES))
        except (NotFound, Corrupt):
            return None

    async def noted_end(self, log_id: int) -> None:
        """Each block is an object of its own: those that are left tell of those that are not."""

    async def delete_segment(self, log_id: int, segment: int, keep: Collection[int] = ()) -> None:
        kept = {_key(log_id, segment, block) for block in keep}
        rows = await self.objects.list(_folder(log_id, segment))
        await self.objects.delete(*(row.key for row in rows if row.key not in kept))

    async def close(self) -> None:
        await self.objects.close()


class _Tail:
    """A block counts once it and all before it are there: from then on nobody can undo it, whether
    its writer has heard of it or not. What lies above a free slot may never count."""

    def __init__(self, store: ObjectSegmentStore, log_id: int, segment: int) -> None:
        self._store = store
        self._log_id = log_id
        self._segment = segment
        self._next = 0

    async def blocks(self, persist: Persistence) -> AsyncIterator[Block | Lost]:
        key = _key(self._log_id, self._segment, self._next)
        if await persist(lambda: self._store.objects.size(key)) is None:
            return
        found = self._store.recover_segment(
            self._log_id, self._segment, persist, first=self._next, cut=False
        )
        async with aclosing(found) as blocks:
            async for block in blocks:
                self._next += block.blocks_count if isinstance(block, Lost) else 1
                yield block


def _folder(log_id: int, segment: int) -> str:
    return f"logs/{log_id}/{segment:020d}/"


def _key(log_id: int, segment: int, block: int) -> str:
    return f"logs/{log_id}/{segment:020d}/{block:010d}"
