"""A segment file that another process writes, read up to where it is durable and no further.

Bytes in a file can be read before they are durable, and may be gone after a power cut. So what
counts is what the owner has noted after a sync (end_note.py), or a footer: the blocks before one
were durable before it was written. A finished file is what a footer says it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from wal_core.format.block import Block
from wal_core.format.footer import Footer
from wal_core.format.places import Lost
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.end_note import read_end_note
from wal_core.stores.segments.file_recovery import FileScan, read_footer_block

Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Has something blocking done in a thread."""


class FileTail:
    """A SegmentTail. Goes on where it was, so a look costs what has come."""

    def __init__(self, path: Path, log_id: int, segment: int, run: Run) -> None:
        self._path = path
        self._segment = segment
        self._run = run
        self._scan = FileScan(path, log_id, segment)
        self._is_over = False

    async def blocks(self, persist: Persistence) -> AsyncIterator[Block | Lost]:
        """The file is read in the same folder; `persist` is for those who read from afar."""
        if self._is_over:
            return
        # In this order: what is noted behind this file was written after its footer.
        footer = await self._run(lambda: read_footer_block(self._path))
        end = await self._run(self._durable_end) if footer is None else _blocks_end(footer)
        while found := await self._run(lambda: self._next(end)):
            for block in found:
                yield block
        if footer is not None and self._scan.position == end:
            self._is_over = True
            yield footer

    def _durable_end(self) -> int:
        note = read_end_note(self._path.with_name("lock"))
        return note.bytes_count if note is not None and note.segment == self._segment else 0

    def _next(self, end: int) -> list[Block | Lost]:
        if self._scan.position >= end:
            return []
        try:
            return self._scan.next_blocks(end)
        except FileNotFoundError:
            return []  # sealed, and deleted


def _blocks_end(footer: Block) -> int:
    tables = Footer.of_block(footer)
    if not tables.block_count:
        return 0
    last = tables.extent(tables.block_count - 1)
    return last.position + last.length
