"""The folder in which a logstore keeps a log. Blocking: call it off the event loop.

A promise and a final are files of their own, whose names say the term; the newest counts, older
ones go afterwards. Blocks of a segment lie in one file as in mode file, beside it the note how far
it was durable. Nothing is replied before what it tells is durable under a durable name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from wal_core.errors import Corrupt
from wal_core.format.block import HEADER_BYTES, BlockHeader, parse_block, parse_header
from wal_core.format.logstore_records import (
    Final,
    Promise,
    encode_final,
    encode_promise,
    parse_final,
    parse_promise,
)
from wal_core.logstore.held import Held, HeldLog
from wal_core.stores.files import (
    create_file,
    make_folder,
    opened,
    pread_exact,
    pwrite_all,
    sync_folder,
)
from wal_core.stores.segments.end_note import read_end_note
from wal_core.types import Buffer

_PROMISE_NAME = re.compile(r"promise-(\d{20})")
_SEGMENT_NAME = re.compile(r"(\d{20})\.seg")
_NOTE_NAME = re.compile(r"(\d{20})\.end")
_FINAL_NAME = re.compile(r"(\d{20})\.final-(\d{20})")

T = TypeVar("T")


def write_whole(path: Path, content: bytes) -> None:
    """Durable on return, or nobody was told of it."""
    temporary = path.parent / f".{path.name}"
    try:
        create_file(path, [content], temporary)
    except FileExistsError:
        # An attempt whose reply was lost, or whose folder was not synced. Its content was on
        # the device before it had a name.
        if read_whole(path) != content:
            # Never replied, or its term would have been refused: somebody else may have it.
            path.unlink()
            create_file(path, [content], temporary)
        sync_folder(path.parent)


def read_whole(path: Path) -> bytes:
    """All of a small file."""
    with opened(path, os.O_RDONLY) as fd:
        return pread_exact(fd, os.fstat(fd).st_size, 0)


class LogFolder:
    """Of one log."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def segment(self, number: int) -> Path:
        return self.path / f"{number:020d}.seg"

    def note(self, number: int) -> Path:
        return self.path / f"{number:020d}.end"

    # -- writing -----------------------------------------------------------------------------

    def create(self) -> None:
        make_folder(self.path)

    def write_promise(self, promise: Promise) -> None:
        """Durable on return; one that was written and not replied is recognised."""
        self._write(f"promise-{promise.term:020d}", encode_promise(promise))
        self._unlink_older(f"promise-{promise.term:020d}", "promise-")

    def write_final(self, final: Final) -> None:
        """As `write_promise`."""
        name = f"{final.segment:020d}.final-{final.term:020d}"
        self._write(name, encode_final(final))
        self._unlink_older(name, f"{final.segment:020d}.final-")

    def _write(self, name: str, content: bytes) -> None:
        write_whole(self.path / name, content)

    def _unlink_older(self, newest: str, prefix: str) -> None:
        for name in os.listdir(self.path):  # noqa: PTH208 - no path for each of hundreds
            if name.startswith(prefix) and name < newest:
                (self.path / name).unlink(missing_ok=True)

    def forget(self, before: int) -> None:
        """Remove the segments before that one: finals first, which without blocks look like damage,
        and notes last, for the same reason."""
        for pattern in (_FINAL_NAME, _SEGMENT_NAME, _NOTE_NAME):
            for path in self._named(pattern):
                if int(path.name[:20]) < before:
                    path.unlink(missing_ok=True)
            sync_folder(self.path)

    # -- reading -----------------------------------------------------------------------------

    def read(self, number: int, start: int, end: int, *, from_disk: bool = False) -> bytes:
        """From the disk even if the system has it in memory, as far as it can be told to."""
        with opened(self.segment(number), os.O_RDONLY) as fd:
            if from_disk and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(fd, start, end - start, os.POSIX_FADV_DONTNEED)
            return pread_exact(fd, end - start, start)

    def load(self, log_id: int) -> HeldLog | None:
        """All that is held, made durable; None for a log that is not known. Raises Corrupt: who
        cannot tell what it promised or held must not answer."""
        if not self.path.is_dir():
            return None
        sync_folder(self.path)  # a name may be there that no one lived to make durable
        for path in list(self.path.iterdir()):
            if path.name.startswith("."):
                path.unlink(missing_ok=True)
        promises = sorted(self._named(_PROMISE_NAME))
        if not promises:
            return None
        log = HeldLog(_parsed(promises[-1], parse_promise))
        if log.promise.log_id != log_id:
            raise Corrupt(f"{promises[-1]} is another log's", log_id=log_id)
        for path in sorted(self._named(_SEGMENT_NAME)):
            number = int(path.name[:20])
            log.segments[number] = self._load_segment(path, log_id, number)
        for path in self._named(_NOTE_NAME):
            if int(path.name[:20]) not in log.segments:
                path.unlink(missing_ok=True)
        for path in sorted(self._named(_FINAL_NAME)):  # by rising terms: the last one stays
            final = _parsed(path, parse_final)
            held = log.segments.setdefault(int(path.name[:20]), Held())
            if (final.log_id, final.segment) != (log_id, int(path.name[:20])):
                raise Corrupt(f"{path} is another segment's", log_id=log_id)
            if final.end > held.stored_count:
                raise Corrupt(
                    f"{path} ends {final.end} blocks, {held.stored_count} are there", log_id=log_id
                )
            held.final = final
        return log

    def _named(self, pattern: re.Pattern[str]) -> list[Path]:
        names = os.listdir(self.path)  # noqa: PTH208 - see above
        return [self.path / name for name in names if pattern.fullmatch(name)]

    def _load_segment(self, path: Path, log_id: int, number: int) -> Held:
        """Cut a torn tail. What is noted to have been durable must be there: a damaged block that
        was replied is no torn one. Behind it, anything may be in memory alone after a sync that
        failed, and is written again."""
        note = read_end_note(self.note(number))
        noted_bytes = note.bytes_count if note is not None else 0
        held = Held()
        with opened(path, os.O_RDWR) as fd:
            while (header := _block_at(fd, held, log_id, number)) is not None:
                held.take(header)
            if held.end_bytes < noted_bytes:
                raise Corrupt(
                    f"{path} is damaged at byte {held.end_bytes}; it was durable up to "
                    f"{noted_bytes}",
                    log_id=log_id,
                    segment=number,
                )
            for at in range(held.taken_count):
                start, end = held.position(at), held.position(at + 1)
                if end > noted_bytes:
                    pwrite_all(fd, [pread_exact(fd, end - start, start)], start)
            os.ftruncate(fd, held.end_bytes)
            os.fsync(fd)
        held.stored_count = held.taken_count
        return held


def _block_at(fd: int, held: Held, log_id: int, number: int) -> BlockHeader | None:
    """The next whole block of the segment's writer."""
    position = held.end_bytes
    try:
        header = parse_header(pread_exact(fd, HEADER_BYTES, position))
        expected = (log_id, number, held.taken_count)
        if (header.log_id, header.segment, header.block) != expected:
            return None
        if held.nonce not in (None, header.nonce):
            return None
        if position + header.total_bytes > os.fstat(fd).st_size:
            return None
        return parse_block(pread_exact(fd, header.total_bytes, position)).header
    except Corrupt:
        return None


def _parsed(path: Path, parse: Callable[[Buffer], T]) -> T:
    try:
        return parse(read_whole(path))
    except Corrupt as error:
        raise Corrupt(f"{path}: {error.message}") from error
