"""Objects as files in a folder, with conditional create and real durability.

A create writes a temporary file, syncs it, links it to its name (which fails if the name exists)
and syncs the folder. Several processes may share a folder.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from wal_core.clock import Rng
from wal_core.errors import Invalid, Unavailable
from wal_core.stores.at_hand import AtHand
from wal_core.stores.direct_io import Staging
from wal_core.stores.files import create_file, make_folder, opened, pread_exact, sync_folder
from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectInfo
from wal_core.stores.room import Room
from wal_core.types import Buffer

_TEMPORARY = ".creating"
_READERS_MAX_COUNT = 8
_CREATORS_MAX_COUNT = 8
_STAGING_BYTES = 1024 * 1024
"""Per thread. Larger: fewer system calls per object."""

T = TypeVar("T")


class LocalFolderStore:
    """An object store over `root`. All file work happens in a few threads."""

    def __init__(self, root: Path, rng: Rng, room: Room | None = None) -> None:
        self.root = root
        self._room = room or Room()
        self.location = str(root)
        self._temporary = root / _TEMPORARY
        self._unique = rng.random_bytes(8).hex()
        self._created_count = 0
        self._folders_known: set[Path] = set()
        self._local = threading.local()
        self.at_hand = AtHand()
        # Apart, so that none waits for another: whoever writes for readers, or for a deletion.
        self._readers = ThreadPoolExecutor(_READERS_MAX_COUNT, "wal-folder-read")
        self._creators = ThreadPoolExecutor(_CREATORS_MAX_COUNT, "wal-folder-create")
        self._deleter = ThreadPoolExecutor(1, "wal-folder-delete")

    async def open(self) -> None:
        """Make the folder ready and clear what creates cut short by a crash have left.

        Another process may be writing one of those this moment: its link then fails, it sees
        Unavailable and repeats the create, so clearing is safe.
        """
        await self._run(self._creators, self._prepare)

    def _prepare(self) -> None:
        make_folder(self._temporary)
        for leftover in self._temporary.iterdir():
            leftover.unlink(missing_ok=True)

    async def create(self, key: str, pieces: Sequence[Buffer]) -> None:
        path = self._path(key)
        self._created_count += 1
        temporary = self._temporary / f"{self._unique}-{self._created_count}"
        await self._run(self._creators, lambda: self._create(path, pieces, temporary))

    def _create(self, path: Path, pieces: Sequence[Buffer], temporary: Path) -> None:
        known = path.parent in self._folders_known
        if not known:
            make_folder(path.parent)
            self._folders_known.add(path.parent)
        try:
            create_file(path, pieces, temporary, self._staging())
        except FileExistsError:
            # Whoever created it may have crashed before syncing the folder; the caller will
            # build on the object being there for ever, so make sure that it is.
            sync_folder(path.parent)
            raise AlreadyExists(path.name) from None
        except FileNotFoundError:
            self._folders_known.discard(path.parent)
            if not known:
                raise
            # The folder has gone with the last object in it: make it again.
            self._create(path, pieces, temporary)

    def _staging(self) -> Staging:
        """This thread's memory for large objects; made when the first one comes."""
        staging: Staging | None = getattr(self._local, "staging", None)
        if staging is None:
            staging = self._local.staging = Staging(_STAGING_BYTES)
        return staging

    async def get_range(self, key: str, start: int, length: int | None) -> Buffer:
        path = self._path(key)
        is_kept = self.at_hand.wants(key)

        def read() -> bytes:
            with opened(path, os.O_RDONLY) as fd:
                if is_kept:
                    self.at_hand.keep(key, fd)
                wanted = os.fstat(fd).st_size - start if length is None else length
                return pread_exact(fd, max(wanted, 0), start)

        try:
            return await self._run(self._readers, read)
        except _Missing:
            raise NotFound(key) from None

    async def list(self, prefix: str, start_after: str = "") -> Sequence[ObjectInfo]:
        def walk() -> list[ObjectInfo]:
            folder = self.root / prefix.rpartition("/")[0]
            found = []
            if folder.is_dir():
                # A creator killed between link and sync left a name that might still vanish;
                # whoever lists is about to build on it.
                sync_folder(folder)
            for path in folder.rglob("*") if folder.is_dir() else ():
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix) and key > start_after and not key.startswith("."):
                    status = path.stat()
                    if path.is_file():
                        found.append(ObjectInfo(key, status.st_size))
            return sorted(found)

        return await self._run(self._readers, walk)

    async def size(self, key: str) -> int | None:
        path = self._path(key)
        try:
            return await self._run(self._readers, lambda: path.stat().st_size)
        except _Missing:
            return None

    async def delete(self, *keys: str) -> None:
        paths = [self._path(key) for key in keys]
        await self._run(self._deleter, lambda: _unlink(self.root, paths))
        self.at_hand.let_go()

    async def close(self) -> None:
        self.at_hand.close()
        for threads in (self._readers, self._creators, self._deleter):
            threads.shutdown(wait=False, cancel_futures=True)

    def _path(self, key: str) -> Path:
        if not key or any(part in ("", ".", "..") or part[0] == "." for part in key.split("/")):
            raise Invalid(f"not an object key: {key!r}")
        return self.root / key

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        """Run in a thread; what the system refuses may pass, so it becomes Unavailable."""
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except FileNotFoundError as error:
            raise _Missing(f"{self.location}: {error}") from error
        except OSError as error:
            raise self._room.refused(self.location, error) from error


def _unlink(root: Path, paths: Sequence[Path]) -> None:
    """Remove files, and the folders below `root` that this leaves empty: they would slow listings
    down for ever."""
    for path in paths:
        path.unlink(missing_ok=True)
    for parent in sorted({path.parent for path in paths}):
        if parent.is_dir():
            sync_folder(parent)
        for folder in (parent, *parent.parents):
            if folder == root:
                break
            try:
                folder.rmdir()
            except OSError:
                break  # not empty, or gone already


class _Missing(Unavailable):
    """A path was not there: NotFound for a reader, worth another try for a create."""
