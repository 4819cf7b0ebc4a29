"""Streams of a log: their offsets, and what is in memory of them."""

from __future__ import annotations

from collections.abc import Sequence

from wal_core.errors import Invalid
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.stream_tables import NO_TIMESTAMP_MS, Run, StreamRow
from wal_core.state.stream_tail import StreamTail
from wal_core.types import Entry, EntryFields, Payloads

STREAM_ID_MAX = CHECKPOINT_STREAM_ID - 1
_UINT32_MAX = (1 << 32) - 1
_INT64_MAX = (1 << 63) - 1


class Stream:
    """One stream. Invariant: confirmed <= end; the tail ends at confirmed.

    Its fields may be read by all who share it, and are written here alone.
    """

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

    def assign(self, entry: EntryFields) -> None:
        """An entry is appended. Raises Invalid, and changes nothing, for one that is not the
        stream's next one, or cannot be stored."""
        stream_id, base_offset, offset_span, record_count, max_timestamp_ms, _ = entry
        if self.dropped:
            raise Invalid(f"stream {stream_id} was dropped; ids are not used again")
        if base_offset != self.end:
            raise Invalid(f"stream {stream_id} ends at {self.end}, not at {base_offset}")
        if not 0 < offset_span <= _UINT32_MAX or base_offset > _INT64_MAX - offset_span:
            raise Invalid(f"a span of {offset_span} offsets is out of range")
        if not 0 <= record_count <= offset_span:
            raise Invalid(f"{record_count} records cannot lie in a span of {offset_span} offsets")
        if not -_INT64_MAX <= max_timestamp_ms <= _INT64_MAX:
            raise Invalid(f"timestamp {max_timestamp_ms} does not fit 64 bits")
        self.end = base_offset + offset_span

    def confirm(self, end_offset: int, max_timestamp_ms: int, payload_bytes: int) -> int:
        """The next entry became durable; returns the payload bytes before it."""
        assert self.confirmed < end_offset <= self.end
        before_bytes = self.payload_bytes
        self.payload_bytes = before_bytes + payload_bytes
        self.confirmed = end_offset
        self.max_ts_ms = max(self.max_ts_ms, max_timestamp_ms)
        return before_bytes

    def recover(self, end_offset: int, max_timestamp_ms: int, payload_bytes: int) -> int:
        """The next entry was found in the store; returns the payload bytes before it."""
        before_bytes = self.payload_bytes
        self.payload_bytes = before_bytes + payload_bytes
        self.end = self.confirmed = end_offset
        self.max_ts_ms = max(self.max_ts_ms, max_timestamp_ms)
        return before_bytes

    def skip(self, offset: int) -> None:
        """Whatever there was up to `offset` is lost: it goes on there."""
        assert offset > self.end
        self.end = self.confirmed = offset

    def recount(self, payload_bytes: int) -> None:
        """So many bytes came before, as others know better."""
        self.payload_bytes = payload_bytes

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

    def note_first_run(self, start: int, run: Run) -> None:
        """The run that holds `start`, which may not be the stream's any more."""
        if start == self.start and not self.dropped:
            self.first_run = run

    def note_first_max(self, start: int, time_ms: int) -> None:
        """The greatest time of what is left, from `start` on, of that run."""
        if start == self.start and not self.dropped:
            self.first_max_ms = time_ms

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

    def payloads_from(self, offset: int, bytes_max: int, count_max: int) -> Payloads | None:
        """As `tail_from`."""
        if self.tail is None:
            return None
        return self.tail.payloads_from(offset, self.confirmed, bytes_max, count_max)


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
