"""What is written to a segment file, and to which: between a store's loop and a thread."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from wal_core.format.block import HEADER_BYTES, NONCE_AT, NONCE_BYTES
from wal_core.stores.segments.end_note import EndNote, encode_end_note
from wal_core.types import Buffer


class SegmentFile:
    """An open segment file; touched by the thread that writes it, once created."""

    __slots__ = (
        "direct",
        "doubtful",
        "end",
        "fd",
        "lent",
        "lent_end",
        "named",
        "note_fd",
        "note_path",
        "path",
        "segment",
        "tail",
    )

    def __init__(
        self, path: Path, segment: int, note_fd: int = -1, note_path: Path | None = None
    ) -> None:
        self.path = path
        self.segment = segment
        self.note_fd = note_fd  # where its end is noted
        self.note_path = note_path  # to open for that, if the file has a note of its own
        self.fd = -1
        self.direct = False  # the descriptor takes whole pages only
        self.end = -1  # once opened: all bytes before it stay, none behind it counts
        self.tail = b""  # direct: the bytes before `end` that share a page with what comes
        self.named = False  # its name is durable in the folder
        self.doubtful = False  # a write or sync failed and none has succeeded since
        # Compiled code's, which has `end` and `tail` meanwhile; of the loop (compiled_writer.py).
        self.lent: object = None
        self.lent_end = -1  # where what it was given ends

    def close(self) -> None:
        """Nothing of it is under way."""
        self.lent = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self.note_path is not None and self.note_fd >= 0:
            os.close(self.note_fd)
            self.note_fd = -1


class WriteJob:
    """One block for one file."""

    __slots__ = ("bytes_count", "file", "final", "future", "pieces", "position", "told")

    def __init__(
        self,
        file: SegmentFile,
        position: int,
        pieces: Sequence[Buffer],
        future: asyncio.Future[None],
        *,
        final: bool,
        told: Callable[[OSError | None], None] | None = None,
    ) -> None:
        """`told` is called when `future` is settled, without the turn of the loop that its own
        callbacks take."""
        self.file = file
        self.position = position
        self.pieces = pieces
        self.bytes_count = sum(map(len, pieces))
        self.future = future
        self.final = final
        self.told = told


def note_of(job: WriteJob, end: int) -> bytes:
    """What to note once the file is durable up to `end`, where `job` ends."""
    header = bytes(job.pieces[0][:HEADER_BYTES])
    nonce = header[NONCE_AT : NONCE_AT + NONCE_BYTES]
    return encode_end_note(EndNote(job.file.segment, job.position if job.final else end, nonce))


def settle(jobs: Sequence[WriteJob], error: OSError | None) -> None:
    """Tell the waiters; on the event loop."""
    for job in jobs:
        if not job.future.done():
            if error is None:
                job.future.set_result(None)
            else:
                job.future.set_exception(error)
            if job.told is not None:
                job.told(error)
