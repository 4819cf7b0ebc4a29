"""The words of this package as types: buffer, entry, and the state that rides on a log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes. Whoever is handed one for writing must not see it change afterwards."""


class Region(Protocol):
    """Bytes that are not in memory, in a reply: see stores/file_region.py."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Region: ...

    def is_in_memory(self, now_s: float) -> bool: ...

    def send(self, socket_fd: int) -> int: ...

    def read(self) -> bytes: ...


Piece: TypeAlias = Buffer | Region
"""Of a reply."""


class Entry(NamedTuple):
    """One opaque run of records of one stream; the payload is stored byte for byte."""

    stream_id: int  # 0 .. 2**64 - 1, never reused after drop_stream
    base_offset: int  # offset of its first record
    offset_span: int  # >= 1; the next entry of the stream starts at base_offset + offset_span
    record_count: int  # of the span, as many as are left: for statistics, never for offsets
    max_timestamp_ms: int  # greatest timestamp inside; -1 where there is none
    payload: memoryview | bytes

    @property
    def end_offset(self) -> int:
        """Exclusive end: the offset after the last one it covers."""
        return self.base_offset + self.offset_span


EntryFields: TypeAlias = tuple[int, int, int, int, int, memoryview | bytes]
"""Those of an Entry, in their order: on the way in nobody asks them by name."""


class Payloads(NamedTuple):
    """Of entries of one stream that follow each other."""

    pieces: list[Piece]  # in order; a piece is one payload, or several that lie side by side
    end_offset: int  # of the last entry
    bytes_count: int

    @classmethod
    def of(cls, entries: Sequence[Entry], offset: int) -> Payloads:
        """`offset` is where they would begin if there were any."""
        pieces: list[Piece] = [entry.payload for entry in entries]
        return cls(pieces, entries[-1].end_offset if entries else offset, sum(map(len, pieces)))


class Changes:
    """Keys whose values have changed since they were last written down: the user notes them, the
    log takes them.
    """

    __slots__ = ("_sizes", "bytes_count")

    def __init__(self) -> None:
        self._sizes: dict[bytes, int] = {}  # who changed first is first
        self.bytes_count = 0  # about what writing all of them down takes

    def note(self, key: bytes, bytes_count: int) -> None:
        """A value is new, another one, or gone; key and value take about so many bytes."""
        self.bytes_count += bytes_count - self._sizes.get(key, 0)
        self._sizes[key] = bytes_count

    def __contains__(self, key: bytes) -> bool:
        return key in self._sizes

    def forget(self, key: bytes) -> None:
        """It is written down; one that was not noted is fine."""
        self.bytes_count -= self._sizes.pop(key, 0)

    def take(self, bytes_max: int) -> list[bytes]:
        """Some that take about so many bytes, at least one if there is any."""
        taken = []
        for key, bytes_count in self._sizes.items():
            taken.append(key)
            bytes_max -= bytes_count
            if bytes_max <= 0:
                break
        for key in taken:
            self.forget(key)
        return taken

    def keys(self) -> list[bytes]:
        """All of them."""
        return list(self._sizes)

    def clear(self) -> None:
        """Everything is written down."""
        self._sizes.clear()
        self.bytes_count = 0


class LogState(Protocol):
    """What the user keeps in memory as the sum of all entries; the log carries it across restarts.

    To the log it is a map of keys to values, both opaque, that together are exactly the effect of
    every entry appended (or applied) so far. Every method is called on the event loop and must not
    wait. An exception from one of them is a bug of the user and stops the log.
    """

    @property
    def changes(self) -> Changes:
        """Where a change is noted in the step of the loop that appends, or applies, its entry."""
        ...

    def restore(self, key: bytes, value: Buffer | None) -> None:
        """Take over what was remembered; None: forgotten. Before any `apply`, keys in any order; of
        several values of one key the last one counts. A view is valid during the call only."""
        ...

    def restored(self) -> None:
        """That was all of it."""
        ...

    def apply(self, entry: Entry) -> None:
        """Called during recovery with every entry after that, in log order."""
        ...

    def values(self, keys: Sequence[bytes]) -> Iterable[tuple[bytes, bytes | None]]:
        """What is remembered now, for each of the keys; None: nothing."""
        ...

    def confirmed(self, ends: Mapping[int, int]) -> None:
        """A block became durable, as had all before it: stream id -> new confirmed end offset."""
        ...

    def salvage(self) -> Salvage:
        """For a start that finds some of what was remembered damaged."""
        ...


class Salvage(Protocol):
    """What entries alone say of a LogState, from the first that are left on. It is a part of its
    own: the state hears of it only by `restore`.
    """

    def wants(self, stream_id: int, end: int) -> bool:
        """Whether a stream's entries, which went up to that offset, say anything that nothing else
        does. Asked again, of those whose entries did not come yet, when all that were wanted have
        been applied."""
        ...

    def apply(self, entry: Entry) -> None:
        """One of them; in order, but those of several streams in any order. Some may be lost."""
        ...

    def pairs(self, doubtful: Collection[bytes]) -> Iterable[tuple[bytes, bytes | None]]:
        """What is to be remembered of all that the entries say, None: nothing. `doubtful` are keys
        of which the newest value may be lost; those not named here keep an older one."""
        ...
