"""The words of this package as types: buffer, entry, and the state that rides on a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes. Whoever is handed one for writing must not see it change afterwards."""


class Entry(NamedTuple):
    """One opaque run of records of one stream; the payload is stored byte for byte."""

    stream_id: int  # 0 .. 2**64 - 1, never reused after drop_stream
    base_offset: int  # offset of its first record
    record_count: int  # >= 1; the next entry of the stream starts at base_offset + record_count
    max_timestamp_ms: int  # greatest timestamp inside; -1 where there is none
    payload: memoryview | bytes

    @property
    def end_offset(self) -> int:
        """Exclusive end: the offset after its last record."""
        return self.base_offset + self.record_count


class LogState(Protocol):
    """What the user keeps in memory as the sum of all entries; the log carries it across restarts.

    Every method is called on the event loop and must not wait. An exception from one of them
    is a bug of the user and stops the log.
    """

    def restore(self, checkpoint: bytes) -> None:
        """Take over a checkpoint; called at most once, before any `apply`."""
        ...

    def apply(self, entry: Entry) -> None:
        """Called during recovery with every entry after the checkpoint, in log order."""
        ...

    def checkpoint(self) -> bytes:
        """Exactly the effect of every entry appended (or applied) so far."""
        ...

    def confirmed(self, ends: Mapping[int, int]) -> None:
        """A block became durable, as had all before it: stream id -> new confirmed end offset."""
        ...
