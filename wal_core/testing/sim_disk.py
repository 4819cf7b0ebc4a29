"""A disk of the simulated world, with what a kernel and a device may do to those who trust them.

Everything written is in the system's memory at once, for all processes, and outlives them; on the
device it is after a sync. A power cut leaves on the device what was synced and any part of the
rest, file contents and names alike. A failed sync marks its pages clean all the same: a later sync
that succeeds says nothing about them. A direct write must be whole pages.

A process can be made to die at any call (`die_at_call`): a write it is making then is torn.
"""

from __future__ import annotations

import errno
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from wal_core.testing.seeds import Random
from wal_core.testing.sim_process import Process, current_process
from wal_core.types import Buffer

PAGE_BYTES = 4096
FREE_BYTES = 1 << 40


class ProcessDied(BaseException):
    """Unwinds the work of a process that is no more; nobody is there to catch it."""


class Inode:
    """A file's content, whatever names it has."""

    __slots__ = ("content", "durable", "kept_count", "lock_fd", "pending")

    def __init__(self) -> None:
        self.content = bytearray()
        self.durable = bytearray()
        self.kept_count = 0  # how often `durable` may have changed
        # Since the last sync: (position, bytes), or (length, None) for a cut.
        self.pending: list[tuple[int, bytes | None]] = []
        self.lock_fd = -1

    def change(self, position: int, body: bytes | None) -> None:
        _apply(self.content, position, body)
        self.pending.append((position, body))

    def keep(self, changes: Sequence[tuple[int, bytes | None]]) -> None:
        """They are on the device."""
        for position, body in changes:
            _apply(self.durable, position, body)
        self.kept_count += 1


class Folder:
    """Names and what is under them."""

    __slots__ = ("durable", "names")

    def __init__(self) -> None:
        self.names: dict[str, Inode | Folder] = {}
        self.durable: dict[str, Inode | Folder] = {}


@dataclass(slots=True)
class OpenFile:
    thing: Inode | Folder
    path: PurePosixPath
    process: Process | None
    direct: bool


@dataclass(slots=True)
class DiskFault:
    """Calls that fail: `call` is write, sync, folder (a sync of names) or create."""

    call: str
    skip_count: int
    count: float


class Disk:
    """The model; `sim_system.py` makes it look like the modules `os` and `pathlib`.

    `synced` is told of every folder in which something became durable.
    """

    def __init__(self, rng: Random) -> None:
        self.root = Folder()
        self.faults: list[DiskFault] = []
        self.synced: Callable[[PurePosixPath], None] = lambda folder: None
        self.watch: Callable[[str, str], None] = lambda who, what: None
        self.died: Callable[[Process], None] = lambda process: process.kill()
        self._rng = rng
        self._fds: dict[int, OpenFile] = {}
        self._numbers = itertools.count(1000)
        self._doomed: tuple[Process, int] | None = None

    # -- faults ----------------------------------------------------------------------------

    def die_at_call(self, process: Process, calls_count: int) -> None:
        """Let `process` die in its call number `calls_count` from now."""
        self._doomed = (process, calls_count)

    def process_died(self, process: Process) -> None:
        """Its descriptors and locks go; what it wrote stays in memory."""
        for fd in [fd for fd, file in self._fds.items() if file.process is process]:
            self._close(fd)
        if self._doomed is not None and self._doomed[0] is process:
            self._doomed = None

    def cut_power(self, below: PurePosixPath | None = None) -> None:
        """Every process must be dead, or those that use a folder `below` which alone the power
        goes. Leaves what the device may then hold."""
        if below is None:
            self._fds.clear()
            self._cut(self.root, set())
        elif isinstance(folder := self._find(below), Folder):
            self._cut(folder, set())

    def heal(self) -> None:
        self.faults.clear()
        self._doomed = None

    def _cut(self, folder: Folder, seen: set[int]) -> None:
        for name in sorted(folder.names.keys() | folder.durable.keys()):
            now, before = folder.names.get(name), folder.durable.get(name)
            if now is not before and self._rng.random() < 0.5:
                if now is None:
                    folder.durable.pop(name)
                else:
                    folder.durable[name] = now
        folder.names = dict(folder.durable)
        for thing in folder.names.values():
            if isinstance(thing, Folder):
                self._cut(thing, seen)
            elif id(thing) not in seen:
                seen.add(id(thing))
                self._cut_content(thing)

    def _cut_content(self, inode: Inode) -> None:
        kept: list[tuple[int, bytes | None]] = []
        for position, body in inode.pending:
            if body is None:
                if self._rng.random() < 0.5:
                    kept.append((position, None))
                continue
            length = self._rng.choice((0, len(body), self._rng.randrange(len(body) + 1)))
            kept.append((position, body[:length]))
        inode.keep(kept)
        inode.pending.clear()
        if inode.content != inode.durable:
            self._tell(f"keeps {len(inode.durable)} of {len(inode.content)} bytes of a file")
        inode.content = bytearray(inode.durable)
        inode.lock_fd = -1

    def _fails(self, call: str) -> bool:
        for fault in self.faults:
            if fault.call == call and fault.count > 0:
                if fault.skip_count > 0:
                    fault.skip_count -= 1
                    continue
                fault.count -= 1
                self._tell(f"{call} fails")
                return True
        return False

    @property
    def free_bytes(self) -> int:
        """No number is kept: the disk is full for a while, or has all the room there may be."""
        is_full = any(fault.call == "write" and math.isinf(fault.count) for fault in self.faults)
        return 0 if is_full else FREE_BYTES

    def _enter(self) -> None:
        """Every call begins here: a dead process makes none, a doomed one may die."""
        process = current_process()
        if process is None:
            return
        if process.alive and self._doomed is not None and self._doomed[0] is process:
            left_count = self._doomed[1] - 1
            self._doomed = (process, left_count)
            if left_count < 0:
                self.died(process)
        if not process.alive:
            raise ProcessDied

    def _dies_writing(self) -> bool:
        doomed = self._doomed
        return doomed is not None and doomed[1] == 0 and doomed[0] is current_process()

    def _tell(self, what: str) -> None:
        process = current_process()
        self.watch("?" if process is None else process.name, what)

    # -- names -----------------------------------------------------------------------------

    def find(self, path: PurePosixPath) -> Inode | Folder | None:
        self._enter()
        return self._find(path)

    def _find(self, path: PurePosixPath) -> Inode | Folder | None:
        thing: Inode | Folder | None = self.root
        for name in path.parts[1:]:
            thing = thing.names.get(name) if isinstance(thing, Folder) else None
        return thing

    def _parent(self, path: PurePosixPath) -> Folder:
        folder = self._find(path.parent)
        if not isinstance(folder, Folder):
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
        return folder

    def make_folder(self, path: PurePosixPath) -> None:
        self._enter()
        parent = self._parent(path)
        if path.name in parent.names:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        if self._fails("create"):
            raise OSError(errno.ENOSPC, "planned: no space left")
        parent.names[path.name] = Folder()

    def remove_folder(self, path: PurePosixPath) -> None:
        self._enter()
        parent = self._parent(path)
        folder = parent.names.get(path.name)
        if not isinstance(folder, Folder):
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        if folder.names:
            raise OSError(errno.ENOTEMPTY, "not empty", str(path))
        del parent.names[path.name]

    def unlink(self, path: PurePosixPath) -> None:
        self._enter()
        parent = self._parent(path)
        if not isinstance(parent.names.get(path.name), Inode):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        self._tell(f"unlink {path}")
        del parent.names[path.name]

    def link(self, source: PurePosixPath, target: PurePosixPath) -> None:
        self._enter()
        inode = self._find(source)
        if not isinstance(inode, Inode):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(source))
        parent = self._parent(target)
        if target.name in parent.names:
            raise FileExistsError(errno.EEXIST, "exists", str(target))
        self._tell(f"link {target}")
        parent.names[target.name] = inode

    def names_of(self, path: PurePosixPath) -> dict[str, Inode | Folder]:
        self._enter()
        folder = self._find(path)
        if not isinstance(folder, Folder):
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        return dict(folder.names)

    # -- descriptors -----------------------------------------------------------------------

    def open(
        self, path: PurePosixPath, *, create: bool, exclusive: bool, truncate: bool, direct: bool
    ) -> int:
        self._enter()
        parent = self._parent(path) if path.name else self.root
        thing: Inode | Folder | None = parent.names.get(path.name) if path.name else self.root
        if thing is None:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
            if self._fails("create"):
                raise OSError(errno.ENOSPC, "planned: no space left")
            thing = parent.names[path.name] = Inode()
        elif exclusive:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        elif truncate and isinstance(thing, Inode):
            thing.change(0, None)
        fd = next(self._numbers)
        self._fds[fd] = OpenFile(thing, path, current_process(), direct)
        return fd

    def close(self, fd: int) -> None:
        self._enter()
        self._close(fd)

    def let_go(self, fd: int) -> None:
        """Close one that is not locked, in no step of the process; that may have died long ago."""
        self._fds.pop(fd, None)

    def _close(self, fd: int) -> None:
        thing = self._file(fd).thing
        if isinstance(thing, Inode) and thing.lock_fd == fd:
            thing.lock_fd = -1
        del self._fds[fd]

    def lock(self, fd: int) -> None:
        self._enter()
        inode = self._inode(fd)
        if inode.lock_fd not in (-1, fd):
            raise BlockingIOError(errno.EAGAIN, "locked")
        inode.lock_fd = fd

    def size(self, fd: int) -> int:
        self._enter()
        return len(self._inode(fd).content)

    def read(self, fd: int, length: int, position: int) -> bytes:
        self._enter()
        return bytes(self._inode(fd).content[position : position + length])

    def read_at_hand(self, fd: int, length: int, position: int) -> bytes:
        """If it is in memory: by chance."""
        self._enter()
        if self._rng.random() < 0.5:
            raise BlockingIOError(errno.EAGAIN, "not in memory")
        return bytes(self._inode(fd).content[position : position + length])

    def duplicate(self, fd: int) -> int:
        self._enter()
        file = self._file(fd)
        other = next(self._numbers)
        self._fds[other] = OpenFile(file.thing, file.path, current_process(), file.direct)
        return other

    def is_linked(self, fd: int) -> bool:
        """Whether it still has a name."""
        file = self._file(fd)
        return self._find(file.path) is file.thing

    def write(self, fd: int, pieces: Sequence[Buffer], position: int) -> int:
        dies = self._dies_writing()
        body = b"".join(pieces)
        file, inode = self._file(fd), self._inode(fd)
        if dies:
            torn = self._rng.randrange(len(body) + 1)
            self._tell(f"write {file.path} {position}+{len(body)} is torn at {torn}")
            inode.change(position, body[:torn])
        self._enter()
        if file.direct and (position % PAGE_BYTES or len(body) % PAGE_BYTES):
            raise OSError(errno.EINVAL, "not whole pages")
        if self._fails("write"):
            if body := body[: self._rng.randrange(len(body))]:
                inode.change(position, body)
            raise OSError(errno.ENOSPC, "planned: no space left")
        self._tell(f"write {file.path} {position}+{len(body)}")
        inode.change(position, body)
        return len(body)

    def truncate(self, fd: int, length: int) -> None:
        self._enter()
        self._tell(f"truncate {self._file(fd).path} {length}")
        self._inode(fd).change(length, None)

    def sync(self, fd: int) -> None:
        self._enter()
        file = self._file(fd)
        if isinstance(file.thing, Folder):
            if self._fails("folder"):
                raise OSError(errno.EIO, "planned: folder sync failed")
            file.thing.durable = dict(file.thing.names)
            self._tell(f"sync {file.path}/")
            self.synced(file.path)
            return
        pending, file.thing.pending = file.thing.pending, []
        if self._fails("sync"):
            raise OSError(errno.EIO, "planned: sync failed")  # and `pending` is lost
        file.thing.keep(pending)
        self._tell(f"sync {file.path}")
        self.synced(file.path.parent)

    def _file(self, fd: int) -> OpenFile:
        file = self._fds.get(fd)
        if file is None:
            raise OSError(errno.EBADF, "bad descriptor")
        return file

    def _inode(self, fd: int) -> Inode:
        thing = self._file(fd).thing
        if isinstance(thing, Folder):
            raise IsADirectoryError(errno.EISDIR, "a folder")
        return thing

    # -- for those who look from outside ---------------------------------------------------

    def durable_files(self, path: PurePosixPath) -> dict[str, Inode]:
        """The files in a folder whose names, and those of the folders above, are durable."""
        folder: Inode | Folder | None = self.root
        for name in path.parts[1:]:
            folder = folder.durable.get(name) if isinstance(folder, Folder) else None
        if not isinstance(folder, Folder):
            return {}
        return {n: thing for n, thing in folder.durable.items() if isinstance(thing, Inode)}


def _apply(content: bytearray, position: int, body: bytes | None) -> None:
    if body is None:
        if position < len(content):
            del content[position:]
        else:
            content.extend(bytes(position - len(content)))
    elif body:
        content.extend(bytes(max(0, position - len(content))))
        content[position : position + len(body)] = body
