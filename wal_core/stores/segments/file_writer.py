"""The thread that writes segment files: takes whatever is queued, writes it, syncs once.

While the device syncs one group, the next one queues, so the device never waits for the event
loop. One thread writes all files of a store. A file only ever grows at its durable end: a block
whose predecessor failed has to come again after it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from wal_core.stores import files
from wal_core.stores.direct_io import FILE_MODE, PAGE_BYTES, Staging, open_direct
from wal_core.stores.give_way import GiveWay
from wal_core.stores.segments.compiled_writer import COMPILED, CompiledWriter
from wal_core.stores.segments.end_note import write_end_note
from wal_core.stores.segments.jobs import SegmentFile, WriteJob, note_of, settle
from wal_core.tally import Written
from wal_core.types import Buffer


class FileOps(Protocol):
    """The system calls a writer makes; tests put a failing layer here."""

    at_once: bool
    """Whether compiled code may make those of ordinary writes, behind the back of this."""

    def open(self, path: Path) -> tuple[int, bool]:
        """(descriptor, whether it takes whole pages only)."""
        ...

    def keep_to_cache(self) -> None:
        """Direct writes turned out not to work: open without from now on."""

    def pwrite_all(self, fd: int, pieces: Sequence[Buffer], position: int) -> int: ...
    def fdatasync(self, fd: int) -> None: ...
    def fsync(self, fd: int) -> None: ...
    def truncate(self, fd: int, length: int) -> None: ...
    def sync_folder(self, path: Path) -> None: ...


class SystemFileOps:
    """The real ones. `direct` False keeps to the page cache, as every write then may."""

    def __init__(self, *, direct: bool = True, at_once: bool = True) -> None:
        self._direct = direct
        self.at_once = at_once

    def open(self, path: Path) -> tuple[int, bool]:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        fd = open_direct(path, flags) if self._direct else None
        return (os.open(path, flags, FILE_MODE), False) if fd is None else (fd, True)

    def keep_to_cache(self) -> None:
        self._direct = False

    def pwrite_all(self, fd: int, pieces: Sequence[Buffer], position: int) -> int:
        return files.pwrite_all(fd, pieces, position)

    def fdatasync(self, fd: int) -> None:
        files.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def sync_folder(self, path: Path) -> None:
        files.sync_folder(path)


def write_group(ops: FileOps, jobs: Sequence[WriteJob], staging: Staging) -> OSError | None:
    """Make a run of blocks of one file durable; on an error none of them counts.

    A repetition writes the same bytes to the same place. That is what makes it safe after a
    failed sync: the kernel may then have marked pages clean that never reached the device, and a
    second fsync alone would report success. Writing again makes the pages dirty again.
    """
    file = jobs[0].file
    try:
        if file.fd < 0:
            _open(ops, file)
        pieces = _next_pieces(file, jobs)
        if pieces:
            end = file.end + sum(map(len, pieces))
            note = note_of(jobs[-1], end)
            _write_durably(ops, file, pieces, staging, end, final=any(job.final for job in jobs))
            _write_note(file, note)
    except OSError as error:
        file.doubtful = True
        if file.direct and error.errno == errno.EINVAL:
            # It opens for direct writes and then refuses them: go through the page cache.
            file.close()
            ops.keep_to_cache()
        return error
    return None


def _next_pieces(file: SegmentFile, jobs: Sequence[WriteJob]) -> list[Buffer]:
    """What the jobs add at the file's end; nothing if all of it is durable by now."""
    pieces: list[Buffer] = []
    end = file.end
    for job in sorted(jobs, key=lambda job: job.position):
        length = job.bytes_count
        if job.position + length <= file.end:
            continue  # a repetition whose first attempt succeeded
        if job.position != end:
            raise OSError(errno.EAGAIN, "an earlier block of the file is not written yet")
        pieces += job.pieces
        end += length
    return pieces


def _write_durably(
    ops: FileOps,
    file: SegmentFile,
    pieces: Sequence[Buffer],
    staging: Staging,
    end: int,
    *,
    final: bool,
) -> None:
    tail = _write(ops, file, pieces, staging)
    if final:
        # A finished file ends with its trailer, not with the padding of a direct write (which
        # may also stem from before a change to ordinary ones).
        ops.truncate(file.fd, end)
    if file.doubtful or final:
        ops.fsync(file.fd)  # also what fdatasync may leave out: trust nothing from before
        file.doubtful = False
    else:
        ops.fdatasync(file.fd)
    if not file.named:
        ops.sync_folder(file.path.parent)
        file.named = True
    file.end, file.tail = end, tail
    if final:
        file.close()


def _write_note(file: SegmentFile, note: bytes) -> None:
    try:
        write_end_note(file.note_fd, note)
    except OSError:
        pass  # what it is for can do without; the blocks are durable


def _open(ops: FileOps, file: SegmentFile) -> None:
    if file.note_path is not None and file.note_fd < 0:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        file.note_fd = os.open(file.note_path, flags, FILE_MODE)
    file.fd, file.direct = ops.open(file.path)
    if file.end < 0:
        # New, or an unfinished file that recovery has cut to its good blocks and wants to finish.
        file.end = os.fstat(file.fd).st_size
        shared = file.end % PAGE_BYTES
        with files.opened(file.path, os.O_RDONLY) as fd:
            file.tail = files.pread_exact(fd, shared, file.end - shared)


def _write(ops: FileOps, file: SegmentFile, pieces: Sequence[Buffer], staging: Staging) -> bytes:
    """Write `pieces` at the file's end; returns its next tail."""
    fd = file.fd
    if not file.direct:
        ops.pwrite_all(fd, pieces, file.end)
        return b""  # nothing is written twice
    return staging.write(
        lambda pages, position: ops.pwrite_all(fd, (pages,), position),
        file.tail,
        pieces,
        file.end - len(file.tail),
    )


class FileWriter(Protocol):
    """Runs write jobs in order, off the event loop."""

    def submit(self, job: WriteJob) -> None: ...
    def close(self) -> None: ...


class ThreadFileWriter:
    """The dedicated thread, and one in C for what that does. Each is started by its first job."""

    def __init__(
        self, ops: FileOps, way: GiveWay | None = None, *, synced: Written | None = None
    ) -> None:
        self._ops = ops
        self._synced = synced or Written()
        self._way = way or GiveWay()
        self._staging = Staging()  # its pages cost nothing until they are written to
        # In C: each block is handed over by it, and a semaphore in Python takes several locks.
        self._queue: SimpleQueue[WriteJob | None] = SimpleQueue()
        self._queued_count = 0  # with the thread, or not told of yet
        self._runner: threading.Thread | None = None
        is_helped = ops.at_once and COMPILED is not None
        self._compiled = CompiledWriter(self._staging, self._done) if is_helped else None

    def submit(self, job: WriteJob) -> None:
        compiled = self._compiled
        if compiled is not None and self._queued_count == 0 and compiled.takes(job):
            compiled.submit(job)
            return
        self._queued_count += 1
        if self._runner is None:
            self._runner = threading.Thread(target=self._run, name="wal-writer", daemon=True)
            self._runner.start()
        self._way.begin(job.bytes_count)
        self._queue.put(job)

    def close(self) -> None:
        """Finish what is queued, then end the thread."""
        if self._runner is not None:
            self._queue.put(None)
            self._runner.join()
            self._runner = None
        if self._compiled is not None:
            self._compiled.close()

    def _run(self) -> None:
        taken: deque[WriteJob | None] = deque()  # out of the queue, and not begun
        while True:
            while not taken or not self._queue.empty():
                taken.append(self._queue.get())
            group = _group(taken)
            if not group:
                return
            if self._compiled is not None:
                self._compiled.hand_back(group[0].file)
            # The loop's clock may count whole milliseconds: a sync is often shorter.
            began_s = time.perf_counter()
            error = write_group(self._ops, group, self._staging)
            took_s = time.perf_counter() - began_s
            _call_soon(group[0].future.get_loop(), partial(self._back, group, error, took_s))
            del group, error  # do not pin the last block's memory until the next one

    def _back(self, jobs: Sequence[WriteJob], error: OSError | None, took_s: float) -> None:
        self._queued_count -= len(jobs)
        self._way.end(len(jobs), sum(job.bytes_count for job in jobs))
        self._done(jobs, error, took_s)

    def _done(self, jobs: Sequence[WriteJob], error: OSError | None, took_s: float) -> None:
        if error is None:
            self._synced.add(took_s, sum(job.bytes_count for job in jobs))
        settle(jobs, error)


def _group(taken: deque[WriteJob | None]) -> list[WriteJob]:
    """The next one, and whatever else waits for the same file: they share the sync. Empty: the end
    has come."""
    group: list[WriteJob] = []
    while taken and (job := taken[0]) is not None and (not group or job.file is group[0].file):
        group.append(job)
        taken.popleft()
    return group


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        pass  # the loop is closed: nobody waits any more, recovery will find the block
