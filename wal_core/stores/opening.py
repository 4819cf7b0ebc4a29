"""From a location people write to the store that keeps segments there.

A marker object `woodpecker.json` states format and mode, so that data written in one mode, or by
a newer program, is never misread.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

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
_MODES = get_args(Mode)
_CLUSTER_BYTES = 16


class Opened(NamedTuple):
    """A place for objects whose marker is in order."""

    objects: ObjectStore
    room: Room
    tally: StoreTally
    cluster: str
    """Mode quorum: whom logstores belong to that keep its tails. Drawn with the marker."""


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
    holds data of another mode or format, cannot serve the mode, or cannot be trusted. Mode quorum
    wants more: wal_core.quorum.opening.
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
        tally = StoreTally()
        return ObjectSegmentStore(CountedObjects(MemoryStore(), tally), tally=tally)
    if mode == "object":
        found = await open_objects(location, mode, cloud=cloud, clock=clock, rng=rng)
        return ObjectSegmentStore(found.objects, room=found.room, tally=found.tally)
    if is_cloud(location):
        raise Invalid(f"{location}: a bucket works in modes object and quorum only")
    room, folder, _ = await _open_folder(location, mode, rng)
    return FileSegmentStore(Path(location), objects=folder, room=room)


async def open_objects(
    location: str,
    mode: Mode,
    *,
    cloud: CloudSettings | None = None,
    objects: ObjectStore | None = None,
    clock: Clock | None = None,
    rng: Rng | None = None,
) -> Opened:
    """A folder or bucket for objects, made ready for a mode if it is new. Counted; `objects` and
    what is raised: as `open_store`."""
    rng, tally = rng or SystemRng(), StoreTally()
    if objects is not None:
        return Opened(objects, Room(), tally, await _check_marker(objects, mode, rng))
    if is_cloud(location):
        settings = cloud or CloudSettings()
        bucket, cluster = await _open_bucket(location, mode, settings, clock or SystemClock(), rng)
        return Opened(CountedObjects(bucket, tally), Room(), tally, cluster)
    room, folder, cluster = await _open_folder(location, mode, rng)
    return Opened(CountedObjects(folder, tally), room, tally, cluster)


async def _open_folder(location: str, mode: Mode, rng: Rng) -> tuple[Room, LocalFolderStore, str]:
    if "://" in location or location == "memory:":
        raise Invalid(f"{location}: expected a folder or s3://BUCKET/PREFIX")
    room = Room(FolderDisk(Path(location)))
    folder = LocalFolderStore(Path(location), rng, room)
    try:
        await folder.open()
        cluster = await _check_marker(folder, mode, rng)
    except BaseException:
        await folder.close()
        raise
    return room, folder, cluster


async def open_to_look(
    location: str, *, cloud: CloudSettings | None = None, rng: Rng | None = None
) -> SegmentStore:
    """The store of a folder or bucket that holds a log, in the mode its marker says.

    Nothing is written, locked or probed. Of mode quorum it is what was uploaded: the rest lies on
    logstores. Raises Invalid when there is no log of a format known here, Unavailable when nobody
    answers.
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
    return ObjectSegmentStore(objects, mode=mode)


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
    named = found.get("mode")
    mode = cast("Mode", named) if named in _MODES else "object"
    _compare(f"{objects.location}/{MARKER_KEY}", found, mode)
    return mode


async def examine_bucket(
    location: str, cloud: CloudSettings, *, clock: Clock, rng: Rng
) -> Sequence[Check]:
    """What an opening would check of a bucket, for people. Raises Invalid, Unavailable."""
    from wal_core.stores.objects.cloud_opening import examine  # noqa: PLC0415 - as below

    return await examine(location, cloud, clock=clock, rng=rng)


async def _open_bucket(
    location: str, mode: Mode, settings: CloudSettings, clock: Clock, rng: Rng
) -> tuple[ObjectStore, str]:
    # With a folder nobody pays for loading this.
    from wal_core.stores.objects.cloud_opening import open_trusted  # noqa: PLC0415

    cluster = ""

    async def finish(bucket: ObjectStore) -> None:
        nonlocal cluster
        cluster = _cluster_in(bucket, await _read_or_create_marker(bucket, mode, rng), mode)

    bucket = await open_trusted(location, settings, finish, clock=clock, rng=rng)
    return bucket, cluster


async def _check_marker(objects: ObjectStore, mode: Mode, rng: Rng) -> str:
    """Write the marker of a new location, compare that of an old one; whom its logstores are to
    belong to."""
    persist = Persistence(LogConfig.preset(mode), rng)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            stored = await persist(lambda: _read_or_create_marker(objects, mode, rng))
    except TimeoutError:
        raise Unavailable(f"{objects.location} does not answer") from None
    return _cluster_in(objects, stored, mode)


def _cluster_in(objects: ObjectStore, stored: bytes, mode: Mode) -> str:
    path, found = f"{objects.location}/{MARKER_KEY}", _parse(stored)
    _compare(path, found, mode)
    if mode != "quorum":
        return ""
    cluster = found.get("cluster")
    if not isinstance(cluster, str) or not cluster:
        raise Invalid(f"{path} does not say which cluster it is: restore it from a copy")
    return cluster


async def _read_or_create_marker(objects: ObjectStore, mode: Mode, rng: Rng) -> bytes:
    try:
        return bytes(await objects.get_range(MARKER_KEY, 0, _MARKER_BYTES_MAX))
    except NotFound:
        await _refuse_unfinished_copy(objects)
        drawn = base64.urlsafe_b64encode(rng.random_bytes(_CLUSTER_BYTES)).decode().rstrip("=")
        await create_marker(objects, mode, drawn)
    try:
        return bytes(await objects.get_range(MARKER_KEY, 0, _MARKER_BYTES_MAX))
    except NotFound:
        # Some stores answer "conflict" to a create racing another that then fails.
        raise Unavailable("the first opening met another one that left nothing") from None


async def create_marker(objects: ObjectStore, mode: Mode, cluster: str = "") -> None:
    """Make a location one that holds a log of this mode; of several who do, the first counts.
    `cluster` is for mode quorum."""
    marker: dict[str, object] = {"format": LOG.version, "mode": mode}
    if mode == "quorum":
        marker["cluster"] = cluster
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
    if not isinstance(version, int) or found_mode not in _MODES:
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
