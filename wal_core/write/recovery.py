"""Opening a log: take it over, find its end, rebuild what rides on it.

Cost: the newest manifest, one listing of what is not sealed yet, the newest footer, and the blocks
of at most one unfinished segment. Order of the steps is what makes it safe:

1. Lock, where the store can.
2. Restore streams from the newest footer behind what the manifest has sealed, and the state from
   the pieces it names and the changes it holds (checkpoint.py).
3. Replay the unfinished segment behind it, slot by slot, and close it with a footer of our own
   (kind fence) in the first free slot. If another writer fills that slot first, its block counts:
   replay it and go for the next one, and ask the writer to hold on (handover.py).
4. A store without locks: an open is only over when *we* have filled a slot with a fence, in a
   segment of its own if need be. From then on no earlier writer can add anything, and whoever
   opens later fences us the same way.
5. There, look once more: a fence counts only at the very end of the log. Then commit a manifest of
   our own term, so that no earlier writer's compaction can commit another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from wal_core.errors import Corrupt, Fenced
from wal_core.format.block import Block, BlockIds, BlockKind, encode_payload
from wal_core.format.chain import Completed
from wal_core.format.footer import Footer
from wal_core.format.places import Lost, Slot
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.checkpoint import with_start
from wal_core.state.replay import Replay
from wal_core.state.start import Start, tell_gaps
from wal_core.stores.manifests import NO_MANIFEST, Manifest, Manifests
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import read_block
from wal_core.stores.segments.base import SegmentStore
from wal_core.tenure import Tenure
from wal_core.types import LogState
from wal_core.write.handover import call, hang_up

_TOLD_MAX_COUNT = 20

_logger = logging.getLogger(__name__)


class Recovery:
    """One run of it; afterwards the attributes are what the log starts from."""

    def __init__(
        self,
        store: SegmentStore,
        state: LogState,
        opening: Tenure,
        *,
        may_take: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`may_take` raises where the log is not to be taken after all. It is asked when the slot
        of a fence is known and not filled yet: an opener who came after the answer has filled it,
        or will be behind our fence."""
        self._store = store
        self._may_take = may_take
        self._opening = opening
        self._persist = Persistence(opening.config, opening.rng)
        self._log_id = opening.log_id
        self._owned = False
        self._called = False  # asked the writer to hold on
        self._fence_slot: Slot | None = None  # of the last fence that we created
        self.locked = False
        self.term = 0  # before run(): the highest seen; after: ours
        self.manifests = Manifests(store.objects, self._log_id, self._persist, opening.nonce)
        self.manifest = NO_MANIFEST  # the newest
        self._start = Start(
            store,
            state,
            opening.config,
            self.manifests,
            self._persist,
            overtaken=self._overtaken,
        )
        self.chain = self._start.chain
        self.newest_footers = self._start.newest_footers
        self.streams = self._start.streams
        self.checkpoint = self._start.checkpoint

    @property
    def tenure(self) -> Tenure:
        """After `run`: ours."""
        return self._opening.of_term(self.term)

    async def run(self) -> None:
        """Recover. The caller unlocks the store if this raises."""
        if self._store.claims:
            await self._ask()
        self.term = await self._store.lock(self._log_id)
        self.locked = True
        try:
            await self._run()
        except Corrupt:
            # Whoever was paused in here may miss what others have compacted and deleted since.
            newest = await self.manifests.newest()
            if newest.number <= self._start.manifest.number:
                raise
            raise await self._overtaken(newest) from None

    async def run_unfenced(self) -> None:
        """Take over what there is, and leave its end as it is: for whoever goes on far behind it.
        The last segment counts as far as its blocks follow each other; the table that `_fence`
        would write is known to this run alone."""
        unfinished = await self._start.run(may_end_sealed=True)
        self.term = max(self.term, self._start.term)
        self.manifest = self._start.manifest
        if unfinished is None:
            return
        replay = Replay(SegmentIndex(unfinished), self.streams, self.checkpoint.apply)
        if not await self._replay_listed(replay, set()):
            payload = self._footer_payload(replay.index)
            self.newest_footers[unfinished] = Footer(
                BlockKind.FENCE, unfinished, self.term, payload
            )
            self.chain.append(Completed(unfinished))

    async def _run(self) -> None:
        unfinished = await self._start.run()
        self.term = max(self.term, self._start.term)
        self.manifest = self._start.manifest
        if unfinished is not None:
            await self._finish(unfinished)
        while not (self._owned or self._store.locks):
            await self._finish(self.chain.last + 1)
        if self._store.locks:
            if not self._owned:
                self.term += 1
                await self._store.note_term(self._log_id, self.term)
        else:
            await self._own_the_past()
            if self._store.claims:
                await self._persist(lambda: self._store.note_term(self._log_id, self.term))
            if self._called:
                await hang_up(self._store.objects, self._log_id, self._persist)

    async def _own_the_past(self) -> None:
        """Make sure that our fence was the newest thing in the log, and take over its manifests.

        Whoever was paused on the way to the fence may have created it where others had long
        finished, sealed and deleted. All that shows this never becomes untrue again. The manifest
        of our term then stops whoever still compacts for an earlier one.
        """
        while True:
            newest, later = await asyncio.gather(
                self.manifests.newest(),
                self._persist(lambda: self._store.segments(self._log_id, self.chain.last)),
            )
            if later or newest.term >= self.term or newest.covered >= self.chain.last:
                raise await self._overtaken(newest)
            if newest.number == self.manifest.number:
                newest = self.manifest
            # Earlier writers may have sealed, and even deleted, more since we read the manifest.
            self.chain.cover(newest.sealed)
            own = msgspec.structs.replace(newest, number=newest.number + 1, term=self.term)
            try:
                await self.manifests.commit(own)
            except Fenced:
                continue  # somebody who compacts for an earlier term came first
            self.manifest = own
            return

    async def _finish(self, segment: int) -> None:
        """Replay a segment and end it, by our fence or by the footer it turns out to have."""
        replay = Replay(SegmentIndex(segment), self.streams, self.checkpoint.apply)
        terms: set[int] = set()
        ended = await self._replay_listed(replay, terms)
        if not ended and self._store.locks and not replay.index.block_count:
            await self._store.delete_segment(self._log_id, segment)
            return
        while not ended and not await self._fence(replay.index):
            await self._ask()  # or the writer would hold on for somebody who does not come
            self._called = True
            await call(self._store.objects, self._log_id, self._persist)
            index = replay.index
            slot = Slot(self._log_id, segment, index.block_count, index.bytes_count)
            ended = self._take(replay, await self._read_block(slot), terms)
            # Where one has come there may be many: one by one we would never catch up.
            ended = ended or await self._replay_listed(replay, terms)
        tell_gaps(self._log_id, replay)

    async def _replay_listed(self, replay: Replay, terms: set[int]) -> bool:
        """Replay what else there is of a segment; True when ended."""
        index = replay.index
        blocks = self._store.recover_segment(
            self._log_id, index.segment, self._persist, first=index.block_count
        )
        async for block in blocks:
            if isinstance(block, Lost):
                await self._start.damaged(index.segment, f"block {block.block}: {block.text}")
                if not block.blocks_count:
                    self.chain.append(Completed(index.segment))
                    return True
                replay.lose(block)
            elif self._take(replay, block, terms):
                return True
        return False

    async def _read_block(self, slot: Slot) -> Block:
        place = self._store.place(slot, None)
        return await self._persist(lambda: read_block(self._store.objects, place))

    def _take(self, replay: Replay, block: Block, terms: set[int]) -> bool:
        """Replay a data block, or end the segment with the footer found; True when ended."""
        index = replay.index
        if block.is_footer:
            footer = self._start.adopt_footer(block)
            if footer.block_count != index.block_count:
                raise self._corrupt("the footer counts other blocks than there are", index)
            # The writer dropped streams meanwhile: they must not come back in a footer of ours.
            for stream_id in self.streams.keys() - {row.stream_id for row in footer.streams()}:
                del self.streams[stream_id]
            self.term = max(self.term, self._start.term)
            self.chain.append(Completed(index.segment))
            return True
        terms.add(block.header.term)
        if len(terms) > 1:
            raise self._corrupt("a segment with blocks of two terms", index)
        self.term = max(self.term, block.header.term)
        replay.take(block)
        return False

    async def add_segment(self) -> None:
        """Afterwards: an empty one behind all others, whose footer says what we know. For whoever
        replaces the last ones. Raises Fenced."""
        if not await self._fence(SegmentIndex(self.chain.last + 1)):
            raise Fenced("another writer took the log meanwhile", log_id=self._log_id)

    async def _fence(self, index: SegmentIndex) -> bool:
        """Fill the next slot with our footer; False when somebody else's block is there."""
        await self._ask()
        term = self.term + 1
        payload = self._footer_payload(index)
        count = index.block_count
        ids = BlockIds(self._log_id, index.segment, count, term, count, self._opening.nonce)
        encoded = encode_payload(BlockKind.FENCE, ids, payload)
        slot = Slot(self._log_id, index.segment, count, index.bytes_count)
        try:
            await self._persist(lambda: self._store.append(slot, encoded.pieces, final=True))
        except Fenced:
            if self._store.claims:
                raise  # it was taken by a later claim, not by a block
            return False
        self.newest_footers[index.segment] = Footer(BlockKind.FENCE, index.segment, term, payload)
        self.chain.append(Completed(index.segment))
        self.term = term
        self._owned = True
        self._fence_slot = slot
        return True

    def _footer_payload(self, index: SegmentIndex) -> bytes:
        return index.encode_footer(
            with_start(
                (stream.row(stream_id) for stream_id, stream in self.streams.items()),
                self.checkpoint.start,
            ),
            self.checkpoint.changes(),
            self._opening.clock.now_ms(),
        )

    async def _ask(self) -> None:
        if self._may_take is not None:
            await self._may_take()

    async def _overtaken(self, newest: Manifest) -> Fenced:
        """The error to raise; a fence that did not count is taken back.

        It did not if everything of its segment had been sealed and deleted before: nobody will ever
        look there again. While the manifest lists the segment as garbage that is not sure: ours may
        be the fence that counted, and earlier writers must go on finding its slot taken.
        """
        slot = self._fence_slot
        garbage = {row.segment for row in newest.garbage}
        if slot is not None and slot.segment <= newest.covered and slot.segment not in garbage:
            key = self._store.place(slot, None).key
            await self._persist(lambda: self._store.objects.delete(key))
        return Fenced("another writer took the log meanwhile", log_id=self._log_id)

    def _corrupt(self, message: str, index: SegmentIndex) -> Corrupt:
        return Corrupt(message, log_id=self._log_id, segment=index.segment, block=index.block_count)
