"""What is in memory of one stream: its newest confirmed entries.

Packed: columns of numbers, and the buffers that payloads lie in. An object for each of a hundred
thousand small entries would be gone through by every collection of garbage; entries are made when
they are read.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import accumulate

from wal_core.format.block import IndexRow
from wal_core.types import Buffer, Entry, Payloads, Piece

_NO_NUMBERS, _NO_SIZES = array("q"), array("I")
_NO_HOLDERS: list[Buffer] = []
"""The columns of whoever was told to forget: shared, and never changed."""


class StreamTail:
    """What is in memory of one stream, in offset order and without a gap up to its end."""

    __slots__ = (
        "_bases",
        "_counts",
        "_gone_count",
        "_holders",
        "_lengths",
        "_starts",
        "_stream_id",
        "_times",
    )

    def __init__(self, stream_id: int) -> None:
        self._stream_id = stream_id
        # Parallel columns, of which the first `_gone_count` are evicted.
        self._bases = array("q")
        self._counts = array("I")  # of records; spans follow from the bases
        self._times = array("q")
        self._holders: list[Buffer] = []  # a payload is here,
        self._starts = array("I")  # from here on,
        self._lengths = array("I")  # so long
        self._gone_count = 0

    def __len__(self) -> int:
        return len(self._bases) - self._gone_count

    def forget(self) -> None:
        """Nobody will read it any more: keep nothing, and nothing of what still comes."""
        self._bases = self._times = _NO_NUMBERS
        self._counts = self._starts = self._lengths = _NO_SIZES
        self._holders = _NO_HOLDERS
        self._gone_count = 0

    def append(self, row: IndexRow, holder: Buffer, start: int) -> None:
        """An entry: its row in the index of its block, and where its payload is."""
        if self._holders is _NO_HOLDERS:
            return
        _, base_offset, _, record_count, time_ms, _, size = row
        self._bases.append(base_offset)
        self._counts.append(record_count)
        self._times.append(time_ms)
        self._holders.append(holder)
        self._starts.append(start)
        self._lengths.append(size)

    def evict_oldest(self) -> None:
        if self._holders is _NO_HOLDERS:
            return
        # Let the payload go now, not when the columns are cut.
        self._holders[self._gone_count] = b""
        self._gone_count += 1
        if self._gone_count >= 64 and self._gone_count * 2 >= len(self._bases):
            for column in (self._bases, self._counts, self._times, self._starts, self._lengths):
                del column[: self._gone_count]
            del self._holders[: self._gone_count]
            self._gone_count = 0

    def entries_from(
        self, offset: int, end_offset: int, bytes_max: int, count_max: int
    ) -> list[Entry] | None:
        """Entries from the one holding `offset`, at least one, else up to both bounds; None when
        that one is no longer here. The last one ends at `end_offset`."""
        found = self._found(offset, bytes_max, count_max)
        if found is None:
            return None
        at, sizes = found
        bases, entries = self._bases, []
        for index, size in enumerate(sizes, at):
            base_offset, start = bases[index], self._starts[index]
            following = bases[index + 1] if index + 1 < len(bases) else end_offset
            payload = memoryview(self._holders[index])[start : start + size]
            entries.append(
                Entry(
                    self._stream_id,
                    base_offset,
                    following - base_offset,
                    self._counts[index],
                    self._times[index],
                    payload,
                )
            )
        return entries

    def payloads_from(
        self, offset: int, end_offset: int, bytes_max: int, count_max: int
    ) -> Payloads | None:
        """As `entries_from`, without what only an object for each entry could tell."""
        found = self._found(offset, bytes_max, count_max)
        if found is None:
            return None
        at, sizes = found
        bases, stop = self._bases, at + len(sizes)
        pieces: list[Piece] = []
        holder, begin, end = self._holders[at], self._starts[at], self._starts[at]
        for held, start, size in zip(
            self._holders[at:stop], self._starts[at:stop], sizes, strict=True
        ):
            if held is not holder or start != end:
                pieces.append(memoryview(holder)[begin:end])
                holder, begin = held, start
            end = start + size
        pieces.append(memoryview(holder)[begin:end])
        following = bases[stop] if stop < len(bases) else end_offset
        return Payloads(pieces, following, sum(sizes))

    def _found(self, offset: int, bytes_max: int, count_max: int) -> tuple[int, array[int]] | None:
        """The index of the entry holding `offset`, and the sizes of it and those behind it within
        both bounds."""
        at = bisect_right(self._bases, offset, self._gone_count) - 1
        if at < self._gone_count:
            return None
        sizes = self._lengths[at : at + count_max]
        if sum(sizes) > bytes_max:
            del sizes[max(1, bisect_right(list(accumulate(sizes)), bytes_max)) :]
        return at, sizes
