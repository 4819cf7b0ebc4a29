"""How much more fits where a log is kept, and what to do when that is little.

On a disk there are two levels. While less than `free_bytes_min` would be left, what clients send is
refused (`admit`): metadata and deletions go on. When the disk is full all the same, because
somebody else filled it, a file that was set aside for this is given up: it makes room for what
waits, and for deletions, which alone go on then (`admit_change`). Both end by themselves.

A bucket, or memory, never lacks room: a Room without a disk.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from wal_core.config import LogConfig
from wal_core.errors import NoRoom, Unavailable
from wal_core.stores.files import opened, pwrite_all, sync_folder

RESERVE_NAME = ".reserve"
LOOK_S = 0.5
"""How old a measurement may be while somebody writes; how often it is taken for want of room."""
RESUME_SHARE = 8
"""So large a part of `free_bytes_min` must be there besides, before clients are let in again."""
RESUME_BYTES_MIN = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)

_logger = logging.getLogger(__name__)


TakeRoom = Callable[[int], AbstractContextManager[None]]
"""For so many bytes that are written inside of it. Raises NoRoom."""


class Disk(Protocol):
    """What a Room asks of the file system; may block. Errors: OSError."""

    location: str

    def free_bytes(self) -> int:
        """What is left for us; without the reserve, if that is set aside."""
        ...

    def has_reserve(self, count_bytes: int) -> bool: ...
    def reserve(self, count_bytes: int) -> None: ...
    def release(self) -> None: ...


class FolderDisk:
    """The file system of a folder; the reserve is a file in it."""

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)
        self._folder = folder
        self._path = folder / RESERVE_NAME

    def free_bytes(self) -> int:
        status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize

    def has_reserve(self, count_bytes: int) -> bool:
        if not count_bytes:
            return True
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return False
        return status.st_size >= count_bytes <= status.st_blocks * 512

    def reserve(self, count_bytes: int) -> None:
        with opened(self._path, os.O_WRONLY | os.O_CREAT) as fd:
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(fd, 0, count_bytes)
                else:
                    pwrite_all(fd, [bytes(count_bytes)], 0)
                os.fsync(fd)
            except OSError:
                self.release()
                raise
        sync_folder(self._folder)

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        sync_folder(self._folder)


class _Watcher(NamedTuple):
    """A log in the store."""

    unconfirmed: Callable[[], int]
    changed: Callable[[], None]


class Room:
    """Belongs to a store, and is shared by its logs. Each does `open`, then `watch`, `close`; all
    else may be called at any time."""

    def __init__(self, disk: Disk | None = None, *, remedy: str = "delete some") -> None:
        self._disk = disk
        self._remedy = remedy  # for people who are told that there is none
        self._free_bytes_min = 0
        self._reserve_bytes = 0
        self._opens_count = 0  # of logs in the store
        self._has_reserve = False
        self._left_bytes = 0  # of what was measured last, for `admit` to give away
        self._given_bytes = 0  # in all
        self._taken_bytes = 0  # of what `taking` is told of, which may be written or not
        self._looked_s = -float("inf")
        self._loop: asyncio.AbstractEventLoop | None = None  # on which it was opened last
        self._looking: asyncio.Task[None] | None = None
        self._statter: ThreadPoolExecutor | None = None
        self._watchers: list[_Watcher] = []
        self.is_low = False
        """Clients may not add to the log. Whoever can give space back should hurry."""
        self.is_spent = False
        """The disk was full: the reserve has been given up, or is about to be."""

    async def open(self, config: LogConfig) -> None:
        """Set the reserve aside, if there is room for it."""
        self._opens_count += 1
        if self._disk is None:
            return
        self._loop = asyncio.get_running_loop()
        self._free_bytes_min = config.free_bytes_min
        self._reserve_bytes = config.reserve_bytes
        if self._statter is None:  # statvfs waits where a network disk does
            self._statter = ThreadPoolExecutor(1, "wal-room")
        await self._look()
        if self._reserve_bytes and not self._has_reserve:
            _logger.warning("%s has no room for a reserve", self._location)

    def watch(
        self, unconfirmed: Callable[[], int], changed: Callable[[], None]
    ) -> Callable[[], None]:
        """Say what is on its way to the disk, and who wants to know that room began to lack; until
        the result is called."""
        watcher = _Watcher(unconfirmed, changed)
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    async def close(self) -> None:
        """Once for each `open`. The reserve stays, for a start on a full disk."""
        self._opens_count -= 1
        if self._opens_count:
            return
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))
        if self._statter is not None:
            self._statter.shutdown(wait=False)
            self._statter = None

    # -- who wants to write ----------------------------------------------------------------

    def admit(self, count_bytes: int) -> None:
        """So much is added that can wait: by a client, or by a compaction that only tidies. Raises
        NoRoom, and goes on to until there is room."""
        if not self._is_open or not (self._free_bytes_min or self.is_low):
            return
        if self._left_bytes < count_bytes and not self.is_low:
            self._begin_to_lack()
        if self.is_low:
            raise NoRoom(f"{self._location} has no room for more records; {self._remedy}")
        self._give(count_bytes)
        self._look_if_due()

    @contextmanager
    def taking(self, count_bytes: int, *, can_wait: bool = False) -> Iterator[None]:
        """So much is written until this ends, of which no watcher knows: all of it is on its way
        until then. If it can wait, as of `admit`; else come what may: what others find is less."""
        if can_wait:
            self.admit(count_bytes)
        else:
            self._give(count_bytes)
        self._taken_bytes += count_bytes
        try:
            yield
        finally:
            self._taken_bytes -= count_bytes

    def _give(self, count_bytes: int) -> None:
        self._left_bytes -= count_bytes
        self._given_bytes += count_bytes

    def admit_change(self) -> None:
        """Something else than a deletion is written. Raises NoRoom."""
        if self.is_spent:
            raise NoRoom(f"{self._location} is full; delete records or topics")

    def refused(self, where: str, error: OSError) -> Unavailable:
        """What a store raises for what the system did not do; NoRoom gives up the reserve."""
        if error.errno not in _FULL:
            return Unavailable(f"{where}: {error}")
        if self._is_open and not self.is_spent:
            _logger.warning("%s is full: its reserve is given up for deletions", self._location)
            self.is_spent = True
            self._begin_to_lack()
        return NoRoom(f"{where}: {error}")

    # -- looking ---------------------------------------------------------------------------

    @property
    def _is_open(self) -> bool:
        return self._disk is not None and self._opens_count > 0

    @property
    def _location(self) -> str:
        assert self._disk is not None
        return self._disk.location

    def _bytes_on_their_way(self) -> int:
        return self._taken_bytes + sum(watcher.unconfirmed() for watcher in self._watchers)

    def _tell(self) -> None:
        for watcher in tuple(self._watchers):
            watcher.changed()

    def _begin_to_lack(self) -> None:
        self.is_low = True
        self._look_if_due(at_once=True)
        self._tell()

    def _look_if_due(self, *, at_once: bool = False) -> None:
        loop = self._loop
        assert loop is not None
        if self._looking is None and (at_once or loop.time() - self._looked_s >= LOOK_S):
            self._looking = loop.create_task(self._look_until_room())
            self._looking.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("room on disk cannot be measured", exc_info=error)

    async def _look_until_room(self) -> None:
        await self._look()
        while self.is_low:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        # What is given away from here on may be written before the result is back, and confirmed:
        # it counts whether or not it is on its way then.
        leaving_bytes = self._bytes_on_their_way() - self._given_bytes
        try:
            free_bytes = await loop.run_in_executor(self._statter, self._measure)
        except OSError as error:
            _logger.warning("room in %s cannot be measured: %s", self._location, error)
            return
        finally:
            self._looked_s = loop.time()
        leaving_bytes += self._given_bytes
        self._left_bytes = free_bytes - leaving_bytes - self._free_bytes_min
        was_low = self.is_low
        if self._left_bytes < 0:
            self.is_low = True
        elif self._left_bytes >= self._resume_bytes and (
            self._has_reserve or not (self.is_spent and self._reserve_bytes)
        ):
            self.is_low = self.is_spent = False
        if self.is_low != was_low:
            text = "has little room: records are refused" if self.is_low else "has room again"
            level = logging.WARNING if self.is_low else logging.INFO
            _logger.log(level, "%s %s (%d MiB free)", self._location, text, free_bytes >> 20)
            if self.is_low:
                self._look_if_due(at_once=True)
                self._tell()

    @property
    def _resume_bytes(self) -> int:
        return max(self._free_bytes_min // RESUME_SHARE, RESUME_BYTES_MIN)

    def _measure(self) -> int:
        """In the thread: what is free, once the reserve is as it should be."""
        disk = self._disk
        assert disk is not None
        wanted_bytes = self._reserve_bytes
        if self.is_spent and self._has_reserve:
            disk.release()
        free_bytes = disk.free_bytes()
        self._has_reserve = disk.has_reserve(wanted_bytes)
        if not self._has_reserve and free_bytes >= wanted_bytes + self._free_bytes_min:
            try:
                disk.reserve(wanted_bytes)
                self._has_reserve = True
            except OSError as error:
                _logger.warning("%s: no reserve can be set aside: %s", self._location, error)
            free_bytes = disk.free_bytes()
        return free_bytes
