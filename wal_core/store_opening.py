"""From a location people write to the store that keeps segments there.

A marker object `woodpecker.json` states format and mode, so that data written in one mode, or by
a newer program, is never misread.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from wal_core.clock import Rng, SystemRng
from wal_core.config import LogConfig, Mode
from wal_core.errors import Invalid, Unavailable
from wal_core.object_store.base import AlreadyExists, NotFound, ObjectStore
from wal_core.object_store.local_folder import LocalFolderStore
from wal_core.object_store.memory import MemoryStore
from wal_core.persistence import Persistence
from wal_core.segment_store.base import SegmentStore
from wal_core.segment_store.file import FileSegmentStore
from wal_core.segment_store.object import ObjectSegmentStore

MARKER_KEY = "woodpecker.json"
FORMAT_VERSION = 1
_MARKER_BYTES_MAX = 4096
_DEADLINE_S = 30


async def open_store(
    location: str, mode: Mode, *, objects: ObjectStore | None = None, rng: Rng | None = None
) -> SegmentStore:
    """The store at a folder path or `memory:`, made ready if it is new.

    `objects` puts segments (mode object) into a given object store instead. Raises Invalid when
    the location holds data of another mode or a newer format, or cannot serve the mode.
    """
    if mode not in ("file", "object"):
        raise Invalid(f"mode is {mode!r}, expected file or object")
    if objects is not None:
        if mode != "object":
            raise Invalid("an object store cannot hold segments of mode file")
        await _check_marker(objects, mode, rng or SystemRng())
        return ObjectSegmentStore(objects)
    if location == "memory:":
        if mode != "object":
            raise Invalid("memory: works in mode object only; mode file needs a folder")
        return ObjectSegmentStore(MemoryStore())
    if "://" in location:
        raise Invalid(f"{location}: expected a folder or memory:")
    rng = rng or SystemRng()
    folder = LocalFolderStore(Path(location), rng)
    try:
        await folder.open()
        await _check_marker(folder, mode, rng)
    except BaseException:
        await folder.close()
        raise
    if mode == "object":
        return ObjectSegmentStore(folder)
    await folder.close()
    return FileSegmentStore(Path(location))


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
        marker = {"format": FORMAT_VERSION, "mode": mode}
        try:
            await objects.create(MARKER_KEY, [json.dumps(marker).encode() + b"\n"])
        except AlreadyExists:
            pass  # somebody opened it for the first time together with us: theirs counts
        return bytes(await objects.get_range(MARKER_KEY, 0, _MARKER_BYTES_MAX))


def _parse(stored: bytes) -> dict[str, Any]:
    try:
        found = json.loads(stored)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _compare(path: str, found: dict[str, Any], mode: Mode) -> None:
    version, found_mode = found.get("format"), found.get("mode")
    if not isinstance(version, int) or found_mode not in ("file", "object"):
        raise Invalid(f"{path} is not a marker this program wrote; use an empty location")
    if version > FORMAT_VERSION:
        raise Invalid(
            f"{path} says format {version}, this program knows up to {FORMAT_VERSION}: "
            "run a newer version of it"
        )
    if found_mode != mode:
        raise Invalid(
            f"{path} says the data there are in mode {found_mode}, asked for was {mode}: "
            f"start with mode {found_mode}, or use another location"
        )
