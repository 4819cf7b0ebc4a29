"""Loading the tables of finished segments; those that are damaged are made anew from the blocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from wal_core.errors import REMEDY, Corrupt, WalError
from wal_core.format.chain import Link, Sealed
from wal_core.format.footer import Footer
from wal_core.format.places import Place
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.contents import Contents
from wal_core.state.rebuild import Rebuild, known_after
from wal_core.state.tables import Tables
from wal_core.stores.places import read_block
from wal_core.stores.segments.base import SegmentStore

_logger = logging.getLogger(__name__)


async def stored_tables(store: SegmentStore, log_id: int, link: Link) -> Tables:
    """The footer or index of a finished segment, from the store. Raises Corrupt, Unavailable."""
    if isinstance(link, Sealed):
        place = Place(link.index, 0, link.index_bytes, log_id, link.last, 0)
        return SealedIndex.of_block(await read_block(store.objects, place))
    block = await store.read_footer(log_id, link.segment)
    if block is None:
        raise Corrupt("a finished segment has no footer", log_id=log_id, segment=link.segment)
    return Footer.of_block(block)


class TableLoading:
    """Of the finished segments of a log. `get` is how the tables of others are had, through a
    cache. `confirm` raises if what is missing is no damage: others may have replaced it, of which
    whoever is about to own the log, or does not any more, knows nothing."""

    def __init__(
        self,
        store: SegmentStore,
        log_id: int,
        contents: Contents,
        rebuild: Rebuild,
        *,
        get: Callable[[Link], Awaitable[Tables]],
        confirm: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._log_id = log_id
        self._contents = contents
        self._chain = contents.chain
        self._rebuild = rebuild
        self._get = get
        self._confirm = confirm
        self._making: dict[Link, asyncio.Task[Tables]] = {}
        self.damaged: set[Link] = set()
        """Links whose tables had to be made anew. They are good to read by, not to delete by."""

    async def load(self, link: Link) -> Tables:
        """Raises Corrupt when too little is left to make them of, Unavailable."""
        try:
            return await stored_tables(self._store, self._log_id, link)
        except Corrupt as error:
            if link not in self._chain.links:
                raise  # replaced meanwhile
            task = self._making.get(link)
            if task is None:
                task = self._making[link] = asyncio.ensure_future(self._make(link, error))
                task.add_done_callback(lambda task: self._made(link, task))
        # It may take longer than a reader waits: who asks again finds it further on.
        return await asyncio.shield(task)

    async def _make(self, link: Link, error: WalError) -> Tables:
        await self._confirm()
        if link not in self.damaged:
            _logger.error(
                "%s; reads of segments %d to %d go by what their blocks say, and they are not "
                "compacted any more%s",
                error,
                link.first,
                link.last,
                REMEDY,
            )
            self.damaged.add(link)
        links = self._chain.links
        at = links.index(link)
        before = (await self._get(links[at - 1])).streams() if at else ()
        return await self._rebuild.tables(
            link,
            before,
            known_after(await self._behind(at)),
            [other for other in links if isinstance(other, Sealed)],
        )

    async def _behind(self, at: int) -> Tables | SegmentIndex | None:
        links = self._chain.links
        if at + 1 == len(links):
            return self._contents.active
        try:
            return await stored_tables(self._store, self._log_id, links[at + 1])
        except Corrupt:
            return None

    def _made(self, link: Link, task: asyncio.Task[Tables]) -> None:
        del self._making[link]
        if not task.cancelled():
            task.exception()  # seen: every reader may have gone away

    async def close(self) -> None:
        """End what is under way."""
        tasks = [*self._making.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
