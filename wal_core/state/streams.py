"""Streams of a log: their offsets, and what is in memory of them."""

from __future__ import annotations

from collections.abc import Sequence

from wal_core.format.stream_tables import NO_TIMESTAMP_MS, Run, StreamRow
from wal_core.state.stream_tail import StreamTail
from wal_core.types import Entry


class Stream:
    """One stream. Invariant: start <= confirmed <= end; the tail ends at confirmed."""

    __slots__ = (
        "confirmed",
        "dropped",
        "end",
        "first_max_ms",
        "first_run",
        "max_ts_ms",
        "payload_bytes",
        "start",
        "tail",
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
        self.tail: StreamTail | None = None  # from the first entry confirmed here on

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

    def confirm(self, end_offset: int, max_timestamp_ms: int, payload_bytes: int) -> int:
        """The next entry became durable; returns the payload bytes before it."""
        before_bytes = self.payload_bytes
        self.payload_bytes = before_bytes + payload_bytes
        self.confirmed = end_offset
        self.max_ts_ms = max(self.max_ts_ms, max_timestamp_ms)
        return before_bytes

    def truncate(self, offset: int) -> None:
        """Let it start at `offset` if that is further on."""
        if offset > self.start:
            self.start = offset
            self.first_run = self.first_max_ms = None

    def drop(self) -> None:
        """Nobody reads or writes it any more; what is on its way is not kept in memory."""
        self.dropped = True
        self.first_run = self.first_max_ms = None
        if self.tail is not None:
            self.tail.forget()

    def begin_tail(self, stream_id: int) -> StreamTail:
        """Its first entry comes into memory."""
        assert self.tail is None
        self.tail = StreamTail(stream_id)
        return self.tail

    def tail_from(self, offset: int, bytes_max: int, count_max: int) -> list[Entry] | None:
        """Entries from the one holding `offset`, at least one, else up to both bounds; None when
        that one is no longer in memory."""
        if self.tail is None:
            return None
        return self.tail.entries_from(offset, self.confirmed, bytes_max, count_max)


def take(entries: Sequence[Entry], at: int, bytes_max: int, count_max: int) -> list[Entry]:
    """Entries from index `at` on: the first always, more while their payloads fit `bytes_max` and
    each begins where the one before ends."""
    taken = [entries[at]]
    offset = taken[0].end_offset
    room = bytes_max - len(taken[0].payload)
    for index in range(at + 1, min(at + count_max, len(entries))):
        entry = entries[index]
        _, base_offset, offset_span, _, _, payload = entry
        room -= len(payload)
        if room < 0 or base_offset != offset:
            break
        offset += offset_span
        taken.append(entry)
    return taken
