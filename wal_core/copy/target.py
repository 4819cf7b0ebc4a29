"""Where a copy goes: an empty location, or the same copy that was cut short before.

While a copy is under way `copying.json` says from where, and there is no marker, so nobody takes
the location for a log, nor for an empty one.
"""

from __future__ import annotations

import json
from pathlib import Path

from wal_core.clock import Rng
from wal_core.config import CloudSettings, Mode, is_cloud
from wal_core.errors import Invalid
from wal_core.format.versions import LOG
from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectStore
from wal_core.stores.objects.local_folder import LocalFolderStore
from wal_core.stores.opening import COPYING_KEY, create_marker, objects_to_look_at
from wal_core.stores.segments.base import SegmentStore
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.stores.segments.object import ObjectSegmentStore

_NOTE_BYTES_MAX = 8192


async def open_to_copy(
    location: str, mode: Mode, source: str, *, cloud: CloudSettings | None, rng: Rng
) -> SegmentStore:
    """The store to copy the log at `source` into. Raises Invalid when something else is there."""
    if mode == "file" and is_cloud(location):
        raise Invalid(f"{location}: a bucket works in mode object only")
    objects = objects_to_look_at(location, cloud, rng)
    try:
        note = json.dumps({"format": LOG.version, "mode": mode, "from": source}).encode() + b"\n"
        is_begun = await _is_begun(objects, note)
        if isinstance(objects, LocalFolderStore):
            await objects.open()  # not before: what is refused is left as it was
        if not is_begun:
            await _claim(objects, note)
    except BaseException:
        await objects.close()
        raise
    if mode == "file":
        assert isinstance(objects, LocalFolderStore)
        return FileSegmentStore(Path(location), objects=objects)
    return ObjectSegmentStore(objects)


async def _is_begun(objects: ObjectStore, note: bytes) -> bool:
    """Whether this very copy was begun before; else nothing is there. Raises Invalid."""
    try:
        found = bytes(await objects.get_range(COPYING_KEY, 0, _NOTE_BYTES_MAX))
    except NotFound:
        rows = await objects.list("")
        if rows:
            raise Invalid(
                f"{objects.location} is not empty (there is {rows[0].key}): "
                "name an empty or a new location to copy to"
            ) from None
        return False
    if found != note:
        raise Invalid(
            f"{objects.location} holds another copy that was cut short: "
            f"{found.decode(errors='replace').strip()}; name an empty location, or repeat that one"
        )
    return True


async def _claim(objects: ObjectStore, note: bytes) -> None:
    try:
        await objects.create(COPYING_KEY, [note])
    except AlreadyExists:
        raise Invalid(f"another copy to {objects.location} has just begun") from None


async def finish_target(objects: ObjectStore, mode: Mode) -> None:
    """From now on it is a log."""
    await create_marker(objects, mode)
    await objects.delete(COPYING_KEY)
