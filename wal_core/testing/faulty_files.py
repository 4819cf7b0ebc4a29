"""A segment-file layer that fails on request and forgets on a crash what was never synced.

Models what a kernel may do: a failed sync marks pages clean that never reached the device, so a
later sync that succeeds says nothing about them; a crash keeps any subset of unsynced writes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random  # noqa: TID251 - seeded, for tests
from collections.abc import Sequence
from pathlib import Path

from wal_core.stores import files
from wal_core.stores.direct_io import PAGE_BYTES, Staging
from wal_core.stores.segments.file_writer import FileOps, write_group
from wal_core.stores.segments.jobs import WriteJob, settle
from wal_core.tally import Written
from wal_core.types import Buffer

Change = tuple[int, bytes | None]
"""(position, bytes written) or (length, None): cut to that length."""


class FaultyFileOps:
    """`fail_next` names the operations that fail, first come first served: pwrite, sync, folder.

    `direct` makes it insist on whole pages, whatever the file system of the tests can do.
    """

    at_once = False

    def __init__(self, seed: int = 0, fault_rate: float = 0.0, *, direct: bool = True) -> None:
        self._direct = direct
        self.fail_next: list[str] = []
        self.fault_rate = fault_rate
        self._rng = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self._synced: dict[Path, bytearray] = {}
        self._unsynced: dict[Path, list[Change]] = {}
        self._named: set[Path] = set()

    def open(self, path: Path) -> tuple[int, bool]:
        if path.exists():
            # Recovery has cut it, and made that durable, behind our back.
            self._synced[path] = bytearray(path.read_bytes())
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644), self._direct

    def keep_to_cache(self) -> None:
        self._direct = False

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)
        self._unsynced.setdefault(_path(fd), []).append((length, None))

    def pwrite_all(self, fd: int, pieces: Sequence[Buffer], position: int) -> int:
        path, body = _path(fd), b"".join(pieces)
        if self._direct and (position % PAGE_BYTES or len(body) % PAGE_BYTES):
            raise OSError(errno.EINVAL, "not whole pages")
        fails = self._fails("pwrite")
        if fails:  # the disk is full after a part of it
            body = body[: self._rng.randrange(len(body))]
        self._unsynced.setdefault(path, []).append((position, body))
        end = files.pwrite_all(fd, [body], position) if body else position
        if fails:
            raise OSError(errno.ENOSPC, "planned: no space left")
        return end

    def fdatasync(self, fd: int) -> None:
        self._sync(fd)

    def fsync(self, fd: int) -> None:
        self._sync(fd)

    def sync_folder(self, path: Path) -> None:
        if self._fails("folder"):
            raise OSError(errno.EIO, "planned: folder sync failed")
        self._named.update(file for file in self._synced if file.parent == path)

    def _sync(self, fd: int) -> None:
        path = _path(fd)
        pending = self._unsynced.pop(path, [])
        if self._fails("sync"):
            raise OSError(errno.EIO, "planned: sync failed")  # and `pending` is lost
        content = self._synced.setdefault(path, bytearray())
        for write in pending:
            _apply(content, write)

    def crash(self) -> None:
        """Leave on disk what a power cut would: the synced, and any part of the rest."""
        for path in self._synced.keys() | self._unsynced.keys():
            content = self._synced.get(path, bytearray())
            for position, body in self._unsynced.get(path, []):
                if body is None:
                    if self._rng.random() < 0.5:
                        _apply(content, (position, None))
                    continue
                kept = self._rng.choice((0, len(body), self._rng.randrange(len(body) + 1)))
                _apply(content, (position, body[:kept]))
            if path in self._named or self._rng.random() < 0.5:
                path.write_bytes(content)
                self._synced[path] = content
                self._named.add(path)
            else:
                path.unlink(missing_ok=True)
                self._synced.pop(path, None)  # what one crash took, another does not bring back
        self._unsynced.clear()

    def _fails(self, operation: str) -> bool:
        if operation in self.fail_next:
            self.fail_next.remove(operation)
            return True
        return self._rng.random() < self.fault_rate


def _path(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}").readlink()


def _apply(content: bytearray, change: Change) -> None:
    position, body = change
    if body is None:
        del content[position:]
    elif body:
        content.extend(bytes(max(0, position - len(content))))
        content[position : position + len(body)] = body


class ExecutorFileWriter:
    """A FileWriter without a thread of its own, for the simulated loop: one group at a time."""

    def __init__(self, ops: FileOps, *, synced: Written | None = None) -> None:
        self._ops = ops
        self._synced = synced or Written()
        self._staging = Staging(2 * PAGE_BYTES)  # so small that blocks take several writes
        self._queue: list[WriteJob] = []
        self._running = False

    def submit(self, job: WriteJob) -> None:
        self._queue.append(job)
        if not self._running:
            self._running = True
            job.future.get_loop().create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                group = [job for job in self._queue if job.file is self._queue[0].file]
                self._queue = [job for job in self._queue if job.file is not group[0].file]
                began_s = loop.time()
                error = await loop.run_in_executor(
                    None, write_group, self._ops, group, self._staging
                )
                if error is None:
                    size_bytes = sum(len(piece) for job in group for piece in job.pieces)
                    self._synced.add(loop.time() - began_s, size_bytes)
                settle(group, error)
        finally:
            self._running = False

    def close(self) -> None:
        """Nothing to end."""
