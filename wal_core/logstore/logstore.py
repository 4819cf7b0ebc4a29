"""A logstore: keeps the tails of logs for their writers, each the only one at a time by promise.

Every log has one line of promises, finals and deletions; blocks of the one promised go beside it,
many at once, and share a sync. A promise waits for the blocks on their way, so that what it tells
is all there will be.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from wal_core.clock import Rng
from wal_core.config import LogConfig
from wal_core.errors import Corrupt, Invalid, NoRoom, Unavailable
from wal_core.format.block import NONCE_BYTES, BlockKind, parse_block
from wal_core.format.logstore_records import Final, Identity, Promise
from wal_core.logstore.folder import LogFolder
from wal_core.logstore.held import Held, HeldLog
from wal_core.logstore.identity import load_identity, write_cluster
from wal_core.logstore.replica import Asker, Tail, Told, Unknown, tell
from wal_core.stores.direct_io import FILE_MODE
from wal_core.stores.files import make_folder
from wal_core.stores.room import FolderDisk, Room
from wal_core.stores.segments.file_writer import FileWriter
from wal_core.stores.segments.jobs import SegmentFile, WriteJob
from wal_core.types import Buffer

_THREADS_MAX_COUNT = 4
_ROOM_REMEDY = "it gets room when segments have been uploaded"

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class _OpenLog:
    """A log, its files and what is on its way to them."""

    def __init__(self, folder: LogFolder, held: HeldLog) -> None:
        self.folder = folder
        self.held = held
        self.files: dict[int, SegmentFile] = {}
        self.writing: dict[tuple[int, int], _Flight] = {}  # by segment and block
        self.is_promising = False

    async def settled(self) -> None:
        """Nothing is on its way any more."""
        while self.writing:
            await asyncio.wait([flight.future for flight in self.writing.values()])

    def close_files(self, before: int | None = None) -> None:
        for number in list(self.files):
            if before is None or number < before:
                self.files.pop(number).close()


class _Flight:
    """A block on its way to the disk."""

    __slots__ = ("arrived", "future")

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future
        self.arrived: list[Callable[[OSError | None], None]] = []  # are called when it has


class Logstore:
    """A Replica, in a folder of its own."""

    def __init__(
        self,
        root: Path,
        writer: FileWriter,
        rng: Rng,
        *,
        bytes_max: int,
        free_bytes_min: int = 0,
        reserve_bytes: int = 0,
    ) -> None:
        """Blocks are taken up to `bytes_max`, and while `free_bytes_min` would be left on the disk;
        `reserve_bytes` are set aside in a file for promises and finals on a disk that is full all
        the same."""
        self.root = root
        self.bytes_max = bytes_max
        self.held_bytes = 0
        """Of all blocks that are here or on their way."""
        self.identity = Identity(bytes(NONCE_BYTES), "")
        """Known once it is open."""
        self._rng = rng
        self._writer = writer
        self._threads = ThreadPoolExecutor(_THREADS_MAX_COUNT, "logstore")
        self._room = Room(FolderDisk(root), remedy=_ROOM_REMEDY)
        self._unwritten_bytes = 0  # of blocks on their way to the disk
        self._room_config = LogConfig(free_bytes_min=free_bytes_min, reserve_bytes=reserve_bytes)
        self._logs: dict[int, _OpenLog] = {}
        self._lines: dict[int, asyncio.Lock] = {}
        self._damaged: dict[int, str] = {}
        self._binding = asyncio.Lock()
        self._lock_fd = -1

    @property
    def logs_count(self) -> int:
        """That are known here."""
        return len(self._logs)

    @property
    def damaged_logs_count(self) -> int:
        """About which it is silent."""
        return len(self._damaged)

    @property
    def is_full(self) -> bool:
        """Blocks are refused for want of room."""
        return self._room.is_low or self.held_bytes >= self.bytes_max

    async def open(self) -> None:
        """Find out what is held. A log that is damaged is told of, and gets no replies."""
        self._lock_fd = await self._run(self._take_lock)
        await self._room.open(self._room_config)
        self._room.watch(lambda: self._unwritten_bytes, lambda: None)
        drawn = self._rng.random_bytes(NONCE_BYTES)
        self.identity = await self._run(lambda: load_identity(self.root, drawn))
        for name in await self._run(lambda: sorted(path.name for path in self.root.iterdir())):
            if not name.isdecimal():
                continue
            log_id, folder = int(name), LogFolder(self.root / name)
            try:
                held = await self._run(_loading(folder, log_id))
            except Corrupt as error:
                _logger.error("%s: this logstore is silent about it from now on", error)
                self._damaged[log_id] = str(error)
                continue
            if held is not None:
                self.held_bytes += held.held_bytes
                self._logs[log_id] = _OpenLog(folder, held)

    async def close(self) -> None:
        """Finish what is on its way."""
        for log in self._logs.values():
            await log.settled()
            log.close_files()
        await self._run(self._writer.close)
        await self._room.close()
        self._threads.shutdown(wait=False)
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def check_cluster(self, cluster: str) -> None:
        """Raises Invalid for another one than this logstore belongs to."""
        if self.identity.cluster not in ("", cluster):
            raise Invalid(
                f"{self.root} belongs to cluster {self.identity.cluster}, not to {cluster}: "
                "give this one a logstore of its own"
            )

    async def belong_to(self, cluster: str) -> None:
        """To that cluster and no other from now on."""
        async with self._binding:
            self.check_cluster(cluster)
            if cluster != self.identity.cluster:
                bound = self.identity._replace(cluster=cluster)
                await self._run(lambda: write_cluster(self.root, bound))
                self.identity = bound

    # -- promises ------------------------------------------------------------------------------

    async def join(self, log_id: int, term: int, nonce: bytes) -> bytes:
        """Keep this log from now on, promised to who asks; returns its birth here. A log that is
        known keeps its birth."""
        async with self._line(log_id):
            self._check_whole(log_id)
            log = self._logs.get(log_id)
            if log is None:
                birth = self._rng.random_bytes(NONCE_BYTES)
                promise = Promise(log_id, birth, term, nonce)
                folder = LogFolder(self.root / str(log_id))
                await self._run(_creating(folder, promise))
                self._logs[log_id] = _OpenLog(folder, HeldLog(promise))
                return birth
            await self._promise(log, term, nonce)
            return log.held.promise.birth

    async def promise(self, asker: Asker) -> list[Tail]:
        """Take nothing from anybody of a lower term any more; tells all that is held. Raises
        Promised for who has no higher term than the last, unless it is the same."""
        async with self._line(asker.log_id):
            log = self._known(asker)
            await self._promise(log, asker.term, asker.nonce)
            return log.held.tails()

    async def look(self, asker: Asker) -> list[Tail]:
        """What is confirmed of all segments, and their finals, which need not have been chosen."""
        return self._known(asker).held.confirmed_tails()

    async def _promise(self, log: _OpenLog, term: int, nonce: bytes) -> None:
        if not log.held.check_promise(term, nonce):
            return
        promise = log.held.promise._replace(term=term, nonce=nonce)
        log.is_promising = True
        try:
            await log.settled()
            await self._run(lambda: log.folder.write_promise(promise))
            log.held.promise = promise
        finally:
            log.is_promising = False

    # -- blocks --------------------------------------------------------------------------------

    async def append(self, asker: Asker, stored: Buffer) -> int:
        """Take a whole data block; returns how many of its segment are on the disk now, which are
        fewer if one before it is missing. May be repeated. Raises NoRoom, Invalid for a block that
        differs from the one there."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.begin_append(asker, stored, partial(tell, future))
        return await future

    def begin_append(self, asker: Asker, stored: Buffer, told: Told) -> None:
        """As `append`, for who has no task to wait in. See `Replica`."""
        log = self._promised(asker)
        header = parse_block(stored).header
        if header.kind != BlockKind.DATA or header.log_id != asker.log_id:
            raise Invalid("not a data block of the log", log_id=asker.log_id)
        held = log.held.check_block(header)
        flight = log.writing.get((header.segment, header.block))
        if flight is None and header.block == held.taken_count:
            if self.held_bytes + header.total_bytes > self.bytes_max:
                raise NoRoom(
                    f"{self.root} may hold {self.bytes_max} bytes and holds {self.held_bytes}; "
                    f"{_ROOM_REMEDY}"
                )
            self._room.admit(header.total_bytes)
            log.held.segments[header.segment] = held
            held.take(header)
            self.held_bytes += header.total_bytes
            flight = self._submit(log, held, header.segment, stored)
        arrived = partial(self._arrived, held, header.durable_count, told)
        if flight is None:
            asyncio.get_running_loop().call_soon(arrived, None)
        else:
            flight.arrived.append(arrived)

    def _arrived(self, held: Held, confirmed_count: int, told: Told, error: OSError | None) -> None:
        if error is not None:
            told(self._refused(error))
            return
        held.confirm(confirmed_count)
        told(held.stored_count)

    def _submit(self, log: _OpenLog, held: Held, segment: int, stored: Buffer) -> _Flight:
        """Have the block that was taken last written."""
        number = held.taken_count - 1
        file = log.files.get(segment)
        if file is None:
            path, note_path = log.folder.segment(segment), log.folder.note(segment)
            file = log.files[segment] = SegmentFile(path, segment, note_path=note_path)
        flight = _Flight(asyncio.get_running_loop().create_future())
        log.writing[segment, number] = flight
        self._unwritten_bytes += len(stored)

        def landed(error: OSError | None) -> None:
            del log.writing[segment, number]
            self._unwritten_bytes -= len(stored)
            if error is None:
                held.stored_count = max(held.stored_count, number + 1)
            else:
                flight.future.exception()  # told below, to all who asked
                self.held_bytes -= held.drop_from(number)
            for arrived in flight.arrived:
                arrived(error)

        position, future = held.position(number), flight.future
        self._writer.submit(WriteJob(file, position, [stored], future, final=False, told=landed))
        return flight

    async def confirm(self, asker: Asker, segment: int, count: int) -> None:
        """So many blocks of a segment are confirmed: what an idle writer says, who sends no block
        that would."""
        held = self._promised(asker).held.segments.get(segment)
        if held is not None:
            held.confirm(count)

    # -- ends of segments ----------------------------------------------------------------------

    async def end(self, asker: Asker, final: Final) -> None:
        """Take a segment's final. May be repeated. Raises Unavailable for one with more blocks
        before it than are here."""
        async with self._line(asker.log_id):
            log = self._promised(asker)
            if (final.log_id, final.term) != (asker.log_id, asker.term):
                raise Invalid("a final is proposed under one's own term", log_id=asker.log_id)
            if log.held.check_final(final):
                await self._run(lambda: log.folder.write_final(final))
                log.held.segments.setdefault(final.segment, Held()).final = final

    async def forget(self, asker: Asker, before: int) -> None:
        """Remove the segments before that one, which the bucket has."""
        async with self._line(asker.log_id):
            log = self._promised(asker)
            await log.settled()
            log.close_files(before)
            for number in [number for number in log.held.segments if number < before]:
                self.held_bytes -= log.held.segments.pop(number).end_bytes
            await self._run(lambda: log.folder.forget(before))

    # -- reading -------------------------------------------------------------------------------

    async def read(
        self, asker: Asker, segment: int, first: int, bytes_max: int, *, recovering: bool = False
    ) -> bytes:
        """Whole blocks from that one on, one at least if there is any: of those that are confirmed,
        or lie before a final; of all for who recovers the log with a promise, which others need not
        have."""
        log = self._promised(asker) if recovering else self._known(asker)
        held = log.held.segments.get(segment) or Held()
        last = held.stored_count if recovering else held.shown_count
        after = held.stretch_end(first, last, bytes_max)
        if after == first:
            return b""
        start, end = held.position(first), held.position(after)
        return await self._run(lambda: log.folder.read(segment, start, end))

    def segments(self) -> list[tuple[int, int]]:
        """All that are held: log and number."""
        return [
            (log_id, number) for log_id, log in self._logs.items() for number in log.held.segments
        ]

    async def read_from_disk(
        self, log_id: int, segment: int, first: int, bytes_max: int
    ) -> tuple[list[int], bytes]:
        """Blocks as `read` does, whoever may see them, and not out of the system's memory; and how
        long each is. None of what is not held any more."""
        log = self._logs.get(log_id)
        held = log.held.segments.get(segment) if log is not None else None
        if log is None or held is None:
            return [], b""
        end = held.stretch_end(first, held.stored_count, bytes_max)
        positions = [held.position(number) for number in range(first, end + 1)]
        if end == first:
            return [], b""
        folder, last = log.folder, positions[-1]
        try:
            stored = await self._run(
                lambda: folder.read(segment, positions[0], last, from_disk=True)
            )
        except Unavailable:
            if segment not in log.held.segments:
                return [], b""  # it was forgotten meanwhile
            raise
        return [after - before for before, after in pairwise(positions)], stored

    # -- helpers -------------------------------------------------------------------------------

    def _line(self, log_id: int) -> asyncio.Lock:
        return self._lines.setdefault(log_id, asyncio.Lock())

    def _check_whole(self, log_id: int) -> None:
        if log_id in self._damaged:
            raise Unavailable(self._damaged[log_id], log_id=log_id)

    def _known(self, asker: Asker) -> _OpenLog:
        self._check_whole(asker.log_id)
        log = self._logs.get(asker.log_id)
        if log is None:
            raise Unknown("this logstore does not know the log", log_id=asker.log_id)
        log.held.check_birth(asker.birth)
        return log

    def _promised(self, asker: Asker) -> _OpenLog:
        log = self._known(asker)
        log.held.check_promised(asker.term, asker.nonce)
        if log.is_promising:
            raise Unavailable("another writer is being promised the log", log_id=asker.log_id)
        return log

    def _take_lock(self) -> int:
        make_folder(self.root)
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise Unavailable(
                f"{self.root} is in use by another logstore; stop that one first, or give this "
                "one a folder of its own"
            ) from None
        return fd

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> Unavailable:
        return self._room.refused(str(self.root), error)


def _loading(folder: LogFolder, log_id: int) -> Callable[[], HeldLog | None]:
    return lambda: folder.load(log_id)


def _creating(folder: LogFolder, promise: Promise) -> Callable[[], None]:
    def create() -> None:
        folder.create()
        folder.write_promise(promise)

    return create
