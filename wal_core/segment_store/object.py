"""Segments as objects: slot n is created, if absent, under a dense ordered key.

The conditional create is the whole fencing: two writers cannot fill one slot. "Exists" may be
the writer's own earlier success whose reply was lost, so the stored header is read back and
compared; it holds the writer's nonce and the block's CRC, which no other block shares.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import takewhile

from wal_core.block_format import HEADER_BYTES, Block, BlockKind, parse_block, parse_header
from wal_core.config import Mode
from wal_core.errors import Corrupt, Fenced, Unavailable, WalError
from wal_core.object_store.base import AlreadyExists, NotFound, ObjectStore
from wal_core.persistence import Persistence
from wal_core.segment_store.base import Slot
from wal_core.types import Buffer

_FOOTER_GUESS_BYTES = 256 * 1024
"""Most footers are smaller and so cost one read; a block that is none costs no more than this."""

_RECOVERY_READS_COUNT = 16
"""Reads in flight during recovery: hides the round trip, keeps at most 16 blocks in memory."""


class ObjectSegmentStore:
    """A SegmentStore over any ObjectStore."""

    mode: Mode = "object"
    locks = False

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self.location = objects.location

    async def lock(self, log_id: int) -> int:
        return 0

    async def note_term(self, log_id: int, term: int) -> None:
        """Terms are noted by the fence every open leaves behind."""

    async def unlock(self, log_id: int) -> None:
        """There is no lock: the next opener fences."""

    async def segments(self, log_id: int) -> list[int]:
        return sorted(
            int(name)
            for name in await self.objects.list_folders(f"logs/{log_id}/")
            if name.isascii() and name.isdigit()
        )

    async def append(self, slot: Slot, pieces: Sequence[Buffer], *, final: bool) -> None:
        key = _key(slot.log_id, slot.segment, slot.block)
        try:
            await self.objects.create(key, pieces)
        except AlreadyExists:
            await self._recognise(slot, key, bytes(pieces[0][:HEADER_BYTES]))

    async def _recognise(self, slot: Slot, key: str, own_header: bytes) -> None:
        """Return if the object under `key` is ours, raise Fenced if it is somebody else's."""
        try:
            header = bytes(await self.objects.get_range(key, 0, HEADER_BYTES))
        except NotFound:
            # Some stores answer "conflict" to a create racing another that then fails.
            raise Unavailable(
                "a create met another one that left nothing", **_place(slot)
            ) from None
        if header != own_header:
            raise Fenced("the slot belongs to another writer", **_place(slot))

    async def read_block(self, slot: Slot, length: int | None) -> Block:
        key = _key(slot.log_id, slot.segment, slot.block)
        try:
            buffer = await self.objects.get_range(key, 0, length)
        except NotFound:
            raise Corrupt("block is missing", **_place(slot)) from None
        return verified(slot, buffer)

    async def read_footer(self, log_id: int, segment: int) -> Block | None:
        """The last object nearly always is it. Behind a footer there can only be what an old writer
        had in flight when it was fenced, and before what the last block calls durable there is
        none: so a segment without one costs a few heads, read at once, however long it is."""
        rows = await self.objects.list(_folder(log_id, segment))
        if not rows:
            return None
        try:
            start = await self.objects.get_range(rows[-1].key, 0, _FOOTER_GUESS_BYTES)
        except NotFound:
            return None  # deleted this moment
        last = parse_header(start)
        slot = Slot(log_id, segment, last.block, 0)
        if last.kind != BlockKind.DATA:
            if last.total_bytes <= len(start):
                return verified(slot, start)
            return await self.read_block(slot, None)
        floor = _key(log_id, segment, last.durable_count)
        doubtful = [row.key for row in rows[:-1] if row.key >= floor]
        heads = await asyncio.gather(
            *(self.objects.get_range(key, 0, HEADER_BYTES) for key in doubtful)
        )
        for head in map(parse_header, heads):
            if head.kind != BlockKind.DATA:
                return await self.read_block(Slot(log_id, segment, head.block, 0), None)
        return None

    async def recover_segment(
        self, log_id: int, segment: int, persist: Persistence
    ) -> AsyncIterator[Block]:
        rows = await persist(lambda: self.objects.list(_folder(log_id, segment)))
        dense = takewhile(
            lambda pair: pair[1].key == _key(log_id, segment, pair[0]), enumerate(rows)
        )
        reads: deque[asyncio.Task[Block]] = deque()
        try:
            while True:
                while len(reads) < _RECOVERY_READS_COUNT and (pair := next(dense, None)):
                    read = partial(self.read_block, Slot(log_id, segment, pair[0], 0), None)
                    reads.append(asyncio.ensure_future(persist(read)))
                if not reads:
                    return
                block = await reads[0]
                reads.popleft()
                yield block
                if block.is_footer:
                    return
        finally:
            for pending in reads:
                pending.cancel()
            await asyncio.gather(*reads, return_exceptions=True)

    async def delete_segment(self, log_id: int, segment: int) -> None:
        for row in await self.objects.list(_folder(log_id, segment)):
            await self.objects.delete(row.key)

    async def close(self) -> None:
        await self.objects.close()


def verified(slot: Slot, buffer: Buffer) -> Block:
    """Parse a block and make sure that it is the one that belongs here."""
    try:
        block = parse_block(buffer)
    except WalError as error:
        raise Corrupt(error.message, **_place(slot)) from error
    header = block.header
    if (header.log_id, header.segment, header.block) != slot[:3]:
        raise Corrupt(
            f"found block {header.block} of segment {header.segment} of log {header.log_id}",
            **_place(slot),
        )
    return block


def _place(slot: Slot) -> dict[str, int]:
    return {"log_id": slot.log_id, "segment": slot.segment, "block": slot.block}


def _folder(log_id: int, segment: int) -> str:
    return f"logs/{log_id}/{segment:020d}/"


def _key(log_id: int, segment: int, block: int) -> str:
    return f"logs/{log_id}/{segment:020d}/{block:010d}"
