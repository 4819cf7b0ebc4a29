"""Where payloads lie in files, of blocks that were read and found whole: to send them as they are.

What is read again, by the next consumer group, needs neither be verified nor copied once more, as
long as the system has it in memory. Sixteen bytes for each entry tell where it begins and ends.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterator

from wal_core.config import MIB
from wal_core.format.block import HEADER_BYTES, INDEX_ENTRY, parse_header
from wal_core.stores.at_hand import AtHand
from wal_core.stores.file_region import FileRegion
from wal_core.stores.stretches import Stretch
from wal_core.types import Buffer, Payloads, Piece

PIECE_BYTES_MIN = 16 * 1024
"""Of what lies side by side, on average: a system call for less costs more than the copy."""
ENTRY_BYTES_MIN = 4 * 1024
"""On average: so the notes of a log are 0.4 % of what they are about, at most."""
NOTES_BYTES_MAX = 4 * MIB
"""Of one log: notes of two gigabytes and a half in batches of 16 KB."""
_ENTRY_NOTE_BYTES = 16
_LAID_BYTES = 600


class _Laid:
    """Entries of one stream that follow each other, in one file. First `add` all of them."""

    __slots__ = ("_begins", "_firsts", "_places", "_sums", "end", "key")

    def __init__(self, key: str, first: int) -> None:
        self.key = key
        self.end = first  # offset behind the last
        self._firsts = array("q")  # offset of each
        self._sums = array("q", (0,))  # payload bytes before each, and at last of all
        self._begins = array("q")  # which of them do not lie behind the one before, ...
        self._places = array("q")  # ... and where

    def add(self, offset_span: int, position: int, length: int) -> None:
        """The next entry."""
        if not self._places or position != self._place_of(len(self._firsts), -1):
            self._begins.append(len(self._firsts))
            self._places.append(position)
        self._firsts.append(self.end)
        self._sums.append(self._sums[-1] + length)
        self.end += offset_span

    @property
    def first(self) -> int:
        return self._firsts[0]

    @property
    def is_worth_it(self) -> bool:
        """Whether it is made of large pieces and entries."""
        bytes_count = self._sums[-1]
        return bytes_count >= PIECE_BYTES_MIN * len(
            self._begins
        ) and bytes_count >= ENTRY_BYTES_MIN * len(self._firsts)

    @property
    def note_bytes(self) -> int:
        """What this takes itself."""
        return _LAID_BYTES + _ENTRY_NOTE_BYTES * (len(self._firsts) + len(self._begins))

    def _place_of(self, entry: int, piece: int) -> int:
        """Of an entry, or the end of the last, that lies in this piece or right behind it."""
        return self._places[piece] + self._sums[entry] - self._sums[self._begins[piece]]

    def payloads(self, files: AtHand, offset: int, bytes_max: int) -> Payloads | None:
        """As `take` of entries; None if they are not at hand."""
        at = bisect_right(self._firsts, offset) - 1
        before = self._sums[at]
        end = max(bisect_right(self._sums, before + max(bytes_max, 0)) - 1, at + 1)
        parts = [*self._parts(at, end)]
        start, (position, length) = parts[0][0], parts[-1]
        file = files.holding(self.key, start, position + length - start)
        if file is None:
            return None
        now_s = asyncio.get_running_loop().time()
        pieces: list[Piece] = [FileRegion(file, *part, now_s) for part in parts]
        end_offset = self._firsts[end] if end < len(self._firsts) else self.end
        return Payloads(pieces, end_offset, self._sums[end] - before)

    def _parts(self, at: int, end: int) -> Iterator[tuple[int, int]]:
        """Of entries from one to before another: where some begin that lie side by side, and their
        bytes."""
        piece = bisect_right(self._begins, at) - 1
        while at < end:
            following = piece + 1
            stop = min(end, self._begins[following]) if following < len(self._begins) else end
            yield self._place_of(at, piece), self._sums[stop] - self._sums[at]
            at, piece = stop, following


def _laid_in(stretch: Stretch, buffer: memoryview) -> Iterator[tuple[int, _Laid]]:
    """What is in verified blocks, by stream."""
    open_ones: dict[int, _Laid] = {}
    at = 0
    for _ in range(stretch.block_count):
        header = parse_header(buffer[at:])
        data_at = at + HEADER_BYTES + header.index_bytes
        index = buffer[at + HEADER_BYTES : data_at]
        for stream_id, first, span, _, _, begin, length in INDEX_ENTRY.iter_unpack(index):
            laid = open_ones.get(stream_id)
            if laid is None or laid.end != first:  # what is between them lies elsewhere
                if laid is not None:
                    yield stream_id, laid
                laid = open_ones[stream_id] = _Laid(stretch.key, first)
            laid.add(span, stretch.position + data_at + begin, length)
        at += header.total_bytes
    yield from open_ones.items()


class LaidOut:
    """Of one log; what was of use longest ago goes first."""

    def __init__(self, bytes_max: int = NOTES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self.bytes_count = 0
        self._firsts: dict[int, list[int]] = {}  # of each stream, ascending
        self._laid: OrderedDict[tuple[int, int], _Laid] = OrderedDict()

    def add(self, stretch: Stretch, buffer: Buffer, entry_count: int) -> None:
        """The blocks of a stretch, which were verified, and have so many entries."""
        if entry_count * ENTRY_BYTES_MIN > stretch.length:
            return
        for stream_id, laid in _laid_in(stretch, memoryview(buffer)):
            if laid.is_worth_it:
                self._add(stream_id, laid)
        while self.bytes_count > self._bytes_max:
            self._forget(next(iter(self._laid)))

    def payloads(
        self, files: AtHand, stream_id: int, offset: int, bytes_max: int
    ) -> Payloads | None:
        """Those that begin with the entry that holds `offset`: the first always, more while they
        fit; None where nothing is noted, or it is not at hand."""
        firsts = self._firsts.get(stream_id)
        at = bisect_right(firsts, offset) - 1 if firsts else -1
        if firsts is None or at < 0:
            return None
        key = stream_id, firsts[at]
        laid = self._laid[key]
        if offset >= laid.end:
            return None
        self._laid.move_to_end(key)
        return laid.payloads(files, offset, bytes_max)

    def _add(self, stream_id: int, laid: _Laid) -> None:
        key = stream_id, laid.first
        if key in self._laid:
            self._forget(key)
        insort(self._firsts.setdefault(stream_id, []), laid.first)
        self._laid[key] = laid
        self.bytes_count += laid.note_bytes

    def _forget(self, key: tuple[int, int]) -> None:
        self.bytes_count -= self._laid.pop(key).note_bytes
        stream_id, first = key
        firsts = self._firsts[stream_id]
        del firsts[bisect_right(firsts, first) - 1]
        if not firsts:
            del self._firsts[stream_id]
