"""Copying one sealed segment: its objects, then its index.

A sealed segment may name blocks that were left where they had been written. Their place depends on
the mode, so in a copy to the other mode they move into objects of the sealed segment's own folder.
"""

from __future__ import annotations

from contextlib import aclosing

import msgspec

from wal_core.config import LogConfig
from wal_core.errors import Corrupt
from wal_core.format.block import Block, BlockIds, BlockKind, encode_payload
from wal_core.format.chain import Sealed
from wal_core.format.places import Place
from wal_core.format.sealed_index import BlockRow, ObjectRow, SealedIndex, encode_index
from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import read_block
from wal_core.stores.stretches import read_in_order
from wal_core.types import Buffer

SEGMENTS_PREFIX = "logs/"


class SealedCopier:
    """Copies sealed segments from one object store to another."""

    def __init__(
        self, source: ObjectStore, target: ObjectStore, config: LogConfig, persist: Persistence
    ) -> None:
        self._source = source
        self._target = target
        self._config = config
        self._persist = persist
        self.copied_bytes = 0

    async def read(self, sealed: Sealed) -> tuple[Block, SealedIndex]:
        """The index at the source, with the block it is in. Raises Corrupt."""
        log_id = self._config.log_id
        place = Place(sealed.index, 0, sealed.index_bytes, log_id, sealed.last, 0)
        block = await self._persist(lambda: read_block(self._source, place))
        return block, SealedIndex.of_block(block)

    async def copy_object(self, key: str) -> None:
        """One immutable object as it is."""
        try:
            data = await self._persist(lambda: self._source.get_range(key, 0, None))
        except NotFound:
            raise Corrupt(f"{key} is missing") from None
        await self.create(key, [data])

    async def create(self, key: str, pieces: list[Buffer]) -> None:
        """An object that is there already was copied before: names are never used twice."""

        async def create() -> None:
            try:
                await self._target.create(key, pieces)
            except AlreadyExists:
                pass

        await self._persist(create)
        self.copied_bytes += sum(map(len, pieces))

    async def moved(
        self, sealed: Sealed, block: Block, index: SealedIndex
    ) -> tuple[Sealed, set[str]]:
        """Write the blocks outside sealed folders into objects of this one's, and an index that
        says so; returns the row for the manifest, and the keys the index names.
        """
        mover = _Mover(self, sealed, index)
        log_id = self._config.log_id
        places = [index.place(number) for number in mover.outside]
        async with aclosing(read_in_order(self._source, places, self._persist)) as blocks:
            for number in mover.outside:
                await mover.take(number, await anext(blocks), self._config.sealed_object_bytes_max)
        await mover.flush()
        payload = encode_index(
            first=index.first,
            last=index.last,
            objects=mover.objects,
            blocks=mover.rows,
            streams=list(index.streams()),
            runs=list(index.all_runs()),
            created_ms=index.created_ms,
            changes=index.changes,
        )
        head = block.header
        ids = BlockIds(log_id, head.segment, head.block, head.term, 0, head.nonce)
        encoded = encode_payload(BlockKind.INDEX, ids, payload)
        await self.create(sealed.index, encoded.pieces)
        keys = {row.key for row in mover.objects}
        return msgspec.structs.replace(sealed, index_bytes=encoded.length), keys


class _Mover:
    """Builds the new object table while blocks are gathered into objects."""

    def __init__(self, copier: SealedCopier, sealed: Sealed, index: SealedIndex) -> None:
        self._copier = copier
        self._folder = sealed.index.rpartition("/")[0] + "/"
        self.rows: list[BlockRow] = [index.block(number) for number in range(index.block_count)]
        kept = [row for row in index.objects if not row.key.startswith(SEGMENTS_PREFIX)]
        numbers = {row.key: number for number, row in enumerate(kept)}
        self.objects: list[ObjectRow] = kept
        self.outside: list[int] = []
        for at, row in enumerate(self.rows):
            if not row.length:
                continue  # lost: it is nowhere
            key = index.objects[row.object_number].key
            if key in numbers:
                self.rows[at] = row._replace(object_number=numbers[key])
            else:
                self.outside.append(at)
        own = (row.key for row in kept if row.key.startswith(self._folder))
        self._next_number = max((int(key.rpartition("/")[2]) + 1 for key in own), default=0)
        self._pieces: list[Buffer] = []
        self._bytes_count = 0

    async def take(self, number: int, block: Block, object_bytes_max: int) -> None:
        """The next block that moves."""
        if self._pieces and self._bytes_count + len(block.buffer) > object_bytes_max:
            await self.flush()
        self.rows[number] = self.rows[number]._replace(
            position=self._bytes_count, object_number=len(self.objects)
        )
        self._pieces.append(block.buffer)
        self._bytes_count += len(block.buffer)

    async def flush(self) -> None:
        """Write what has been gathered as the next object of the folder."""
        if not self._pieces:
            return
        key = f"{self._folder}{self._next_number:06d}"
        await self._copier.create(key, self._pieces)
        self.objects.append(ObjectRow(key, self._bytes_count))
        self._next_number += 1
        self._pieces, self._bytes_count = [], 0
