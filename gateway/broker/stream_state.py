"""What a data log remembers of one of its streams, whatever the catalog says of it."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from gateway.broker import state_keys
from gateway.broker.journal_records import StreamOpened
from gateway.broker.producer_state import ProducerMemory, ProducerStates
from protocol import read_header

if TYPE_CHECKING:
    from gateway.broker.waiting import Waiter
    from wal_core import Changes, Entry

# About what remembering each takes.
STREAM_BYTES, EPOCH_BYTES, PRODUCER_BYTES, OPENED_BYTES = 32, 16, 96, 48


class Reader(Protocol):
    """The partition that the catalog names for a stream, as far as the log needs to know it."""

    waiters: dict[Waiter, None]

    def wake(self) -> None: ...


class StreamState:
    """Changes by entries alone, each of them noted in the step that appends or applies it."""

    __slots__ = (
        "_changes",
        "deleted_below",
        "epochs",
        "opened",
        "partition",
        "producers",
        "stream_id",
    )

    def __init__(
        self, stream_id: int, changes: Changes, producer_memory: ProducerMemory | None = None
    ) -> None:
        self.stream_id = stream_id
        self._changes = changes
        # Its first entry; None: it has none yet.
        self.opened: StreamOpened | None = None
        # Whom the catalog names for it; None: nobody (yet).
        self.partition: Reader | None = None
        # As the log's entries have it, durable or not: what the log's own start will follow.
        self.deleted_below = 0
        self.producers = ProducerStates(producer_memory, self._note_producer)
        # (leader epoch, first offset written in it), both rising.
        self.epochs: list[tuple[int, int]] = []

    @property
    def is_group_offsets(self) -> bool:
        return self.opened is not None and self.opened.kind == "group_offsets"

    def open(self, opened: StreamOpened) -> None:
        """Its first entry is in the log."""
        self.opened = opened
        key = state_keys.opened(self.stream_id)
        self._changes.note(key, OPENED_BYTES + len(opened.name))

    def forget(self) -> None:
        """It is dropped; what is remembered of it means nothing any more."""
        self._changes.note(state_keys.opened(self.stream_id), OPENED_BYTES)
        self.producers.clear()

    def apply(self, entry: Entry, now_ms: int) -> None:
        """Replay of an entry at start-up. Raises BatchError."""
        header = read_header(entry.payload)
        if header.producer_id >= 0:
            self.producers.record(header, entry.base_offset, now_ms, None)
        self.remember_epoch(entry.base_offset, header.partition_leader_epoch)

    def remember_epoch(self, base_offset: int, epoch: int) -> None:
        """A batch of that epoch was appended."""
        if not self.epochs or self.epochs[-1][0] < epoch:
            if self.epochs and self.epochs[-1][1] == base_offset:
                self.epochs.pop()  # all it wrote was deleted
            self.epochs.append((epoch, base_offset))
            self._note()

    def delete_below(self, offset: int) -> None:
        """An entry says that the stream starts there, or further on."""
        self.deleted_below = max(self.deleted_below, offset)
        self._note()

    def started_at(self, start: int) -> None:
        """The log has let go of what lies below."""
        # As Kafka's LeaderEpochFileCache.truncateFromStart: the epoch that holds the start stays.
        at = bisect.bisect_right(self.epochs, start, key=lambda e: e[1]) - 1
        if at >= 0:
            self.epochs[: at + 1] = [(self.epochs[at][0], start)]
            self._note()

    def _note(self) -> None:
        size = STREAM_BYTES + EPOCH_BYTES * len(self.epochs)
        self._changes.note(state_keys.partition(self.stream_id), size)

    def _note_producer(self, producer_id: int) -> None:
        self._changes.note(state_keys.producer(self.stream_id, producer_id), PRODUCER_BYTES)

    def load(self, epochs: Iterable[tuple[int, int]], deleted_below: int) -> None:
        """What was remembered of it besides its producers."""
        self.epochs = list(epochs)
        self.deleted_below = deleted_below
