"""The two tables that say where streams are: streams at an end, and their runs. Source: FORMAT.md.

A footer holds them for one segment, an index for a sealed one. They are searched where they lie
(binary search over packed rows), so opening them costs nothing and keeping them costs their bytes.
Pure: no I/O here.
"""

from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

from wal_core.types import Buffer

_STREAM_ROW = struct.Struct("<QqqqQq")
_RUN_ROW = struct.Struct("<QIqqQ")
_RUN_MAXIMUM = struct.Struct("<20xq8x")
_STREAM_ID = struct.Struct("<Q")

NO_TIMESTAMP_MS = -(1 << 63)
"""The maximum of no entries: below every timestamp."""


class StreamRow(NamedTuple):
    """One live stream at the end of a segment."""

    stream_id: int
    start_offset: int
    end_offset: int
    max_timestamp_ms: int  # no entry up to here is later, those that are gone included
    payload_bytes: int  # of all entries it ever had
    segment_max_timestamp_ms: int  # of its runs in this segment


class Run(NamedTuple):
    """The entries of one stream in one block."""

    stream_id: int
    block: int
    first_offset: int
    max_timestamp_ms: int  # of these entries
    bytes_before: int  # payload bytes of the stream before this run


def with_maxima(rows: Iterable[StreamRow], runs: Iterable[Run]) -> list[StreamRow]:
    """The rows, with what these runs make of `segment_max_timestamp_ms`."""
    maxima: dict[int, int] = {}
    for run in runs:
        so_far = maxima.get(run.stream_id, NO_TIMESTAMP_MS)
        maxima[run.stream_id] = max(so_far, run.max_timestamp_ms)
    return [
        row._replace(segment_max_timestamp_ms=maxima.get(row.stream_id, NO_TIMESTAMP_MS))
        for row in rows
    ]


class Runs(Sequence[Run]):
    """The runs of one stream in one segment, in order: blocks and first offsets rise."""

    __slots__ = ()

    @abstractmethod
    def maxima(self, at: int) -> Iterable[int]:
        """Greatest timestamps of the runs from index `at` on, as they are now."""


def encode_streams(streams: Iterable[StreamRow]) -> bytes:
    """Sorted by id."""
    return b"".join(_STREAM_ROW.pack(*row) for row in streams)


def encode_runs(runs: Iterable[Run]) -> bytes:
    """Sorted by (stream, block)."""
    return b"".join(_RUN_ROW.pack(*row) for row in runs)


class StreamTables:
    """Both tables, one behind the other, somewhere in a buffer."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_runs_at",
        "_streams_at",
        "run_count",
        "stream_count",
        "tables_end",
    )

    def __init__(self, buffer: Buffer, at: int, stream_count: int, run_count: int) -> None:
        self._buffer = memoryview(buffer)
        self._streams_at = at
        self._runs_at = at + stream_count * _STREAM_ROW.size
        self.tables_end = self._runs_at + run_count * _RUN_ROW.size
        self.stream_count = stream_count
        self.run_count = run_count

    @property
    def total_bytes(self) -> int:
        return len(self._buffer)

    def streams(self) -> Iterator[StreamRow]:
        """All live streams, by id."""
        rows = self._buffer[self._streams_at : self._runs_at]
        return map(StreamRow._make, _STREAM_ROW.iter_unpack(rows))

    def stream(self, stream_id: int) -> StreamRow | None:
        """One stream's row, None when it was not alive at the end of the segment."""
        at = self._first(self._streams_at, self.stream_count, _STREAM_ROW.size, stream_id)
        if at == self.stream_count:
            return None
        row = StreamRow._make(
            _STREAM_ROW.unpack_from(self._buffer, self._streams_at + at * _STREAM_ROW.size)
        )
        return row if row.stream_id == stream_id else None

    def max_timestamp_ms(self, stream_id: int) -> int:
        """The greatest of a stream's runs in this segment, NO_TIMESTAMP_MS without one."""
        row = self.stream(stream_id)
        return NO_TIMESTAMP_MS if row is None else row.segment_max_timestamp_ms

    def all_runs(self) -> Iterator[Run]:
        """Every run, by (stream, block)."""
        rows = self._buffer[self._runs_at : self.tables_end]
        return map(Run._make, _RUN_ROW.iter_unpack(rows))

    def runs(self, stream_id: int) -> RunRows:
        """The runs of one stream, in order; read where they lie."""
        low = self._first(self._runs_at, self.run_count, _RUN_ROW.size, stream_id)
        high = self._first(self._runs_at, self.run_count, _RUN_ROW.size, stream_id + 1)
        size = _RUN_ROW.size
        return RunRows(self._buffer[self._runs_at + low * size : self._runs_at + high * size])

    def _first(self, at: int, count: int, row_bytes: int, stream_id: int) -> int:
        """Index of the first row of a table whose stream id is not below `stream_id`."""
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if _STREAM_ID.unpack_from(self._buffer, at + middle * row_bytes)[0] < stream_id:
                low = middle + 1
            else:
                high = middle
        return low


class RunRows(Runs):
    """Packed run rows as a sequence."""

    __slots__ = ("_rows",)

    def __init__(self, rows: memoryview) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows) // _RUN_ROW.size

    def maxima(self, at: int) -> Iterable[int]:
        rows = self._rows[at * _RUN_ROW.size :]
        return (maximum for (maximum,) in _RUN_MAXIMUM.iter_unpack(rows))

    @overload
    def __getitem__(self, at: int) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Run]: ...
    def __getitem__(self, at: int | slice) -> Run | Sequence[Run]:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        return Run._make(_RUN_ROW.unpack_from(self._rows, at * _RUN_ROW.size))


NO_RUNS = RunRows(memoryview(b""))
