"""Reading many blocks of which some may be damaged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable

from wal_core.block_format import Block
from wal_core.errors import Corrupt
from wal_core.object_store.base import ObjectStore
from wal_core.persistence import Persistence
from wal_core.places import Place, read_block
from wal_core.stretches import READS_MAX_BYTES, READS_MAX_COUNT


async def read_each(
    objects: ObjectStore, places: Iterable[Place], persist: Persistence
) -> AsyncGenerator[tuple[Place, Block | Corrupt], None]:
    """Each of them in order, or why it cannot be had; several reads in flight. Close it early with
    `contextlib.aclosing`."""

    async def read(place: Place) -> Block | Corrupt:
        try:
            return await persist(lambda: read_block(objects, place))
        except Corrupt as error:
            return error

    coming = iter(places)
    ahead = next(coming, None)
    reads: deque[tuple[Place, asyncio.Task[Block | Corrupt]]] = deque()
    flying_bytes = 0
    try:
        while ahead is not None or reads:
            while ahead is not None and (
                not reads
                or (
                    len(reads) < READS_MAX_COUNT
                    and flying_bytes + (ahead.length or 0) <= READS_MAX_BYTES
                )
            ):
                reads.append((ahead, asyncio.ensure_future(read(ahead))))
                flying_bytes += ahead.length or 0
                ahead = next(coming, None)
            place, task = reads[0]
            found = await task
            reads.popleft()
            flying_bytes -= place.length or 0
            yield place, found
    finally:
        for _, task in reads:
            task.cancel()
        await asyncio.gather(*(task for _, task in reads), return_exceptions=True)
