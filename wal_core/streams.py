"""Streams of a log: their offsets, and the confirmed tail kept in memory for readers."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from wal_core.stream_tables import NO_TIMESTAMP_MS, Run, StreamRow
from wal_core.types import Entry

_ENTRY_OVERHEAD_BYTES = 400
"""What an entry costs besides its payload: tuple, ints, view, two list slots (measured)."""


class Stream:
    """One stream. Invariant: start <= confirmed <= end; the tail ends at confirmed."""

    __slots__ = (
        "bases",
        "confirmed",
        "dropped",
        "end",
        "entries",
        "first_max_ms",
        "first_run",
        "gone",
        "max_ts_ms",
        "payload_bytes",
        "start",
    )

    def __init__(
        self,
        start: int = 0,
        end: int = 0,
        max_ts_ms: int = NO_TIMESTAMP_MS,
        payload_bytes: int = 0,
    ) -> None:
        self.start = start
        self.end = end  # assigned
        self.confirmed = end
        self.max_ts_ms = max_ts_ms  # no confirmed entry is later, those that are gone included
        self.payload_bytes = payload_bytes  # of all confirmed entries ever
        self.dropped = False
        # What is known of the run that holds `start`, so that retention asks the index only when
        # there is something to remove.
        self.first_run: Run | None = None
        self.first_max_ms: int | None = None  # of what is left of it, once that was looked at
        # The tail: parallel lists in offset order, of which the first `gone` are evicted.
        self.bases: list[int] = []
        self.entries: list[Entry] = []
        self.gone = 0

    def row(self, stream_id: int) -> StreamRow:
        """As of now; what it says of a segment is for whoever knows the segment to say."""
        return StreamRow(
            stream_id,
            self.start,
            self.confirmed,
            self.max_ts_ms,
            self.payload_bytes,
            NO_TIMESTAMP_MS,
        )

    def confirm(self, entry: Entry) -> int:
        """The next entry became durable; returns the payload bytes before it."""
        _, base_offset, record_count, timestamp_ms, payload = entry
        before_bytes = self.payload_bytes
        self.payload_bytes = before_bytes + len(payload)
        self.confirmed = base_offset + record_count
        self.max_ts_ms = max(self.max_ts_ms, timestamp_ms)
        return before_bytes

    def truncate(self, offset: int) -> None:
        """Let it start at `offset` if that is further on."""
        if offset > self.start:
            self.start = offset
            self.first_run = self.first_max_ms = None

    def evict_oldest(self) -> None:
        self.gone += 1
        if self.gone >= 64 and self.gone * 2 >= len(self.bases):
            del self.bases[: self.gone], self.entries[: self.gone]
            self.gone = 0
        else:
            # Let the payload go now, not at the next compaction of the lists.
            self.entries[self.gone - 1] = _EVICTED

    def tail_from(self, offset: int, bytes_max: int, count_max: int) -> list[Entry] | None:
        """Entries from the one holding `offset`, at least one, else up to both bounds; None when
        that one is no longer in memory."""
        at = bisect_right(self.bases, offset, self.gone) - 1
        if at < self.gone:
            return None
        return take(self.entries, at, bytes_max, count_max)


_EVICTED = Entry(0, 0, 0, 0, b"")


def take(entries: Sequence[Entry], at: int, bytes_max: int, count_max: int) -> list[Entry]:
    """Entries from index `at` on: the first always, more while their payloads fit `bytes_max` and
    each begins where the one before ends."""
    taken = [entries[at]]
    offset = taken[0].end_offset
    room = bytes_max - len(taken[0].payload)
    for index in range(at + 1, min(at + count_max, len(entries))):
        entry = entries[index]
        _, base_offset, record_count, _, payload = entry
        room -= len(payload)
        if room < 0 or base_offset != offset:
            break
        offset += record_count
        taken.append(entry)
    return taken


class Tail:
    """The newest confirmed blocks, evicted oldest first when over `bytes_max`."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._blocks: deque[tuple[list[Entry], list[Stream], int]] = deque()
        self.bytes_count = 0

    def add(self, entries: list[Entry], owners: list[Stream]) -> None:
        """Take over a confirmed block; `owners[i]` is the stream of `entries[i]`."""
        size = 0
        for entry, stream in zip(entries, owners, strict=True):
            stream.bases.append(entry[1])
            stream.entries.append(entry)
            size += len(entry[4])
        size += _ENTRY_OVERHEAD_BYTES * len(entries)
        self._blocks.append((entries, owners, size))
        self.bytes_count += size
        while self.bytes_count > self._bytes_max and self._blocks:
            _, evicted, size = self._blocks.popleft()
            self.bytes_count -= size
            for stream in evicted:
                stream.evict_oldest()
