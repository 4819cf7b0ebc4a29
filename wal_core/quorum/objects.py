"""The bucket, and what is not in it yet: blocks on logstores read as objects, as in mode object."""

from __future__ import annotations

import asyncio
import builtins
import re
from collections.abc import Mapping, Sequence

from wal_core.errors import Fenced, Unavailable, WalError
from wal_core.format.places import Slot
from wal_core.quorum.lane import REPLY_S, Lane, split
from wal_core.quorum.owned_tail import OwnedTail
from wal_core.quorum.part import Part
from wal_core.stores.objects.base import NotFound, ObjectInfo, ObjectStore
from wal_core.types import Buffer

_READ_BYTES = 1024 * 1024
_KEY = re.compile(r"logs/(\d+)/(\d{20})/(\d{10})")


def key_of(log_id: int, segment: int, block: int) -> str:
    """Of a block, or a footer."""
    return f"logs/{log_id}/{segment:020d}/{block:010d}"


def _slot_of(key: str) -> Slot | None:
    match = _KEY.fullmatch(key)
    return Slot(int(match[1]), int(match[2]), int(match[3]), 0) if match else None


class TailObjects:
    """An ObjectStore. Blocks of claimed tails come from memory, else from the logstores in turn."""

    def __init__(self, bucket: ObjectStore, tails: Mapping[int, OwnedTail]) -> None:
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
        tail = self._tails.get(log_id)
        part = None if tail is None else tail.parts.get(segment)
        if tail is None or part is None:
            raise NotFound(key_of(log_id, segment, first))
        told = []
        for lane in tail.readers(part, first):
            try:
                async with asyncio.timeout(REPLY_S):
                    stored = await _read(lane, part, first, bytes_max)
                if blocks := [*split(stored)]:
                    return blocks
                told.append(f"{lane.member.store} does not have it")
            except (WalError, TimeoutError) as error:
                told.append(f"{lane.member.store}: {error or 'no answer'}")
        raise Unavailable(
            f"no logstore tells the block ({'; '.join(told) or 'none is up'})",
            log_id=log_id,
            segment=segment,
            block=first,
        )


async def _read(lane: Lane, part: Part, first: int, bytes_max: int) -> bytes:
    """As who has the promise; once that is another's, as anybody: what is confirmed."""
    assert lane.replica is not None
    try:
        return await lane.replica.read(lane.asker, part.number, first, bytes_max, recovering=True)
    except Fenced:
        return await lane.replica.read(lane.asker, part.number, first, bytes_max)
