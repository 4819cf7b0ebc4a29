"""Files, as far as the system has them in memory: read on the loop, without a wait and a thread.

To hand a read to a thread and back costs more than to copy a megabyte. But a loop must not wait
for a device, and even to open a file may: so this reads only from files that a thread has opened,
and of these only what need not be fetched (preadv2(2): RWF_NOWAIT). None always means "ask a
thread"; that one finds out what is wrong, if anything is.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict, deque
from contextlib import suppress
from time import thread_time

from wal_core.stores.file_region import (
    NOWAIT,
    OpenFile,
    is_in_memory,
    read_at_hand,
)
from wal_core.types import Buffer

_FILES_MAX_COUNT = 32
"""That are kept open: a segment's for each of some tens who catch up."""
_TAKES_S_MAX = 0.002
_REST_FACTOR = 20
"""Memory may be slow: what was read from the device by itself just now takes a virtual machine four
milliseconds a megabyte. A read that used the processor for longer than that leaves the loop to
others and the next ones to threads for so many times as long."""


class AtHand:
    """Files by name, those read lately. All but `keep` is for the loop."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, OpenFile] = OrderedDict()
        self._wanted: OrderedDict[str, None] = OrderedDict()
        self._rests_until_s = -1.0
        self._is_closed = False
        self._opened: deque[tuple[str, int]] = deque()  # by threads, and not looked at yet

    def read(self, name: str, start: int, length: int) -> Buffer | None:
        """All of these bytes; None if some of them are not in memory."""
        file = self._file(name)
        if file is None:
            return None
        begun_s = thread_time()
        found = read_at_hand(file.fd, start, length)
        took_s = thread_time() - begun_s
        if took_s > _TAKES_S_MAX:
            now_s = asyncio.get_running_loop().time()
            self._rests_until_s = now_s + _REST_FACTOR * took_s
        return found

    def holding(self, name: str, start: int, length: int) -> OpenFile | None:
        """The file, if all of these bytes are in memory."""
        file = self._file(name)
        return file if file is not None and is_in_memory(file.fd, start, length) else None

    def wants(self, name: str) -> bool:
        """Whether a thread that opens this file should `keep` it."""
        return name in self._wanted

    def keep(self, name: str, fd: int) -> None:
        """In the thread that has it open and will close it."""
        with suppress(OSError):  # no more descriptors: then not
            if not self._is_closed:
                self._opened.append((name, os.dup(fd)))

    def let_go(self) -> None:
        """Close what was deleted, or it would go on to take its space."""
        self._look()
        for name, file in list(self._files.items()):
            if not os.fstat(file.fd).st_nlink:
                del self._files[name]

    def close(self) -> None:
        """All of them, but for what is being sent, and no more are kept."""
        self._is_closed = True
        self._look()
        self._files.clear()

    def _file(self, name: str) -> OpenFile | None:
        """None: it is not open, or it is the threads' turn."""
        if asyncio.get_running_loop().time() < self._rests_until_s:
            return None
        if self._opened:
            self._look()
        file = self._files.get(name)
        if file is not None:
            self._files.move_to_end(name)
        elif NOWAIT:
            self._wanted[name] = None
            if len(self._wanted) > _FILES_MAX_COUNT:
                self._wanted.popitem(last=False)
        return file

    def _look(self) -> None:
        """Take over what threads have opened."""
        while self._opened:
            name, fd = self._opened.popleft()
            self._wanted.pop(name, None)
            file = OpenFile(fd)
            if name in self._files or not os.fstat(fd).st_nlink:
                continue
            self._files[name] = file
            if len(self._files) > _FILES_MAX_COUNT:
                self._files.popitem(last=False)
