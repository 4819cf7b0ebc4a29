"""Makes a simulated disk look like the operating system to the modules that store segments.

`installed(disk)` puts stand-ins for `os`, `fcntl`, `mmap` and `Path` into those modules for a
while, so that the very code that runs in production is what meets the disk's faults. A call that
has no stand-in fails loudly.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from types import SimpleNamespace, TracebackType
from typing import Any, ClassVar

from wal_core.logstore import folder as logstore_folder
from wal_core.logstore import logstore
from wal_core.read import laid_out
from wal_core.stores import at_hand, direct_io, file_region, files, room
from wal_core.stores import opening as store_opening
from wal_core.stores.objects import local_folder
from wal_core.stores.segments import end_note, file, file_recovery, file_writer, jobs
from wal_core.testing.faulty_files import ExecutorFileWriter
from wal_core.testing.sim_disk import Disk, Folder, Inode
from wal_core.types import Buffer

_O_DIRECT = 1 << 30


class DiskPath(PurePosixPath):
    """A Path on the disk that is installed."""

    disk: ClassVar[Disk]

    def exists(self) -> bool:
        return self.disk.find(self) is not None

    def is_dir(self) -> bool:
        return isinstance(self.disk.find(self), Folder)

    def is_file(self) -> bool:
        return isinstance(self.disk.find(self), Inode)

    def iterdir(self) -> Iterator[DiskPath]:
        # The order of a real folder is anyone's guess; this one at least is no sorted one.
        return (self / name for name in reversed(self.disk.names_of(self)))

    def rglob(self, pattern: str) -> Iterator[DiskPath]:
        assert pattern == "*"
        for path in list(self.iterdir()):
            yield path
            if path.is_dir():
                yield from path.rglob(pattern)

    def mkdir(self, mode: int = 0o777, *, exist_ok: bool = False) -> None:
        try:
            self.disk.make_folder(self)
        except FileExistsError:
            if not exist_ok:
                raise

    def rmdir(self) -> None:
        self.disk.remove_folder(self)

    def unlink(self, *, missing_ok: bool = False) -> None:
        try:
            self.disk.unlink(self)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def stat(self) -> SimpleNamespace:
        found = self.disk.find(self)
        if found is None:
            raise FileNotFoundError(str(self))
        size = len(found.content) if isinstance(found, Inode) else 0
        return SimpleNamespace(st_size=size, st_blocks=-(-size // 512))


class _Row:
    """What scandir yields."""

    def __init__(self, name: str, thing: Inode | Folder) -> None:
        self.name = name
        self._thing = thing

    def is_dir(self) -> bool:
        return isinstance(self._thing, Folder)


class _Rows(list[_Row]):
    def __enter__(self) -> _Rows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""


class _Os:
    """The module `os`, as far as segments and objects need it."""

    O_RDONLY, O_WRONLY, O_RDWR = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
    O_CREAT, O_EXCL, O_TRUNC, O_DIRECT = os.O_CREAT, os.O_EXCL, os.O_TRUNC, _O_DIRECT

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def open(self, path: PurePosixPath | str, flags: int, mode: int = 0o777) -> int:
        return self._disk.open(
            PurePosixPath(path),
            create=bool(flags & os.O_CREAT),
            exclusive=bool(flags & os.O_EXCL),
            truncate=bool(flags & os.O_TRUNC),
            direct=bool(flags & _O_DIRECT),
        )

    def close(self, fd: int) -> None:
        self._disk.close(fd)

    def fstat(self, fd: int) -> SimpleNamespace:
        return SimpleNamespace(st_size=self._disk.size(fd), st_nlink=int(self._disk.is_linked(fd)))

    def dup(self, fd: int) -> int:
        return self._disk.duplicate(fd)

    def preadv(self, fd: int, buffers: Sequence[bytearray], position: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        (buffer,) = buffers
        found = self._disk.read_at_hand(fd, len(buffer), position)
        buffer[: len(found)] = found
        return len(found)

    def pread(self, fd: int, length: int, position: int) -> bytes:
        return self._disk.read(fd, length, position)

    def pwritev(self, fd: int, pieces: Sequence[Buffer], position: int) -> int:
        return self._disk.write(fd, pieces, position)

    def pwrite(self, fd: int, body: Buffer, position: int) -> int:
        return self._disk.write(fd, (body,), position)

    def statvfs(self, path: PurePosixPath) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=self._disk.free_bytes, f_frsize=1)

    def posix_fallocate(self, fd: int, position: int, length: int) -> None:
        self._disk.write(fd, (bytes(length),), position)

    def ftruncate(self, fd: int, length: int) -> None:
        self._disk.truncate(fd, length)

    def fsync(self, fd: int) -> None:
        self._disk.sync(fd)

    def fdatasync(self, fd: int) -> None:
        self._disk.sync(fd)

    def link(self, source: PurePosixPath, target: PurePosixPath) -> None:
        self._disk.link(source, target)

    def scandir(self, path: PurePosixPath) -> _Rows:
        return _Rows(_Row(*item) for item in reversed(self._disk.names_of(path).items()))

    def listdir(self, path: PurePosixPath) -> list[str]:
        return list(reversed(self._disk.names_of(path)))

    def getpid(self) -> int:
        return 1


class _OsOfRegions(_Os):
    """That of files which are closed with whatever used them last: no call at which a process could
    die, for nobody would hear of it there."""

    def close(self, fd: int) -> None:
        self._disk.let_go(fd)


class _Fcntl:
    LOCK_EX, LOCK_NB = 2, 4

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def flock(self, fd: int, operation: int) -> None:
        self._disk.lock(fd)


class _Mapping(bytes):
    def __enter__(self) -> _Mapping:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to unmap."""


class _Mmap:
    ACCESS_READ = 1

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def mmap(self, fd: int, length: int, access: int) -> _Mapping:
        return _Mapping(self._disk.read(fd, length, 0))


@contextlib.contextmanager
def installed(disk: Disk) -> Iterator[type[DiskPath]]:
    """The storing modules see `disk` instead of the machine's; yields its Path."""
    path_type = type("DiskPath", (DiskPath,), {"disk": disk})
    system = _Os(disk)
    stand_ins: list[tuple[Any, str, object]] = [
        (module, "os", system)
        for module in (
            at_hand,
            files,
            direct_io,
            end_note,
            file,
            file_recovery,
            file_writer,
            jobs,
            local_folder,
            logstore,
            logstore_folder,
            room,
        )
    ]
    stand_ins += [
        (file_region, "os", _OsOfRegions(disk)),
        (files, "fdatasync", system.fdatasync),
        (file, "fcntl", _Fcntl(disk)),
        (logstore, "fcntl", _Fcntl(disk)),
        (file, "ThreadFileWriter", ExecutorFileWriter),
        (at_hand, "thread_time", lambda: 0.0),  # no seed may depend on it
        (file_region, "COMPILED", None),  # it would go to the machine's own
        (laid_out, "PIECE_BYTES_MIN", 1),  # as if all were large
        (laid_out, "ENTRY_BYTES_MIN", 1),
        (file_writer, "COMPILED", None),
        (file_recovery, "mmap", _Mmap(disk)),
        (store_opening, "Path", path_type),
    ]
    real = [(module, name, getattr(module, name)) for module, name, _ in stand_ins]
    for module, name, stand_in in stand_ins:
        setattr(module, name, stand_in)
    try:
        yield path_type
    finally:
        for module, name, thing in real:
            setattr(module, name, thing)
