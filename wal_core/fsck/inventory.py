"""Everything that is stored of a log, and who speaks for it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from wal_core.clock import Rng
from wal_core.config import LogConfig
from wal_core.stores.manifests import LOG_FOLDERS, manifest_numbers
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore


async def stored_log_ids(store: SegmentStore, config: LogConfig, rng: Rng) -> list[int]:
    """Of all logs that were ever opened there: as their manifests say, or the folders of files."""
    persist = Persistence(config, rng)
    names = set()
    for folder in ("logs", "manifests") if store.segment_is_one_object else ("manifests",):
        rows = await persist(lambda folder=folder: store.objects.list(f"{folder}/"))  # type: ignore[misc]
        names |= {row.key.split("/")[1] for row in rows}
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


class Inventory:
    """The listing; `name` crosses off, what is left at the end nothing speaks for."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._keys = sorted(sizes)
        self._named: set[str] = set()

    @classmethod
    async def of(cls, objects: ObjectStore, log_id: int, persist: Persistence) -> Inventory:
        sizes: dict[str, int] = {}
        for folder in LOG_FOLDERS:
            prefix = f"{folder}/{log_id}/"
            rows = await persist(lambda prefix=prefix: objects.list(prefix))  # type: ignore[misc]
            sizes |= {row.key: row.size_bytes for row in rows}
        return cls(sizes)

    def name(self, *keys: str) -> None:
        self._named.update(keys)

    def is_named(self, key: str) -> bool:
        return key in self._named

    def under(self, prefix: str) -> list[str]:
        """Keys that begin with `prefix`, in order."""
        # "\U0010ffff" sorts behind every character a key can have.
        low = bisect_left(self._keys, prefix)
        return self._keys[low : bisect_left(self._keys, prefix + "\U0010ffff")]

    def unnamed(self, keys: Iterable[str] | None = None) -> list[str]:
        """Of some keys, or of all."""
        return [key for key in (self._keys if keys is None else keys) if key not in self._named]

    def segments(self, log_id: int) -> list[int]:
        """Numbers of all that anything is there of, ascending."""
        names = {key.split("/")[2].removesuffix(".seg") for key in self.under(f"logs/{log_id}/")}
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def sealed_folders(self, log_id: int) -> set[int]:
        """Numbers of the manifests that folders below sealed/ were made for."""
        names = {key.split("/")[2].partition("-")[0] for key in self.under(f"sealed/{log_id}/")}
        return {int(name) for name in names if name.isascii() and name.isdigit()}

    def manifests(self, log_id: int) -> list[int]:
        """Numbers of all, ascending."""
        return manifest_numbers(log_id, self.under(f"manifests/{log_id}/"))
