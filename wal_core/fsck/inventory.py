"""Every object of a log, and which of them something names."""

from __future__ import annotations

from collections.abc import Iterable

from wal_core.object_store.base import ObjectStore
from wal_core.persistence import Persistence


class Inventory:
    """The listing; `name` crosses off, what is left at the end are orphans."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = sizes
        self._named: set[str] = set()

    @classmethod
    async def of(cls, objects: ObjectStore, log_id: int, persist: Persistence) -> Inventory:
        sizes: dict[str, int] = {}
        for folder in ("logs", "manifests", "sealed"):
            prefix = f"{folder}/{log_id}/"
            rows = await persist(lambda prefix=prefix: objects.list(prefix))  # type: ignore[misc]
            sizes |= {row.key: row.size_bytes for row in rows}
        return cls(sizes)

    def name(self, keys: Iterable[str]) -> None:
        self._named.update(keys)

    def under(self, prefix: str) -> list[str]:
        return [key for key in self.sizes if key.startswith(prefix)]

    def unnamed(self) -> list[str]:
        return [key for key in self.sizes if key not in self._named]
