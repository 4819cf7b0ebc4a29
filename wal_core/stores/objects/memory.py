"""Objects in a dictionary: for tests, and for a broker whose data may vanish with the process."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectInfo
from wal_core.types import Buffer


class MemoryStore:
    """Keeps copies, so a caller may reuse its buffers afterwards."""

    location = "memory:"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._keys: list[str] = []

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        if key in self.objects:
            raise AlreadyExists(key)
        self.objects[key] = b"".join(pieces)
        insort(self._keys, key)

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        try:
            body = self.objects[key]
        except KeyError:
            raise NotFound(key) from None
        if start == 0 and (length is None or length >= len(body)):
            return body
        return body[start : None if length is None else start + length]

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        found = []
        for at in range(bisect_left(self._keys, prefix), len(self._keys)):
            key = self._keys[at]
            if not key.startswith(prefix):
                break
            if key > start_after:
                found.append(ObjectInfo(key, len(self.objects[key])))
        return found

    async def size(self, key: str) -> int | None:
        body = self.objects.get(key)
        return None if body is None else len(body)

    async def delete(self, *keys: str) -> None:
        for key in keys:
            if self.objects.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]

    async def close(self) -> None:
        """Nothing to release."""
