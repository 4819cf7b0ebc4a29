"""The bucket, and what is not in it yet: blocks on logstores read as objects, as in mode object."""

from __future__ import annotations

import asyncio
import builtins
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from wal_core.errors import Fenced, Unavailable, WalError
from wal_core.format.places import Slot
from wal_core.quorum.lane import REPLY_S, split
from wal_core.quorum.owned_tail import OwnedTail
from wal_core.quorum.seen_tail import Reader, SeenTail
from wal_core.stores.objects.base import NotFound, ObjectInfo, ObjectStore
from wal_core.types import Buffer

AnyTail: TypeAlias = OwnedTail | SeenTail

_READ_BYTES = 1024 * 1024
_KEY = re.compile(r"logs/(\d+)/(\d{20})/(\d{10})")


def key_of(log_id: int, segment: int, block: int) -> str:
    """Of a block, or a footer."""
    return f"logs/{log_id}/{segment:020d}/{block:010d}"


def _slot_of(key: str) -> Slot | None:
    match = _KEY.fullmatch(key)
    return Slot(int(match[1]), int(match[2]), int(match[3]), 0) if match else None


class TailObjects:
    """An ObjectStore. Blocks of claimed tails come from memory, else from the logstores in turn;
    of those that another process writes there is what was seen at the last look."""

    def __init__(self, bucket: ObjectStore, tails: Mapping[int, AnyTail]) -> None:
        self._bucket = bucket
        self._tails = tails
        self.location = bucket.location

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        await self._bucket.create(key, pieces)

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        slot = _slot_of(key)
        if slot is None:
            return await self._bucket.get_range(key, start, length)
        stored = await self._block(slot)
        return memoryview(stored)[start : None if length is None else start + length]

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        rows = [*await self._bucket.list(prefix, start_after)]
        for log_id, tail in self._tails.items():
            for number, part in tail.parts.items():
                slots_count = part.readable_count + part.is_chosen
                keys = (key_of(log_id, number, block) for block in range(slots_count))
                rows += [ObjectInfo(k, 0) for k in keys if k.startswith(prefix) and k > start_after]
        return sorted(rows)

    async def size(self, key: str) -> int | None:
        slot = _slot_of(key)
        if slot is None:
            return await self._bucket.size(key)
        try:
            return len(await self._block(slot))
        except NotFound:
            return None

    async def delete(self, *keys: str) -> None:
        await self._bucket.delete(*keys)

    async def close(self) -> None:
        await self._bucket.close()

    # -- the tail --------------------------------------------------------------------------

    async def _block(self, slot: Slot) -> Buffer:
        tail = self._tails.get(slot.log_id)
        part = None if tail is None else tail.parts.get(slot.segment)
        if part is None:
            raise NotFound(key_of(*slot[:3]))
        if part.final is not None and part.is_chosen and slot.block == part.final.end:
            return part.footer
        if slot.block >= part.readable_count:
            raise NotFound(key_of(*slot[:3]))
        stored = part.blocks.get(slot.block)
        if stored is not None:
            return stored
        return (await self.read_blocks(slot.log_id, slot.segment, slot.block, bytes_max=1))[0]

    async def read_blocks(
        self, log_id: int, segment: int, first: int, *, bytes_max: int = _READ_BYTES
    ) -> builtins.list[bytes]:
        """One at least, from whichever logstore has it. Raises Unavailable."""
        told = []
        for reader in self._readers(log_id, segment, first):
            try:
                async with asyncio.timeout(REPLY_S):
                    stored = await _read(reader, segment, first, bytes_max)
                if blocks := [*split(stored)]:
                    return blocks
                told.append(f"{reader.store} does not have it")
            except (WalError, TimeoutError) as error:
                told.append(f"{reader.store}: {error or 'no answer'}")
        tail = self._tails[log_id]
        if isinstance(tail, SeenTail):
            await tail.look()
            if segment not in tail.parts:
                raise NotFound(key_of(log_id, segment, first))  # it was uploaded meanwhile
        raise Unavailable(
            f"no logstore tells the block ({'; '.join(told) or 'none is up'})",
            log_id=log_id,
            segment=segment,
            block=first,
        )

    def _readers(self, log_id: int, segment: int, first: int) -> Sequence[Reader]:
        tail = self._tails.get(log_id)
        if isinstance(tail, OwnedTail) and (part := tail.parts.get(segment)) is not None:
            return tail.readers(part, first)
        if isinstance(tail, SeenTail) and (seen := tail.parts.get(segment)) is not None:
            return tail.readers(seen, first)
        raise NotFound(key_of(log_id, segment, first))


async def _read(reader: Reader, segment: int, first: int, bytes_max: int) -> bytes:
    """As who has the promise; once that is another's, as anybody: what is confirmed."""
    replica, asker = reader.replica, reader.asker
    if reader.recovering:
        try:
            return await replica.read(asker, segment, first, bytes_max, recovering=True)
        except Fenced:
            pass
    return await replica.read(asker, segment, first, bytes_max)
