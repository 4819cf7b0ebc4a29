"""Opening a log: take it over, find its end, rebuild what rides on it.

Cost: the newest manifest, one listing of what is not sealed yet, the newest footer, and the blocks
of at most one unfinished segment. Order of the steps is what makes it safe:

1. Lock, where the store can.
2. Restore state and streams from the newest footer behind what the manifest has sealed.
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

import msgspec

from wal_core.block_format import Block, BlockIds, BlockKind, encode_payload
from wal_core.chain import Chain, Completed
from wal_core.clock import Clock, Rng
from wal_core.config import LogConfig
from wal_core.errors import Corrupt, Fenced
from wal_core.footer_format import Footer
from wal_core.handover import call, hang_up
from wal_core.manifest import NO_MANIFEST, Manifest, Manifests
from wal_core.persistence import Persistence
from wal_core.places import Slot, read_block
from wal_core.segment_index import SegmentIndex
from wal_core.segment_store.base import SegmentStore
from wal_core.streams import Stream
from wal_core.types import LogState


class Recovery:
    """One run of it; afterwards the attributes are what the log starts from."""

    def __init__(
        self,
        store: SegmentStore,
        state: LogState,
        config: LogConfig,
        *,
        nonce: bytes,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._store = store
        self._state = state
        self._nonce = nonce
        self._clock = clock
        self._persist = Persistence(config, rng)
        self._log_id = config.log_id
        self._owned = False
        self._called = False  # asked the writer to hold on
        self._fence_slot: Slot | None = None  # of the last fence that we created
        self.locked = False
        self.term = 0  # before run(): the highest seen; after: ours
        self.manifests = Manifests(store.objects, config.log_id, self._persist, nonce)
        self.manifest = NO_MANIFEST  # the newest
        self.chain = Chain()
        self.newest_footers: dict[int, Footer] = {}
        self.streams: dict[int, Stream] = {}

    async def run(self) -> None:
        """Recover. The caller unlocks the store if this raises."""
        self.term = await self._store.lock(self._log_id)
        self.locked = True
        try:
            await self._run()
        except Corrupt:
            # Whoever was paused in here may miss what others have compacted and deleted since.
            newest = await self.manifests.newest()
            if newest.number <= self.manifest.number:
                raise
            raise await self._overtaken(newest) from None

    async def _run(self) -> None:
        self.manifest = await self.manifests.newest()
        self.term = max(self.term, self.manifest.term)
        for sealed in self.manifest.sealed:
            self.chain.append(sealed)
        covered = self.manifest.covered
        names = await self._persist(lambda: self._store.segments(self._log_id, covered))
        unfinished = await self._restore(names)
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
            if self._called:
                await hang_up(self._store.objects, self._log_id, self._persist)

    async def _restore(self, names: list[int]) -> int | None:
        """Start from the newest footer; returns the segment behind it, if there is one."""
        if not names:
            if self.chain.links:
                raise Corrupt(
                    "the segment behind the sealed ones is missing",
                    log_id=self._log_id,
                    segment=self.chain.last + 1,
                )
            return None
        if names[0] != self.manifest.covered + 1:
            # They are gone, or the manifest is that says what stands for them: whoever went on
            # without it would compact, and delete that in the end.
            raise Corrupt(
                "nothing stands for the segments before this one; check what is stored",
                log_id=self._log_id,
                segment=names[0],
            )
        footer = await self._read_footer(names[-1])
        unfinished = None
        if footer is None:
            unfinished = names.pop()
            footer = await self._read_footer(names[-1]) if names else None
            if footer is None and (names or self.chain.links):
                raise Corrupt(
                    "a segment before the last one has no whole footer",
                    log_id=self._log_id,
                    segment=names[-1] if names else self.chain.last,
                )
        for name in names:
            self.chain.append(Completed(name))
        if footer is not None:
            for row in footer.streams():
                self.streams[row.stream_id] = Stream(*row[1:5])
            self._state.restore(footer.checkpoint)
        return unfinished

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
            self._follow(newest)
            own = msgspec.structs.replace(newest, number=newest.number + 1, term=self.term)
            try:
                await self.manifests.commit(own)
            except Fenced:
                continue  # somebody who compacts for an earlier term came first
            self.manifest = own
            return

    def _follow(self, newest: Manifest) -> None:
        """Earlier writers may have sealed, and even deleted, more since we read the manifest."""
        behind = [link for link in self.chain.links if link.first > newest.covered]
        if not behind or behind[0].first != newest.covered + 1:
            raise Corrupt(
                "segments behind the sealed ones are missing",
                log_id=self._log_id,
                segment=newest.covered + 1,
            )
        self.chain.links = (*newest.sealed, *behind)

    async def _read_footer(self, segment: int) -> Footer | None:
        block = await self._persist(lambda: self._store.read_footer(self._log_id, segment))
        return None if block is None else self._adopt(block)

    def _adopt(self, block: Block) -> Footer:
        footer = Footer.of_block(block)
        self.newest_footers[footer.segment] = footer
        self.term = max(self.term, footer.term)
        return footer

    async def _finish(self, segment: int) -> None:
        """Replay a segment and end it, by our fence or by the footer it turns out to have."""
        index = SegmentIndex(segment)
        terms: set[int] = set()
        if await self._replay_listed(index, terms):
            return
        if self._store.locks and not index.block_count:
            await self._store.delete_segment(self._log_id, segment)
            return
        while not await self._fence(index):
            self._called = True
            await call(self._store.objects, self._log_id, self._persist)
            slot = Slot(self._log_id, segment, index.block_count, index.bytes_count)
            if self._take(index, await self._read_block(slot), terms):
                return
            # Where one has come there may be many: one by one we would never catch up.
            if await self._replay_listed(index, terms):
                return

    async def _replay_listed(self, index: SegmentIndex, terms: set[int]) -> bool:
        """Replay what else there is of a segment; True when ended."""
        blocks = self._store.recover_segment(
            self._log_id, index.segment, self._persist, first=index.block_count
        )
        async for block in blocks:
            if self._take(index, block, terms):
                return True
        return False

    async def _read_block(self, slot: Slot) -> Block:
        place = self._store.place(slot, None)
        return await self._persist(lambda: read_block(self._store.objects, place))

    def _take(self, index: SegmentIndex, block: Block, terms: set[int]) -> bool:
        """Replay a data block, or end the segment with the footer found; True when ended."""
        if block.is_footer:
            if Footer.of_block(block).block_count != index.block_count:
                raise self._corrupt("the footer counts other blocks than there are", index)
            self._adopt(block)
            self.chain.append(Completed(index.segment))
            return True
        terms.add(block.header.term)
        if len(terms) > 1:
            raise self._corrupt("a segment with blocks of two terms", index)
        self.term = max(self.term, block.header.term)
        self._replay(index, block)
        return False

    def _replay(self, index: SegmentIndex, block: Block) -> None:
        index.add_block(block.header.total_bytes, block.header.data_bytes)
        for entry in block.entries():
            stream = self.streams.setdefault(entry.stream_id, Stream())
            if entry.base_offset != stream.end:
                raise self._corrupt(
                    f"stream {entry.stream_id} continues at {entry.base_offset}, "
                    f"expected {stream.end}",
                    index,
                )
            stream.end = entry.end_offset
            before = stream.confirm(entry.end_offset, entry.max_timestamp_ms, len(entry.payload))
            index.note_entry(entry.stream_id, entry.base_offset, entry.max_timestamp_ms, before)
            self._state.apply(entry)

    async def _fence(self, index: SegmentIndex) -> bool:
        """Fill the next slot with our footer; False when somebody else's block is there."""
        term = self.term + 1
        payload = index.encode_footer(
            (stream.row(stream_id) for stream_id, stream in self.streams.items()),
            self._state.checkpoint(),
            self._clock.now_ms(),
        )
        count = index.block_count
        ids = BlockIds(self._log_id, index.segment, count, term, count, self._nonce)
        encoded = encode_payload(BlockKind.FENCE, ids, payload)
        slot = Slot(self._log_id, index.segment, count, index.bytes_count)
        try:
            await self._persist(lambda: self._store.append(slot, encoded.pieces, final=True))
        except Fenced:
            return False
        self.newest_footers[index.segment] = Footer(BlockKind.FENCE, index.segment, term, payload)
        self.chain.append(Completed(index.segment))
        self.term = term
        self._owned = True
        self._fence_slot = slot
        return True

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
