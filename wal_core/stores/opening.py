"""From a location people write to the store that keeps segments there.

A marker object `woodpecker.json` states format and mode, so that data written in one mode, or by
a newer program, is never misread.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wal_core.clock import Clock, Rng, SystemClock, SystemRng
from wal_core.config import CloudSettings, LogConfig, Mode, is_cloud
from wal_core.errors import Invalid, Unavailable
from wal_core.format.versions import LOG
from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectStore
from wal_core.stores.objects.counted import CountedObjects
from wal_core.stores.objects.local_folder import LocalFolderStore
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.room import FolderDisk, Room
from wal_core.stores.segments.base import SegmentStore
from wal_core.stores.segments.file import FileSegmentStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.tally import StoreTally
from wal_core.types import Buffer

if TYPE_CHECKING:
    from wal_core.stores.objects.probe import Check

MARKER_KEY = "woodpecker.json"
COPYING_KEY = "copying.json"
"""Is there, and the marker is not, until a copy to this location is whole (wal_core/copy)."""
_MARKER_BYTES_MAX = 4096
_DEADLINE_S = 30


async def open_store(
    location: str,
    mode: Mode,
    *,
    cloud: CloudSettings | None = None,
    objects: ObjectStore | None = None,
    clock: Clock | None = None,
    rng: Rng | None = None,
) -> SegmentStore:
    """The store at a folder path, `memory:` or `s3://bucket/prefix`, made ready if it is new.

    A bucket is probed first. `cloud` says how to reach one. `objects` puts segments (mode object)
    into a given object store instead, unprobed and uncounted. Raises Invalid when the location
    holds data of another mode or format, cannot serve the mode, or cannot be trusted.
    """
    rng = rng or SystemRng()
    if mode not in ("file", "object"):
        raise Invalid(f"mode is {mode!r}, expected file or object")
    if objects is not None:
        if mode != "object":
            raise Invalid("an object store cannot hold segments of mode file")
        await _check_marker(objects, mode, rng)
        return ObjectSegmentStore(objects)
    if location == "memory:":
        if mode != "object":
            raise Invalid("memory: works in mode object only; mode file needs a folder")
        return _counted(MemoryStore())
    if is_cloud(location):
        if mode != "object":
            raise Invalid(f"{location}: a bucket works in mode object only")
        return await _open_bucket(location, cloud or CloudSettings(), clock or SystemClock(), rng)
    if "://" in location:
        raise Invalid(f"{location}: expected a folder, memory: or s3://BUCKET/PREFIX")
    room = Room(FolderDisk(Path(location)))
    folder = LocalFolderStore(Path(location), rng, room)
    try:
        await folder.open()
        await _check_marker(folder, mode, rng)
    except BaseException:
        await folder.close()
        raise
    if mode == "object":
        return _counted(folder, room)
    return FileSegmentStore(Path(location), objects=folder, room=room)


async def open_to_look(
    location: str, *, cloud: CloudSettings | None = None, rng: Rng | None = None
) -> SegmentStore:
    """The store of a folder or bucket that holds a log, in the mode its marker says.

    Nothing is written, locked or probed. Raises Invalid when there is no log of a format known
    here, Unavailable when nobody answers.
    """
    rng = rng or SystemRng()
    objects = objects_to_look_at(location, cloud, rng)
    try:
        mode = await _read_mode(objects)
        if mode is None:
            raise Invalid(f"{objects.location} holds no log: there is no {MARKER_KEY} in it")
        if mode == "file" and not isinstance(objects, LocalFolderStore):
            raise Invalid(f"{location}: its marker says mode file, and it is no folder")
    except BaseException:
        await objects.close()
        raise
    if isinstance(objects, LocalFolderStore) and mode == "file":
        return FileSegmentStore(objects.root, objects=objects)
    return ObjectSegmentStore(objects)


async def stored_mode(
    location: str, *, cloud: CloudSettings | None = None, rng: Rng | None = None
) -> Mode | None:
    """The mode of the data in a folder or bucket; None: there are none yet.

    Nothing is written, locked or probed. Raises Invalid when they are of no format known here,
    Unavailable when nobody answers.
    """
    objects = objects_to_look_at(location, cloud, rng or SystemRng())
    try:
        return await _read_mode(objects)
    finally:
        await objects.close()


def objects_to_look_at(location: str, cloud: CloudSettings | None, rng: Rng) -> ObjectStore:
    if is_cloud(location):
        # With a folder nobody pays for loading this.
        from wal_core.stores.objects.cloud import open_cloud  # noqa: PLC0415

        return open_cloud(location, cloud)
    if location == "memory:" or "://" in location:
        raise Invalid(f"{location}: expected a folder or s3://BUCKET/PREFIX")
    return LocalFolderStore(Path(location), rng)


async def _read_mode(objects: ObjectStore) -> Mode | None:
    """What the marker says; None without one. Raises Invalid, Unavailable."""

    def read() -> Awaitable[Buffer]:
        return objects.get_range(MARKER_KEY, 0, _MARKER_BYTES_MAX)

    persist = Persistence(LogConfig.preset("object"), SystemRng())
    # What a folder refuses now it refuses in a minute.
    patient = not isinstance(objects, LocalFolderStore)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            stored = await (persist(read) if patient else read())
    except TimeoutError:
        raise Unavailable(f"{objects.location} does not answer") from None
    except NotFound:
        return None
    found = _parse(bytes(stored))
    mode: Mode = "file" if found.get("mode") == "file" else "object"
    _compare(f"{objects.location}/{MARKER_KEY}", found, mode)
    return mode


async def examine_bucket(
    location: str, cloud: CloudSettings, *, clock: Clock, rng: Rng
) -> Sequence[Check]:
    """What an opening would check of a bucket, for people. Raises Invalid, Unavailable."""
    from wal_core.stores.objects.cloud_opening import examine  # noqa: PLC0415 - as below

    return await examine(location, cloud, clock=clock, rng=rng)


async def _open_bucket(
    location: str, settings: CloudSettings, clock: Clock, rng: Rng
) -> SegmentStore:
    # With a folder nobody pays for loading this.
    from wal_core.stores.objects.cloud_opening import open_trusted  # noqa: PLC0415

    async def finish(bucket: ObjectStore) -> None:
        stored = await _read_or_create_marker(bucket, "object")
        _compare(f"{bucket.location}/{MARKER_KEY}", _parse(stored), "object")

    bucket = await open_trusted(location, settings, finish, clock=clock, rng=rng)
    return _counted(bucket)


def _counted(objects: ObjectStore, room: Room | None = None) -> ObjectSegmentStore:
    tally = StoreTally()
    return ObjectSegmentStore(CountedObjects(objects, tally), room=room, tally=tally)


async def _check_marker(objects: ObjectStore, mode: Mode, rng: Rng) -> None:
    """Write the marker of a new location, compare that of an old one."""
    persist = Persistence(LogConfig.preset(mode), rng)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            stored = await persist(lambda: _read_or_create_marker(objects, mode))
    except TimeoutError:
        raise Unavailable(f"{objects.location} does not answer") from None
    _compare(f"{objects.location}/{MARKER_KEY}", _parse(stored), mode)


async def _read_or_create_marker(objects: ObjectStore, mode: Mode) -> bytes:
    try:
        return bytes(await objects.get_range(MARKER_KEY, 0, _MARKER_BYTES_MAX))
    except NotFound:
        await _refuse_unfinished_copy(objects)
        await create_marker(objects, mode)
    try:
        return bytes(await objects.get_range(MARKER_KEY, 0, _MARKER_BYTES_MAX))
    except NotFound:
        # Some stores answer "conflict" to a create racing another that then fails.
        raise Unavailable("the first opening met another one that left nothing") from None


async def create_marker(objects: ObjectStore, mode: Mode) -> None:
    """Make a location one that holds a log of this mode; of several who do, the first counts."""
    marker = {"format": LOG.version, "mode": mode}
    try:
        await objects.create(MARKER_KEY, [json.dumps(marker).encode() + b"\n"])
    except AlreadyExists:
        pass  # somebody opened it for the first time together with us: theirs counts


async def _refuse_unfinished_copy(objects: ObjectStore) -> None:
    if await objects.size(COPYING_KEY) is not None:
        raise Invalid(
            f"{objects.location} holds a copy that was cut short ({COPYING_KEY} says of what): "
            "repeat that `woodpecker-gateway copy` to complete it, or use an empty location"
        )


def _parse(stored: bytes) -> dict[str, Any]:
    try:
        found = json.loads(stored)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _compare(path: str, found: dict[str, Any], mode: Mode) -> None:
    version, found_mode = found.get("format"), found.get("mode")
    if not isinstance(version, int) or found_mode not in ("file", "object"):
        marker = json.dumps({"format": LOG.version, "mode": mode})
        raise Invalid(
            f"{path} is not a marker this program wrote; use an empty location, or, if the data "
            f"beside it are this program's and the marker is damaged, put {marker} into it"
        )
    LOG._replace(what=f"{path} says that the log there").check(version)
    if found_mode != mode:
        raise Invalid(
            f"{path} says the data there are in mode {found_mode}, asked for was {mode}: "
            f"start with mode {found_mode}, or use another location"
        )
