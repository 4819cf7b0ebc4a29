"""How far the bucket is behind what was acknowledged, where segments are uploaded."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from wal_core.format.chain import Completed
from wal_core.format.footer import Footer
from wal_core.state.contents import Contents
from wal_core.stores.segments.base import SegmentStore
from wal_core.write.log_writer import LogWriter


class _Waiting(NamedTuple):
    """A finished segment."""

    since_s: float
    bytes_count: int


class UploadLag:
    """Belongs to a Log, which says what ends. What there was when it was opened counts from then
    on, and its bytes are not known. Where nothing is uploaded it is 0."""

    def __init__(self, store: SegmentStore, contents: Contents, writer: LogWriter) -> None:
        self._contents = contents
        self._uploads = store.uploads
        self._loop = asyncio.get_running_loop()
        now_s = self._loop.time()
        self._waiting = {link.last: _Waiting(now_s, 0) for link in self._completed()}
        self._writer = writer

    def _completed(self) -> list[Completed]:
        return [link for link in self._contents.chain.links if isinstance(link, Completed)]

    def finished(self, footer: Footer) -> None:
        """A segment is."""
        if not self._uploads:
            return
        last = footer.extent(footer.block_count - 1) if footer.block_count else None
        bytes_count = last.position + last.length if last is not None else 0
        self._waiting[footer.segment] = _Waiting(self._writer.segment_since_s, bytes_count)

    def now(self) -> tuple[float, int]:
        """Seconds since the oldest record came that the bucket does not have, and all bytes that
        it does not have."""
        if not self._uploads:
            return 0.0, 0
        left = {link.segment for link in self._completed()}
        self._waiting = {one: row for one, row in self._waiting.items() if one in left}
        since_s = [row.since_s for row in self._waiting.values()]
        bytes_count = sum(row.bytes_count for row in self._waiting.values())
        active = self._contents.active
        if active is not None and active.block_count:
            since_s.append(self._writer.segment_since_s)
            bytes_count += active.bytes_count
        return (self._loop.time() - min(since_s) if since_s else 0.0), bytes_count
