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
from collections.abc import Sequence
from functools import partial

import msgspec

from wal_core.errors import REMEDY, Corrupt, Fenced
from wal_core.format.block import Block, BlockIds, BlockKind, encode_payload
from wal_core.format.chain import Chain, Completed, Link
from wal_core.format.footer import Footer
from wal_core.format.places import Lost, Slot
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.checkpoint import Checkpoint, with_start
from wal_core.state.checkpoint_loading import CheckpointLoader
from wal_core.state.contents import Contents
from wal_core.state.manifest_adoption import adopt
from wal_core.state.rebuild import Rebuild
from wal_core.state.replay import Replay
from wal_core.state.streams import Stream
from wal_core.state.table_loading import TableLoading
from wal_core.state.tables import Tables
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
    ) -> None:
        self._store = store
        self._opening = opening
        self._persist = Persistence(opening.config, opening.rng)
        self._log_id = opening.log_id
        self._owned = False
        self._called = False  # asked the writer to hold on
        self._fence_slot: Slot | None = None  # of the last fence that we created
        self.locked = False
        self.damaged_count = 0  # of places passed over
        self.term = 0  # before run(): the highest seen; after: ours
        self.manifests = Manifests(store.objects, self._log_id, self._persist, opening.nonce)
        self.manifest = NO_MANIFEST  # the newest
        self.chain = Chain()
        self.newest_footers: dict[int, Footer] = {}
        self.streams: dict[int, Stream] = {}
        self._state = state
        self.checkpoint = Checkpoint(state, opening.config.checkpoint_piece_bytes)

    @property
    def tenure(self) -> Tenure:
        """After `run`: ours."""
        return self._opening.of_term(self.term)

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
        adopted, names = await asyncio.gather(
            adopt(self._store, self._log_id, self.manifest, self._persist),
            self._persist(lambda: self._store.segments(self._log_id, self.manifest.covered)),
        )
        if adopted is not self.manifest:
            self.manifest = adopted
            names = [name for name in names if name > adopted.covered]
        for sealed in self.manifest.sealed:
            self.chain.append(sealed)
        await self._check_end(names)
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
        """Start from the newest footer; returns the segment behind it that has none, if there is
        one. What is damaged or missing between the two is passed over, and told."""
        if not names:
            if self.chain.links:
                raise Corrupt(
                    "the segments behind the sealed ones are missing, and the state of the log "
                    "with them; restore them from a copy",
                    log_id=self._log_id,
                    segment=self.chain.last + 1,
                )
            return None
        behind = range(self.chain.last + 1, names[-1] + 1)
        present = set(names)
        footer = await self._read_footer(names[-1])
        unfinished = None if footer is not None else names[-1]
        base = names[-1]
        while footer is None and base > behind.start:
            base -= 1
            if base in present:
                footer = await self._read_footer(base)
        if footer is not None or self.chain.links:
            await self._start_from(footer)
        for segment in behind:
            if segment not in present:
                await self._damaged(segment, "nothing is left of it")
            if segment == unfinished:
                break
            if footer is None or segment > footer.segment:
                await self._pass(segment)
            self.chain.append(Completed(segment))
        return unfinished

    async def _pass(self, segment: int) -> None:
        """A finished segment without a footer that can be read: replay what it had before it."""
        replay = Replay(SegmentIndex(segment), self.streams, self.checkpoint.apply)
        blocks = self._store.recover_segment(
            self._log_id, segment, self._persist, cut=False, finished=True
        )
        async for block in blocks:
            if isinstance(block, Lost):
                replay.lose(block)
            elif not block.is_footer:
                self.term = max(self.term, block.header.term)
                replay.take(block)
        await self._damaged(segment, "its footer cannot be read; its blocks say what was in it")
        self._tell(replay)

    async def _start_from(self, footer: Footer | None) -> None:
        """Streams and checkpoint as they were there; without one, at the end of what is sealed."""
        links: list[Link] = [*self.chain.links]
        if footer is not None:
            links += map(Completed, range(self.chain.last + 1, footer.segment + 1))
        loading = self._loading(links)
        try:
            tables = await self._load(loading, links[-1])
            rows = [*tables.streams()]
            for row in rows:
                self.streams[row.stream_id] = Stream(*row[1:5])
            loader = CheckpointLoader(
                self._store, self._log_id, self._persist, partial(self._load, loading)
            )
            changes = None if footer is None else footer.changes
            lost = await loader.load(links, rows, changes, self.checkpoint, self._state)
        finally:
            await loading.close()
        if loading.damaged:
            await self._check_owner()
        for pieces in lost:
            text = f"{pieces} cannot be read, so records stand in, as far as they say the same"
            await self._damaged(links[-1].last, f"{text} ({pieces.text})")

    def _loading(self, links: Sequence[Link]) -> TableLoading:
        chain = Chain(links)
        rebuild = Rebuild(self._store, self._log_id, self.manifests, self._persist)

        async def load(link: Link) -> Tables:
            return await self._load(loading, link)

        contents = Contents(self.streams, chain)
        loading = TableLoading(self._store, self._log_id, contents, rebuild, get=load)
        return loading

    async def _load(self, loading: TableLoading, link: Link) -> Tables:
        if isinstance(link, Completed) and link.segment in self.newest_footers:
            return self.newest_footers[link.segment]
        return await self._persist(lambda: loading.load(link))

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

    async def _read_footer(self, segment: int) -> Footer | None:
        """None when there is none, or none that can be read."""
        try:
            block = await self._persist(lambda: self._store.read_footer(self._log_id, segment))
            return None if block is None else self._adopt(block)
        except Corrupt as error:
            _logger.warning("%s", error)
            return None

    def _adopt(self, block: Block) -> Footer:
        footer = Footer.of_block(block)
        self.newest_footers[footer.segment] = footer
        self.term = max(self.term, footer.term)
        return footer

    async def _finish(self, segment: int) -> None:
        """Replay a segment and end it, by our fence or by the footer it turns out to have."""
        replay = Replay(SegmentIndex(segment), self.streams, self.checkpoint.apply)
        terms: set[int] = set()
        ended = await self._replay_listed(replay, terms)
        if not ended and self._store.locks and not replay.index.block_count:
            await self._store.delete_segment(self._log_id, segment)
            return
        while not ended and not await self._fence(replay.index):
            self._called = True
            await call(self._store.objects, self._log_id, self._persist)
            index = replay.index
            slot = Slot(self._log_id, segment, index.block_count, index.bytes_count)
            ended = self._take(replay, await self._read_block(slot), terms)
            # Where one has come there may be many: one by one we would never catch up.
            ended = ended or await self._replay_listed(replay, terms)
        self._tell(replay)

    async def _replay_listed(self, replay: Replay, terms: set[int]) -> bool:
        """Replay what else there is of a segment; True when ended."""
        index = replay.index
        blocks = self._store.recover_segment(
            self._log_id, index.segment, self._persist, first=index.block_count
        )
        async for block in blocks:
            if isinstance(block, Lost):
                await self._damaged(index.segment, f"block {block.block}: {block.text}")
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
            if Footer.of_block(block).block_count != index.block_count:
                raise self._corrupt("the footer counts other blocks than there are", index)
            self._adopt(block)
            self.chain.append(Completed(index.segment))
            return True
        terms.add(block.header.term)
        if len(terms) > 1:
            raise self._corrupt("a segment with blocks of two terms", index)
        self.term = max(self.term, block.header.term)
        replay.take(block)
        return False

    async def _check_end(self, names: list[int]) -> None:
        """Was there a segment file behind those that are listed?"""
        noted = await self._store.noted_end(self._log_id)
        last = names[-1] if names else self.chain.last
        if noted is not None and noted.segment > last:
            text = f"it is gone, with {noted.bytes_count} bytes or more; the log ends before it"
            await self._damaged(noted.segment, text)

    async def _damaged(self, segment: int, text: str) -> None:
        """Tell of damage that does not keep the log from being opened. Raises Fenced if it is
        none."""
        await self._check_owner()
        self.damaged_count += 1
        if self.damaged_count <= _TOLD_MAX_COUNT:
            _logger.error("segment %d of log %d: %s%s", segment, self._log_id, text, REMEDY)

    async def _check_owner(self) -> None:
        """Something is missing. Raises Fenced if that is no damage: whoever was paused in here may
        miss what others have compacted and deleted since."""
        newest = await self.manifests.newest()
        if newest.number > self.manifest.number:
            raise await self._overtaken(newest)

    def _tell(self, replay: Replay) -> None:
        """Of the records that are lost."""
        for gap in replay.gaps[:_TOLD_MAX_COUNT]:
            _logger.error(
                "offsets %d to %d of stream %d are lost (log %d, segment %d)",
                gap.first_offset,
                gap.end_offset - 1,
                gap.stream_id,
                self._log_id,
                replay.index.segment,
            )

    async def _fence(self, index: SegmentIndex) -> bool:
        """Fill the next slot with our footer; False when somebody else's block is there."""
        term = self.term + 1
        payload = index.encode_footer(
            with_start(
                (stream.row(stream_id) for stream_id, stream in self.streams.items()),
                self.checkpoint.start,
            ),
            self.checkpoint.changes(),
            self._opening.clock.now_ms(),
        )
        count = index.block_count
        ids = BlockIds(self._log_id, index.segment, count, term, count, self._opening.nonce)
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
