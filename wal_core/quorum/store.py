"""Segments in mode quorum: the tail on three logstores, what is sealed in the bucket behind them.

A log's tail is here while this process has claimed it; that of a log that another process writes is
looked at (seen_tail.py). Blocks are read under the keys they have in mode object (objects.py), so
that whoever reads knows nothing of logstores.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from functools import partial

from wal_core.clock import Rng
from wal_core.config import LogConfig, Mode
from wal_core.errors import Fenced, Invalid, Unavailable
from wal_core.format.block import Block, parse_header
from wal_core.format.places import Lost, Place, Slot
from wal_core.quorum.members import Logstores
from wal_core.quorum.objects import AnyTail, TailObjects, key_of
from wal_core.quorum.owned_tail import OwnedTail
from wal_core.quorum.seen_tail import SeenTail
from wal_core.stores.deadline import expect
from wal_core.stores.manifests import Manifest, Manifests
from wal_core.stores.objects.base import NotFound, ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import verified
from wal_core.stores.room import Room
from wal_core.stores.segments.base import SegmentTail, Told
from wal_core.tally import StoreTally
from wal_core.types import Buffer


class QuorumSegmentStore:
    """A SegmentStore."""

    mode: Mode = "quorum"
    locks = False
    claims = True
    segment_is_one_object = False
    at_hand = None
    uploads = True

    def __init__(
        self,
        objects: ObjectStore,
        logstores: Logstores,
        rng: Rng,
        *,
        tally: StoreTally | None = None,
    ) -> None:
        self._bucket = objects
        self._logstores = logstores
        self._rng = rng
        self._tails: dict[int, OwnedTail] = {}
        self._seen: dict[int, SeenTail] = {}
        self._any: ChainMap[int, AnyTail] = ChainMap(self._tails, self._seen)  # type: ignore[arg-type]
        self.objects = TailObjects(objects, self._any)
        self.location = objects.location
        self.room = Room()
        self.tally = tally or StoreTally()

    # -- the only writer -------------------------------------------------------------------

    async def lock(self, log_id: int) -> int:
        if log_id in self._tails:
            raise Unavailable("the log is already open here", log_id=log_id)
        newest = await self._newest_manifest(log_id)
        tail = OwnedTail(log_id, self._logstores, self._bucket, self._rng)
        try:
            await tail.claim(newest.term)
        except BaseException:
            await tail.release()
            raise
        self._tails[log_id] = tail
        return tail.term - 1

    async def note_term(self, log_id: int, term: int) -> None:
        tail = self._claimed(log_id)
        if term != tail.term:
            raise Fenced(f"term {term} was not claimed, term {tail.term} was", log_id=log_id)
        await tail.own()

    async def check_claim(self, log_id: int, term: int) -> None:
        tail = self._tails.get(log_id)
        if tail is None or tail.term != term:
            raise Fenced(f"the log was let go of after term {term}", log_id=log_id)
        await tail.check()

    async def unlock(self, log_id: int) -> None:
        tail = self._tails.pop(log_id, None)
        if tail is not None:
            await tail.release()

    def when_spare(self, log_id: int, call: Callable[[], None]) -> None:
        self._claimed(log_id).when_spare = call

    def away_count(self, log_id: int) -> int:
        tail = self._tails.get(log_id)
        return 0 if tail is None else tail.away_count()

    # -- writing ---------------------------------------------------------------------------

    def begin(self, slot: Slot, pieces: Sequence[Buffer], told: Told) -> bool:
        tail = self._tails.get(slot.log_id)
        if tail is None:
            return False
        return tail.begin(slot.segment, slot.block, self._joined(tail, slot, pieces), told)

    async def let_writes_pass(self) -> None:
        await asyncio.sleep(0)  # a write waits for two others' devices

    async def append(self, slot: Slot, pieces: Sequence[Buffer], *, final: bool) -> None:
        tail = self._claimed(slot.log_id)
        stored = self._joined(tail, slot, pieces)
        if final:
            await tail.end(slot.segment, slot.block, stored)
        else:
            await tail.append(slot.segment, slot.block, stored)

    def _joined(self, tail: OwnedTail, slot: Slot, pieces: Sequence[Buffer]) -> bytes:
        """Raises Invalid, Fenced."""
        stored = b"".join(pieces)
        expect(len(stored))
        header = parse_header(stored)
        if (header.log_id, header.segment, header.block) != slot[:3]:
            raise Invalid("the block belongs into another slot", **self.place(slot, None).ids())
        if header.term != tail.term:
            raise Fenced(
                f"a block of term {header.term}, claimed is term {tail.term}", log_id=slot.log_id
            )
        return stored

    async def delete_segment(self, log_id: int, segment: int, keep: Collection[int] = ()) -> None:
        """With all before it: what is sealed later is deleted later."""
        if keep:
            raise Invalid("logstores keep no single blocks", log_id=log_id, segment=segment)
        tail = self._claimed(log_id)
        if segment < tail.first:
            return
        if (await self._newest_manifest(log_id)).covered < segment:
            raise Invalid("the bucket does not have it", log_id=log_id, segment=segment)
        await tail.trim(segment + 1)

    # -- reading ---------------------------------------------------------------------------

    async def segments(self, log_id: int, after: int = -1) -> list[int]:
        parts = (await self._looked(log_id)).parts
        return sorted(
            number
            for number, part in parts.items()
            if number > after and (part.readable_count or part.is_chosen)
        )

    def place(self, slot: Slot, length: int | None) -> Place:
        return Place(key_of(slot.log_id, slot.segment, slot.block), 0, length, *slot[:3])

    async def read_footer(self, log_id: int, segment: int) -> Block | None:
        part = (await self._known(log_id)).parts.get(segment)
        if part is None or part.final is None or not part.is_chosen:
            return None
        place = self.place(Slot(log_id, segment, part.final.end, 0), None)
        return verified(place, part.footer)

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
        await self._known(log_id)
        number = first
        while number < self._end_of(log_id, segment):
            read = partial(self.objects.read_blocks, log_id, segment, number)
            try:
                stored = await persist(read)
            except NotFound:
                return  # trimmed under whoever looks
            for buffer in stored:
                if number < self._end_of(log_id, segment):
                    yield verified(self.place(Slot(log_id, segment, number, 0), None), buffer)
                    number += 1
        footer = await self.read_footer(log_id, segment)
        if footer is not None:
            yield footer
        elif finished:
            yield Lost(number, 1, 0, "no block, and no footer")

    def _end_of(self, log_id: int, segment: int) -> int:
        """Of the blocks of a segment that count."""
        part = self._any[log_id].parts.get(segment)
        return 0 if part is None else part.readable_count

    def follow(self, log_id: int, segment: int) -> SegmentTail:
        return _Tail(self, log_id, segment)

    async def _looked(self, log_id: int) -> AnyTail:
        """The tail that is claimed here, or what another process has confirmed by now."""
        if log_id in self._tails:
            return self._tails[log_id]
        seen = self._seen.setdefault(log_id, SeenTail(log_id, self._logstores, self._bucket))
        await seen.look()
        return seen

    async def _known(self, log_id: int) -> AnyTail:
        """As of the last look."""
        return self._any[log_id] if log_id in self._any else await self._looked(log_id)

    async def noted_end(self, log_id: int) -> None:
        """Who promised tells all there is."""

    async def close(self) -> None:
        for log_id in list(self._tails):
            await self.unlock(log_id)
        await self._bucket.close()

    async def _newest_manifest(self, log_id: int) -> Manifest:
        persist = Persistence(LogConfig.preset("quorum"), self._rng)
        return await Manifests(self._bucket, log_id, persist, b"").newest()

    def _claimed(self, log_id: int) -> OwnedTail:
        tail = self._tails.get(log_id)
        if tail is None:
            raise Unavailable("the log is not claimed by this store", log_id=log_id)
        return tail


class _Tail:
    """Of a segment that another process may be writing."""

    def __init__(self, store: QuorumSegmentStore, log_id: int, segment: int) -> None:
        self._store = store
        self._log_id = log_id
        self._segment = segment
        self._next = 0

    async def blocks(self, persist: Persistence) -> AsyncIterator[Block | Lost]:
        await persist(partial(self._store.segments, self._log_id))
        found = self._store.recover_segment(
            self._log_id, self._segment, persist, first=self._next, cut=False
        )
        async with aclosing(found) as blocks:
            async for block in blocks:
                self._next += 1
                yield block
