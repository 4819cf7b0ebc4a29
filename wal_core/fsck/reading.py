"""Reading blocks to judge them: what is wrong with one is an answer, not an error."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import NamedTuple

from wal_core.config import MIB
from wal_core.errors import Corrupt
from wal_core.format.block import HEADER_BYTES, Block, BlockHeader, parse_header
from wal_core.format.places import Place
from wal_core.fsck.findings import Kind
from wal_core.stores.deadline import expect
from wal_core.stores.in_order import in_order
from wal_core.stores.objects.base import NotFound, ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import verified
from wal_core.types import Buffer

_READS_AHEAD_COUNT = 8
_READS_AHEAD_BYTES = 64 * MIB
"""Enough to hide most of the round trip; few enough to leave the store to whoever serves."""


class Problem(NamedTuple):
    """Why a block cannot be had."""

    kind: Kind
    text: str


class BlockReader:
    """Reads patiently; raises Unavailable only where its Persistence does."""

    def __init__(self, objects: ObjectStore, persist: Persistence) -> None:
        self._objects = objects
        self._persist = persist
        self.blocks_count = 0

    async def header(self, key: str) -> BlockHeader | None:
        """Of an object's first block, not verified; None when there is none to be seen."""
        try:
            return parse_header(await self._read(key, 0, HEADER_BYTES))
        except (NotFound, Corrupt):
            return None

    async def block(self, place: Place) -> Block | Problem:
        """The verified block at a place; if no length is given, it must be the whole object."""
        self.blocks_count += 1
        try:
            buffer = await self._read(place.key, place.position, place.length)
        except NotFound:
            return Problem(Kind.MISSING, "it is not there")
        try:
            block = verified(place, buffer)
        except Corrupt as error:
            return Problem(Kind.DAMAGED, error.message.removeprefix(f"{place.key}: "))
        total_bytes = block.header.total_bytes
        if len(buffer) != total_bytes:
            return Problem(Kind.DAMAGED, f"a block of {total_bytes} bytes, and more behind it")
        return block

    def blocks(
        self, places: Iterable[Place]
    ) -> AsyncGenerator[tuple[Place, Block | Problem], None]:
        """All of them in order, some reads in flight. Lengths must be known. Close it early with
        `contextlib.aclosing`."""
        return in_order(
            places,
            self.block,
            size_bytes=lambda place: place.length or 0,
            count_max=_READS_AHEAD_COUNT,
            bytes_max=_READS_AHEAD_BYTES,
        )

    async def _read(self, key: str, position: int, length: int | None) -> Buffer:
        async def read() -> Buffer:
            expect(length or 0)
            return await self._objects.get_range(key, position, length)

        return await self._persist(read)
