"""Objects that a compaction wrote and did not live to name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wal_core.format.chain import Sealed
from wal_core.format.sealed_index import SealedIndex
from wal_core.stores.manifests import Manifest
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.upkeep.compaction import Source


async def find_orphans(
    objects: ObjectStore,
    log_id: int,
    manifest: Manifest,
    load: Callable[[Sealed], Awaitable[Source]],
    persist: Persistence,
) -> list[str]:
    """Keys below sealed/ that no manifest can ever name. The caller runs no compaction meanwhile.

    A folder bears the number of the manifest it was written for, and is only ever referenced by
    sealed segments of that number or a higher one. So only what is newer than the last sweep is
    looked at; and what is newer than the manifest is none of our business: others may have the log
    by now and have sealed more.
    """
    prefix = f"sealed/{log_id}/"
    start_after = f"{prefix}{manifest.swept + 1:020d}" if manifest.swept >= 0 else ""
    end = f"{prefix}{manifest.number + 1:020d}"
    listed = await persist(lambda: objects.list(prefix, start_after))
    rows = [row for row in listed if row.key < end]
    if not rows:
        return []
    named = {key for garbage in manifest.garbage for key in garbage.keys}
    for sealed in manifest.sealed:
        if sealed.index > start_after:
            named.add(sealed.index)
            tables = (await load(sealed)).tables
            assert isinstance(tables, SealedIndex)
            named.update(row.key for row in tables.objects)
    return [row.key for row in rows if row.key not in named]
