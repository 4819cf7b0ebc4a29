"""Segments as append-only files: `<root>/logs/<log>/<segment>.seg`, one writer by OS lock.

Writes go through one thread with group commit (file_writer.py); reads and recovery through a few
others. The lock file also notes the term of the last open, so that terms rise even over opens
that wrote nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from wal_core.clock import SystemRng
from wal_core.config import Mode
from wal_core.errors import Corrupt, Unavailable
from wal_core.format.block import Block
from wal_core.format.footer import encode_trailer
from wal_core.format.places import Lost, Place, Slot
from wal_core.format.versions import LOCK_FILE
from wal_core.stores.at_hand import AtHand
from wal_core.stores.deadline import expect
from wal_core.stores.direct_io import FILE_MODE
from wal_core.stores.files import make_folder, sync_folder
from wal_core.stores.objects.local_folder import LocalFolderStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.room import Room
from wal_core.stores.segments.base import Told
from wal_core.stores.segments.end_note import EndNote, read_end_note
from wal_core.stores.segments.file_recovery import (
    FileScan,
    make_footer_durable,
    read_footer_block,
)
from wal_core.stores.segments.file_tail import FileTail
from wal_core.stores.segments.file_writer import (
    FileOps,
    FileWriter,
    SystemFileOps,
    ThreadFileWriter,
)
from wal_core.stores.segments.jobs import SegmentFile, WriteJob
from wal_core.tally import StoreTally
from wal_core.types import Buffer

_SEGMENT_NAME = re.compile(r"(\d{20})\.seg")
_READ_THREADS_MAX_COUNT = 4
_TERM_BYTES = 64
REST_S = 0.001
"""Of a read, between two of its pieces, while others write: a thread that writes needs the
interpreter some times and the loop when it is done, and gets both at once where nobody computes.
Longer: catching up takes longer; shorter than a loop's clock counts there is nothing but spinning.
"""
QUIET_S = 0.02
"""Since the last write came back, before reads keep the loop for a millisecond at a time. Whoever
writes one record after the other waits for none of them; longer: who reads beside some writes a
second pays for threads.
"""
ANSWER_TURNS_COUNT = 4
"""Of the loop, from a write that is back to the reply of who waited for it."""
_TERM_END = 1 << 63
"""No log was opened so often: a lock file that says so is damaged."""

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class FileSegmentStore:
    """A SegmentStore in a local folder."""

    mode: Mode = "file"
    locks = True
    claims = False
    segment_is_one_object = True
    uploads = False

    def __init__(
        self,
        root: Path,
        *,
        objects: LocalFolderStore | None = None,
        ops: FileOps | None = None,
        writer: FileWriter | None = None,
        room: Room | None = None,
    ) -> None:
        self.root = root
        self.location = str(root)
        self.room = room or Room()
        self.objects = objects or LocalFolderStore(root, SystemRng(), self.room)
        self._at_hand = self.objects.at_hand
        self.tally = StoreTally()
        self._writer = writer or ThreadFileWriter(ops or SystemFileOps(), synced=self.tally.syncs)
        self._readers = ThreadPoolExecutor(_READ_THREADS_MAX_COUNT, "wal-reader")
        self._lock_fds: dict[int, int] = {}
        self._open_files: dict[tuple[int, int], SegmentFile] = {}
        self._writing: dict[Slot, asyncio.Future[None]] = {}
        self._submitted_s = -1.0  # when that grew, by the loop's clock
        self._ended_s = -QUIET_S  # when it shrank

    # -- the only writer -------------------------------------------------------------------

    async def lock(self, log_id: int) -> int:
        folder = self._folder(log_id)
        if log_id in self._lock_fds:
            raise Unavailable(f"the log in {folder} is already open here", log_id=log_id)
        taking = asyncio.ensure_future(self._run(lambda: _take_lock(folder, log_id)))
        try:
            self._lock_fds[log_id], term = await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(_give_back)  # the thread takes it all the same
            raise
        try:
            await self.objects.open()
        except BaseException:
            await self.unlock(log_id)
            raise
        return term

    async def note_term(self, log_id: int, term: int) -> None:
        fd = self._lock_fds[log_id]
        await self._run(lambda: _note_term(fd, term))

    async def check_claim(self, log_id: int, term: int) -> None:
        """The lock keeps others out."""

    async def unlock(self, log_id: int) -> None:
        pending = [job for slot, job in self._writing.items() if slot.log_id == log_id]
        if pending:
            # Another process may open the files next: no write of ours may come after that.
            await asyncio.wait(pending)
        for key in [key for key in self._open_files if key[0] == log_id]:
            self._open_files.pop(key).close()
        fd = self._lock_fds.pop(log_id, -1)
        if fd >= 0:
            os.close(fd)  # gives the lock back

    def when_spare(self, log_id: int, call: Callable[[], None]) -> None:
        """There is one place."""

    def away_count(self, log_id: int) -> int:
        return 0

    # -- writing ---------------------------------------------------------------------------

    async def append(self, slot: Slot, pieces: Sequence[Buffer], *, final: bool) -> None:
        expect(sum(map(len, pieces)))
        future = self._writing.get(slot)
        if future is None:  # else: an earlier attempt is still with the device, wait for it
            future = self._submit(slot, pieces, final=final)
        try:
            await asyncio.shield(future)
        except OSError as error:
            where = str(self._path(slot.log_id, slot.segment))
            raise self.room.refused(where, error) from error

    def begin(self, slot: Slot, pieces: Sequence[Buffer], told: Told) -> bool:
        if slot in self._writing or slot.log_id not in self._lock_fds:
            return False
        self._submit(slot, pieces, final=False, told=told)
        return True

    def _submit(
        self, slot: Slot, pieces: Sequence[Buffer], *, final: bool, told: Told | None = None
    ) -> asyncio.Future[None]:
        if slot.log_id not in self._lock_fds:
            raise Unavailable("the log is not locked by this store", log_id=slot.log_id)
        key = (slot.log_id, slot.segment)
        file = self._open_files.get(key)
        if file is None:
            path, lock_fd = self._path(*key), self._lock_fds[slot.log_id]
            file = self._open_files[key] = SegmentFile(path, slot.segment, lock_fd)
        if final:
            pieces = [*pieces, encode_trailer(slot.position, sum(map(len, pieces)))]
        future = asyncio.get_running_loop().create_future()
        self._writing[slot] = future
        self._submitted_s = future.get_loop().time()

        def done(future: asyncio.Future[None]) -> None:
            del self._writing[slot]
            self._ended_s = future.get_loop().time()
            if future.exception() is None and final:
                self._open_files.pop(key, None)

        future.add_done_callback(done)
        job = WriteJob(file, slot.position, pieces, future, final=final, told=told)
        self._writer.submit(job)
        return future

    async def let_writes_pass(self) -> None:
        lately = asyncio.get_running_loop().time() - self._submitted_s < REST_S
        await asyncio.sleep(REST_S if lately or self._writing else 0)
        if self._writing:
            await asyncio.wait((next(iter(self._writing.values())),), timeout=REST_S)
            for _ in range(ANSWER_TURNS_COUNT):
                await asyncio.sleep(0)

    async def delete_segment(self, log_id: int, segment: int, keep: Collection[int] = ()) -> None:
        path = self._path(log_id, segment)

        def delete() -> None:
            path.unlink(missing_ok=True)
            sync_folder(path.parent)

        await self._run(delete)
        self._at_hand.let_go()

    # -- reading ---------------------------------------------------------------------------

    async def segments(self, log_id: int, after: int = -1) -> list[int]:
        folder = self._folder(log_id)

        def scan() -> list[int]:
            if not folder.is_dir():
                return []
            names = (_SEGMENT_NAME.fullmatch(row.name) for row in os.scandir(folder))
            return sorted(int(match[1]) for match in names if match and int(match[1]) > after)

        return await self._run(scan)

    @property
    def at_hand(self) -> AtHand | None:
        quiet_s = asyncio.get_running_loop().time() - self._ended_s
        return self._at_hand if quiet_s >= QUIET_S and not self._writing else None

    def place(self, slot: Slot, length: int | None) -> Place:
        return Place(_key(slot.log_id, slot.segment), slot.position, length, *slot[:3])

    async def read_footer(self, log_id: int, segment: int) -> Block | None:
        path = self._path(log_id, segment)
        block = await self._run(lambda: read_footer_block(path))
        if block is not None and (block.header.log_id, block.header.segment) != (log_id, segment):
            raise Corrupt(f"{path} holds another segment", log_id=log_id, segment=segment)
        return block

    async def recover_segment(
        self,
        log_id: int,
        segment: int,
        persist: Persistence,
        *,
        first: int = 0,
        cut: bool = True,
        finished: bool = False,
    ) -> AsyncIterator[Block | Lost]:
        assert first == 0
        path = self._path(log_id, segment)
        if not await self._run(path.exists):
            if finished:
                yield Lost(0, 1, 0, "it is not there")
            return
        note = await self.noted_end(log_id)
        noted = note is not None and note.segment == segment
        scan = FileScan(path, log_id, segment, note.nonce if note and noted else None)
        while blocks := await self._run(scan.next_blocks):
            for block in blocks:
                yield block
        if finished:
            yield Lost(scan.blocks_count, 1, 0, f"no block at byte {scan.position}, and no footer")
        elif note and noted and note.bytes_count > scan.position:
            text = f"ends at byte {scan.position}; it was durable up to {note.bytes_count}"
            yield Lost(scan.blocks_count, 1, 0, text)
        if cut:
            cut_bytes = await self._run(scan.cut)
            _logger.info(
                "%s: %d whole blocks, %d bytes behind them cut", path, scan.blocks_count, cut_bytes
            )

    def follow(self, log_id: int, segment: int) -> FileTail:
        return FileTail(self._path(log_id, segment), log_id, segment, self._run)

    async def noted_end(self, log_id: int) -> EndNote | None:
        """How far the newest segment was durable, at least; None when nobody noted it."""
        path = self._folder(log_id) / "lock"
        return await self._run(lambda: read_end_note(path))

    async def close(self) -> None:
        await self._run(self._writer.close)
        for log_id in list(self._lock_fds):
            await self.unlock(log_id)
        self._readers.shutdown(wait=False)
        await self.objects.close()

    # -- helpers ---------------------------------------------------------------------------

    def _folder(self, log_id: int) -> Path:
        return self.root / "logs" / str(log_id)

    def _path(self, log_id: int, segment: int) -> Path:
        return self.root / _key(log_id, segment)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, work)
        except OSError as error:
            raise self.room.refused(self.location, error) from error


def _key(log_id: int, segment: int) -> str:
    """Of a segment's file, for the store of objects in the same folder."""
    return f"logs/{log_id}/{segment:020d}.seg"


def _take_lock(folder: Path, log_id: int) -> tuple[int, int]:
    """(descriptor holding the lock, noted term)."""
    make_folder(folder)
    path = folder / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), FILE_MODE)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                f"the log in {folder} is in use by another process; stop that one first, "
                "or give this one a folder of its own",
                log_id=log_id,
            ) from None
        _make_inherited_durable(folder)
        return fd, _noted_term(os.pread(fd, _TERM_BYTES, 0))
    except BaseException:
        os.close(fd)
        raise


def _give_back(taking: asyncio.Future[tuple[int, int]]) -> None:
    if not taking.cancelled() and taking.exception() is None:
        os.close(taking.result()[0])


def _make_inherited_durable(folder: Path) -> None:
    """Names, and the newest file's footer, which a killed predecessor may not have lived to sync.

    They can be read although they never reached the device, and recovery builds on what it reads.
    The blocks of an unfinished file are FileScan's.
    """
    newest = max(
        (path for path in folder.iterdir() if _SEGMENT_NAME.fullmatch(path.name)), default=None
    )
    if newest is not None:
        make_footer_durable(newest)
    sync_folder(folder)


def _noted_term(content: bytes) -> int:
    """A lock file cut short by a crash says nothing; the segments' own terms then rule.
    Raises Invalid for one of a version that is not read here."""
    try:
        found = json.loads(content)
        version, term = found["version"], found["term"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    if isinstance(version, int):
        LOCK_FILE.check(version)
    return term if isinstance(term, int) and 0 < term < _TERM_END else 0


def _note_term(fd: int, term: int) -> None:
    content = (
        json.dumps({"version": LOCK_FILE.version, "term": term, "pid": os.getpid()}).encode()
        + b"\n"
    )
    os.pwrite(fd, content.ljust(_TERM_BYTES), 0)  # one size for ever: never a mix of two contents
    os.fsync(fd)
