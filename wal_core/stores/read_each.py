"""Reading many blocks of which some may be damaged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

from wal_core.errors import Corrupt
from wal_core.format.block import Block
from wal_core.format.places import Place
from wal_core.stores.in_order import in_order
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import read_block
from wal_core.stores.read_window import ReadWindow
from wal_core.stores.stretches import READS_MAX_BYTES, READS_MAX_COUNT


def read_each(
    objects: ObjectStore,
    places: Iterable[Place],
    persist: Persistence,
    window: ReadWindow | None = None,
) -> AsyncGenerator[tuple[Place, Block | Corrupt], None]:
    """Each of them in order, or why it cannot be had; several reads in flight, as many as
    `window` lets. Close it early with `contextlib.aclosing`."""

    async def read(place: Place) -> Block | Corrupt:
        try:
            return await persist(lambda: read_block(objects, place))
        except Corrupt as error:
            return error

    async def in_turn(place: Place) -> Block | Corrupt:
        if window is None:
            return await read(place)
        # Around all attempts: a wait for one's turn is none for the store, which has a deadline.
        async with window.turn(place.length or 0):
            return await read(place)

    return in_order(
        places,
        in_turn,
        size_bytes=lambda place: place.length or 0,
        count_max=READS_MAX_COUNT,
        bytes_max=READS_MAX_BYTES,
    )
