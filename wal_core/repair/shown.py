"""A bucket in which nothing is seen of a log but what counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wal_core.stores.manifests import LOG_FOLDERS
from wal_core.stores.objects.base import NotFound, ObjectInfo, ObjectStore
from wal_core.types import Buffer


class Shown:
    """An ObjectStore over another one. What is created here goes there, and is seen.

    `keys`: those of the log that are seen, with what they hold where they are not stored at all.
    """

    def __init__(self, objects: ObjectStore, log_id: int, keys: Mapping[str, bytes | None]) -> None:
        self._objects = objects
        self._prefixes = tuple(f"{folder}/{log_id}/" for folder in LOG_FOLDERS)
        self._keys = dict(keys)
        self.location = objects.location
        self.created: set[str] = set()

    def _is_seen(self, key: str) -> bool:
        return key in self._keys or key in self.created or not key.startswith(self._prefixes)

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        self.created.add(key)
        await self._objects.create(key, pieces)

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        held = self._keys.get(key)
        if held is not None:
            return held[start : None if length is None else start + length]
        if not self._is_seen(key):
            raise NotFound(key)
        return await self._objects.get_range(key, start, length)

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        rows = [
            row for row in await self._objects.list(prefix, start_after) if self._is_seen(row.key)
        ]
        rows += [
            ObjectInfo(key, len(held))
            for key, held in self._keys.items()
            if held is not None and key.startswith(prefix) and key > start_after
        ]
        return sorted(rows)

    async def size(self, key: str) -> int | None:
        held = self._keys.get(key)
        if held is not None:
            return len(held)
        return await self._objects.size(key) if self._is_seen(key) else None

    async def delete(self, *keys: str) -> None:
        await self._objects.delete(*keys)

    async def close(self) -> None:
        """The other one is closed by who opened it."""
