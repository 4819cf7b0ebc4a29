"""A disk of a given size that is not real, and an object store that lies on it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from wal_core.stores.objects.base import ObjectInfo, ObjectStore
from wal_core.stores.room import Room
from wal_core.types import Buffer


class SmallDisk:
    """A wal_core.stores.room.Disk; `filled_bytes` is what others have on it."""

    location = "small disk"

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.stored_bytes = 0
        self.filled_bytes = 0
        self.reserve_bytes = 0
        self.looks_count = 0

    def free_bytes(self) -> int:
        self.looks_count += 1
        return self.left_bytes

    @property
    def left_bytes(self) -> int:
        used_bytes = self.stored_bytes + self.filled_bytes + self.reserve_bytes
        return max(self.size_bytes - used_bytes, 0)

    def has_reserve(self, count_bytes: int) -> bool:
        return self.reserve_bytes >= count_bytes

    def reserve(self, count_bytes: int) -> None:
        self.take(count_bytes)
        self.stored_bytes -= count_bytes
        self.reserve_bytes = count_bytes

    def release(self) -> None:
        self.reserve_bytes = 0

    def take(self, count_bytes: int) -> None:
        if count_bytes > self.left_bytes:
            raise OSError(errno.ENOSPC, "planned: no space left")
        self.stored_bytes += count_bytes

    def fill(self) -> None:
        """Others take all there is."""
        self.filled_bytes += self.left_bytes


class SmallObjectStore:
    """Wraps `inner`; what does not fit is refused as a folder refuses it."""

    def __init__(self, inner: ObjectStore, disk: SmallDisk, room: Room) -> None:
        self.inner = inner
        self.location = inner.location
        self.disk = disk
        self._room = room

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        count_bytes = sum(map(len, pieces))
        try:
            self.disk.take(count_bytes)
        except OSError as error:
            raise self._room.refused(self.location, error) from error
        try:
            await self.inner.create(key, pieces)
        except BaseException:
            self.disk.stored_bytes -= count_bytes
            raise

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        return await self.inner.get_range(key, start, length)

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        return await self.inner.list(prefix, start_after)

    async def size(self, key: str) -> int | None:
        return await self.inner.size(key)

    async def delete(self, *keys: str) -> None:
        for key in keys:
            self.disk.stored_bytes -= await self.inner.size(key) or 0
            await self.inner.delete(key)

    async def close(self) -> None:
        await self.inner.close()
