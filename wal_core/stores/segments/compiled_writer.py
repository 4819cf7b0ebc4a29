"""The thread in C beside a loop: writes blocks of files that are in order.

What is the rule, a block behind the last one, it does without the interpreter, which a thread in
Python would wait for twice a block. All else is the other thread's (file_writer.py): to open a
file, to end it, to try again after an error. That one lets this one finish first, and this one
gets nothing while the other has work: the order of what is submitted is the order of writes.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from wal_core.format.compiled import compiled
from wal_core.stores.direct_io import Staging
from wal_core.stores.segments.end_note import NOTE_AT
from wal_core.stores.segments.jobs import SegmentFile, WriteJob, note_of

COMPILED = compiled("wal_core.stores._durable")
"""None: the thread in Python does all."""

SIGNAL_BYTES = 8

Done = Callable[[Sequence[WriteJob], OSError | None, float], None]
"""What became of jobs that shared a sync, and how many seconds they took."""


class CompiledWriter:
    """`submit` what it `takes`, on one loop, and `close`. `hand_back` is for the other thread."""

    def __init__(self, staging: Staging, done: Done) -> None:
        self._staging = staging
        self._done = done
        self._jobs: deque[WriteJob] = deque()  # submitted, and not told of
        self._writer: Any = None  # the Writer of _durable.pyi, once begun
        self._loop: asyncio.AbstractEventLoop | None = None
        self._read_fd = self._write_fd = -1

    def takes(self, job: WriteJob) -> bool:
        """Whether the block is the next one of a file that is in order."""
        file = job.file
        if job.final or file.fd < 0 or not file.named or file.doubtful:
            return False
        if self._loop not in (None, job.future.get_loop()):
            return False  # nobody would be told
        return job.position == (file.end if file.lent is None else file.lent_end)

    def submit(self, job: WriteJob) -> None:
        writer, file = self._writer or self._begin(job.future.get_loop()), job.file
        if file.lent is None:
            file.lent = writer.open(
                file.fd, file.direct, file.end, file.tail, file.note_fd, NOTE_AT
            )
        file.lent_end = job.position + job.bytes_count
        self._jobs.append(job)
        writer.submit(file.lent, job.position, job.pieces, note_of(job, file.lent_end))

    def hand_back(self, file: SegmentFile) -> None:
        """Blocks until all that was submitted is done; what is written then stands in the file."""
        if self._writer is not None:
            self._writer.drain()
            if file.lent is not None:
                file.end, file.tail, is_failed = self._writer.look(file.lent)
                file.doubtful = file.doubtful or is_failed
                file.lent = None

    def close(self) -> None:
        """Blocks until all that was submitted is done, and ends the thread. What came of it is told
        on the loop, if that goes on."""
        if self._writer is None or self._loop is None:
            return
        self._writer.close()
        try:
            self._loop.call_soon_threadsafe(self._end)
        except RuntimeError:
            self._close_fds()  # nobody waits any more

    def _begin(self, loop: asyncio.AbstractEventLoop) -> Any:
        assert COMPILED is not None
        self._read_fd, self._write_fd = _signal()
        self._loop = loop
        loop.add_reader(self._read_fd, self._collect)
        self._writer = COMPILED.Writer(self._write_fd, self._staging.memory)
        return self._writer

    def _collect(self) -> None:
        with suppress(BlockingIOError):  # told of before
            os.read(self._read_fd, SIGNAL_BYTES)
        for count, code, took_s in self._writer.collect():
            jobs = [self._jobs.popleft() for _ in range(count)]
            error = OSError(code, os.strerror(code)) if code else None
            if error is not None:
                jobs[0].file.lent_end = -1  # it comes again by way of the other thread
            self._done(jobs, error, took_s)

    def _end(self) -> None:
        loop: Any = self._loop  # uvloop's does not return what asyncio's does
        self._collect()
        loop.remove_reader(self._read_fd)
        self._writer = self._loop = None
        self._close_fds()

    def _close_fds(self) -> None:
        for fd in {self._read_fd, self._write_fd}:
            os.close(fd)
        self._read_fd = self._write_fd = -1


def _signal() -> tuple[int, int]:
    """To read from and to write to."""
    if hasattr(os, "eventfd"):
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return fd, fd
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    return read_fd, write_fd
