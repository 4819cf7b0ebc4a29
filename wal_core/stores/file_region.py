"""Parts of files that go to a socket as they are, past this process's memory: sendfile(2).

Copied into memory and out again, a megabyte costs more of the processor than all that is decided
about it. Only what was verified before is handed out so (`read/laid_out.py`).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from wal_core.format.compiled import compiled
from wal_core.stores.files import pread_exact
from wal_core.types import Buffer

COMPILED = compiled("wal_core.format._blocks")
"""None: all is done here."""
SEEN_S = 0.02
"""What was in memory so short a time ago still is: a look costs a third of sending it."""
NOWAIT = getattr(os, "RWF_NOWAIT", 0)
"""Linux has it."""


class OpenFile:
    """A descriptor, closed once nobody has a use for it any more."""

    __slots__ = ("_close", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._close = os.close  # of the system that has opened it

    def __del__(self) -> None:
        with suppress(OSError):  # there is nobody to be told
            self._close(self.fd)


class FileRegion:
    """Some bytes of a file, at least one."""

    __slots__ = ("_file", "_length", "_position", "_seen_s")

    def __init__(
        self, file: OpenFile, position: int, length: int, seen_s: float = float("-inf")
    ) -> None:
        """`seen_s`: when they were seen in memory, by the loop's clock."""
        self._file, self._position, self._length = file, position, length
        self._seen_s = seen_s

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> FileRegion:
        """Some of them, as of a memoryview."""
        start, stop, _ = part.indices(self._length)
        return FileRegion(self._file, self._position + start, stop - start, self._seen_s)

    def is_in_memory(self, now_s: float) -> bool:
        """Whether `send` and `read` would not wait for a device; `now_s` is the loop's time."""
        if now_s - self._seen_s < SEEN_S:
            return True
        return is_in_memory(self._file.fd, self._position, self._length)

    def send(self, socket_fd: int) -> int:
        """Hand them to a socket that does not block; how many of the first it has taken. Raises
        OSError, BlockingIOError if it has taken none."""
        sent = os.sendfile(socket_fd, self._file.fd, self._position, self._length)
        if not sent:
            raise _cut()
        return sent

    def read(self) -> bytes:
        """All of them. Raises OSError."""
        found = pread_exact(self._file.fd, self._length, self._position)
        if len(found) < self._length:
            raise _cut()
        return found


def is_in_memory(fd: int, position: int, length: int) -> bool:
    """Of bytes of a file, all; without compiled help the first and the last, and so most likely
    all."""
    if length <= 0:
        return False
    if COMPILED is not None:
        found: bool = COMPILED.is_in_memory(fd, position, length)
        return found
    ends = position, position + length - 1
    return all(read_at_hand(fd, end, 1) is not None for end in ends)


def read_at_hand(fd: int, position: int, length: int) -> Buffer | None:
    """All of these bytes; None if some of them are not in memory."""
    if COMPILED is not None:
        found: bytes | None = COMPILED.read_at_hand(fd, position, length)
        return found
    buffer = bytearray(length)
    try:
        return buffer if os.preadv(fd, (buffer,), position, NOWAIT) == length else None
    except OSError:
        return None  # it would wait, the file system cannot tell, or a thread will see the same


def _cut() -> OSError:
    return OSError(errno.EIO, "a file is shorter than it was")
