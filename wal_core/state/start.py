"""Where a log goes on from: what is sealed, the newest footer, and the state as it was there.

Whoever takes a log over starts here, and whoever follows one that another process writes: there is
one way to put the state together from what is stored. Nothing is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from wal_core.config import LogConfig
from wal_core.errors import REMEDY, Corrupt, WalError
from wal_core.format.block import Block
from wal_core.format.chain import Chain, Completed, Link
from wal_core.format.footer import Footer
from wal_core.format.places import Lost
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.checkpoint import Checkpoint
from wal_core.state.checkpoint_loading import CheckpointLoader
from wal_core.state.contents import Contents
from wal_core.state.manifest_adoption import adopt, tell
from wal_core.state.rebuild import Rebuild
from wal_core.state.replay import Replay
from wal_core.state.streams import Stream
from wal_core.state.table_loading import TableLoading
from wal_core.state.tables import Tables
from wal_core.stores.manifests import NO_MANIFEST, Manifest, Manifests
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.types import LogState

_TOLD_MAX_COUNT = 20

_logger = logging.getLogger(__name__)


class Start:
    """One of them; after `run` the attributes say what there is.

    `overtaken` makes the error to raise where something is missing, and a newer manifest shows that
    others have compacted and deleted meanwhile.
    """

    def __init__(
        self,
        store: SegmentStore,
        state: LogState,
        config: LogConfig,
        manifests: Manifests,
        persist: Persistence,
        *,
        overtaken: Callable[[Manifest], Awaitable[WalError]],
    ) -> None:
        self._store = store
        self._state = state
        self._log_id = config.log_id
        self._manifests = manifests
        self._persist = persist
        self._overtaken = overtaken
        self.damaged_count = 0  # of places passed over
        self.term = 0  # the highest seen
        self.manifest = NO_MANIFEST  # that everything is read by
        self.chain = Chain()
        self.newest_footers: dict[int, Footer] = {}
        self.streams: dict[int, Stream] = {}
        self.checkpoint = Checkpoint(state, config.checkpoint_piece_bytes)

    async def run(self, *, may_end_sealed: bool = False) -> int | None:
        """Returns the segment behind all finished ones, if there is one. `may_end_sealed`: nothing
        has to be behind the sealed ones; then records stand in for the newest state."""
        names = await self._begin()
        for sealed in self.manifest.sealed:
            self.chain.append(sealed)
        await self._check_end(names)
        if self.chain.links and not names:
            await self._start_from(None, may_lose_state=may_end_sealed)
            return None
        return await self._restore(names)

    async def _begin(self) -> list[int]:
        """Find what everything is read by, and the segments behind what that covers."""
        newest = await self._manifests.newest()
        while True:
            self.manifest = newest
            self.term = max(self.term, newest.term)
            adopted, names = await asyncio.gather(
                adopt(self._store, self._log_id, self.manifest, self._persist),
                self._persist(lambda: self._store.segments(self._log_id, self.manifest.covered)),
            )
            if adopted is self.manifest:
                return names
            # Others may have gone on behind what we have read, as where we were paused.
            newest = await self._manifests.newest()
            if newest.number <= self.manifest.number:
                tell(self.manifest, adopted)
                self.manifest = adopted
                return [name for name in names if name > adopted.covered]

    async def _restore(self, names: list[int]) -> int | None:
        """Start from the newest footer. What is damaged or missing between it and the last segment
        is passed over, and told."""
        if not names:
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
                await self.damaged(segment, "nothing is left of it")
            if segment == unfinished:
                break
            if footer is None or segment > footer.segment:
                await self._pass(segment)
            self.chain.append(Completed(segment))
        return unfinished

    async def _check_end(self, names: list[int]) -> None:
        """Was there a segment file behind those that are listed?"""
        noted = await self._store.noted_end(self._log_id)
        last = names[-1] if names else self.chain.last
        if noted is not None and noted.segment > last:
            if noted.segment in await self._persist(
                lambda: self._store.segments(self._log_id, last)
            ):
                raise await self._overtaken(self.manifest)  # it has come meanwhile
            text = f"it is gone, with {noted.bytes_count} bytes or more; the log ends before it"
            await self.damaged(noted.segment, text)

    async def damaged(self, segment: int, text: str) -> None:
        """Tell of damage that does not keep the log from being opened. Raises
        what `overtaken` makes if it is none."""
        await self.check_owner()
        self.damaged_count += 1
        if self.damaged_count <= _TOLD_MAX_COUNT:
            _logger.error("segment %d of log %d: %s%s", segment, self._log_id, text, REMEDY)

    async def check_owner(self) -> None:
        """Something is missing: is that damage? Whoever was paused in here may miss what others
        have compacted and deleted since."""
        newest = await self._manifests.newest()
        if newest.number > self.manifest.number:
            raise await self._overtaken(newest)

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
        await self.damaged(segment, "its footer cannot be read; its blocks say what was in it")
        tell_gaps(self._log_id, replay)

    async def _start_from(self, footer: Footer | None, *, may_lose_state: bool = True) -> None:
        """Streams and checkpoint as they were there; without one, at the end of what is sealed,
        whose index says it where the log may end there. Else records stand in, or Corrupt is
        raised."""
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
            changes = tables.changes if footer is None else footer.changes
            if changes is None and not (may_lose_state or self._store.uploads):
                raise Corrupt(
                    "the segments behind the sealed ones are missing, and the state of the log "
                    "with them; restore them from a copy",
                    log_id=self._log_id,
                    segment=self.chain.last + 1,
                )
            lost = await loader.load(links, rows, changes, self.checkpoint, self._state)
        finally:
            await loading.close()
        for pieces in lost:
            text = f"{pieces} cannot be read, so records stand in, as far as they say the same"
            await self.damaged(links[-1].last, f"{text} ({pieces.text})")

    def _loading(self, links: Sequence[Link]) -> TableLoading:
        chain = Chain(links)
        rebuild = Rebuild(self._store, self._log_id, self._manifests, self._persist)

        async def load(link: Link) -> Tables:
            return await self._load(loading, link)

        contents = Contents(self.streams, chain)
        loading = TableLoading(
            self._store, self._log_id, contents, rebuild, get=load, confirm=self.check_owner
        )
        return loading

    async def _load(self, loading: TableLoading, link: Link) -> Tables:
        if isinstance(link, Completed) and link.segment in self.newest_footers:
            return self.newest_footers[link.segment]
        return await self._persist(lambda: loading.load(link))

    async def _read_footer(self, segment: int) -> Footer | None:
        """None when there is none, or none that can be read."""
        try:
            block = await self._persist(lambda: self._store.read_footer(self._log_id, segment))
            return None if block is None else self.adopt_footer(block)
        except Corrupt as error:
            _logger.warning("%s", error)
            return None

    def adopt_footer(self, block: Block) -> Footer:
        footer = Footer.of_block(block)
        self.newest_footers[footer.segment] = footer
        self.term = max(self.term, footer.term)
        return footer


def tell_gaps(log_id: int, replay: Replay) -> None:
    """Of the records that are lost."""
    for gap in replay.gaps[:_TOLD_MAX_COUNT]:
        _logger.error(
            "offsets %d to %d of stream %d are lost (log %d, segment %d)",
            gap.first_offset,
            gap.end_offset - 1,
            gap.stream_id,
            log_id,
            replay.index.segment,
        )
