"""The index of the segment being written, in memory: what its footer will say.

Answers the same questions as a Footer, so that readers need not know which one they ask. Holds
confirmed blocks only.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Protocol, overload

from wal_core.format.footer import BlockExtent, encode_footer_payload
from wal_core.format.places import Lost
from wal_core.format.stream_tables import NO_RUNS, NO_TIMESTAMP_MS, Run, Runs, StreamRow


class SegmentView(Protocol):
    """What a reader asks of a segment, finished or not."""

    @property
    def block_count(self) -> int: ...

    def runs(self, stream_id: int) -> Runs:
        """Of one stream."""
        ...

    def max_timestamp_ms(self, stream_id: int) -> int:
        """The greatest of them, NO_TIMESTAMP_MS when there are none."""
        ...


class _StreamRuns(Runs):
    """Columns of one stream's runs; may grow while a reader is on its way."""

    __slots__ = (
        "_blocks",
        "_bytes_before",
        "_first_offsets",
        "_max_timestamps_ms",
        "_stream_id",
        "max_timestamp_ms",
    )

    def __init__(self, stream_id: int) -> None:
        self._stream_id = stream_id
        self._blocks = array("I")
        self._first_offsets = array("q")
        self._max_timestamps_ms = array("q")
        self._bytes_before = array("Q")
        self.max_timestamp_ms = NO_TIMESTAMP_MS  # of all of them

    def note(self, block: int, first_offset: int, timestamp_ms: int, bytes_before: int) -> None:
        """An entry: of the run in this block, which is the last one or new."""
        self.max_timestamp_ms = max(self.max_timestamp_ms, timestamp_ms)
        if self._blocks and self._blocks[-1] == block:
            self._max_timestamps_ms[-1] = max(self._max_timestamps_ms[-1], timestamp_ms)
            return
        self._blocks.append(block)
        self._first_offsets.append(first_offset)
        self._max_timestamps_ms.append(timestamp_ms)
        self._bytes_before.append(bytes_before)

    def maxima(self, at: int) -> Iterable[int]:
        return self._max_timestamps_ms[at:]

    def __len__(self) -> int:
        return len(self._blocks)

    @overload
    def __getitem__(self, at: int) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Run]: ...
    def __getitem__(self, at: int | slice) -> Run | Sequence[Run]:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        return Run(
            self._stream_id,
            self._blocks[at],
            self._first_offsets[at],
            self._max_timestamps_ms[at],
            self._bytes_before[at],
        )


class SegmentIndex:
    """Grows by `add_block` and `note_entry` as blocks are confirmed."""

    def __init__(self, segment: int) -> None:
        self.segment = segment
        self.bytes_count = 0  # of all blocks: the position of the next one
        self._positions = array("Q")
        self._lengths = array("I")
        self._data_bytes = array("I")
        self._runs: dict[int, _StreamRuns] = {}
        self._lost_block = -1  # the newest of which only that it is lost is known

    @property
    def block_count(self) -> int:
        return len(self._positions)

    @property
    def run_count(self) -> int:
        return sum(map(len, self._runs.values()))

    def add_block(self, length: int, data_bytes: int) -> None:
        """The next block; its entries follow."""
        self._positions.append(self.bytes_count)
        self._lengths.append(length)
        self._data_bytes.append(data_bytes)
        self.bytes_count += length

    def add_lost(self, lost: Lost) -> None:
        """Blocks that cannot be read any more: rows of length 0."""
        for _ in range(lost.blocks_count):
            self._lost_block = self.block_count
            self._positions.append(self.bytes_count)
            self._lengths.append(0)
            self._data_bytes.append(0)
        self.bytes_count += lost.span_bytes

    def note_lost(self, stream_id: int, first_offset: int, bytes_before: int) -> None:
        """From this offset on the stream's records are nowhere: put down to the newest block that
        is lost, if that lies behind what is known of the stream."""
        if self._lost_block < 0:
            return
        runs = self._runs.setdefault(stream_id, _StreamRuns(stream_id))
        if not runs or runs[-1].block < self._lost_block:
            runs.note(self._lost_block, first_offset, NO_TIMESTAMP_MS, bytes_before)

    def note_entry(
        self, stream_id: int, base_offset: int, timestamp_ms: int, bytes_before: int
    ) -> None:
        """An entry of the block added last; the bytes are the stream's before this entry."""
        runs = self._runs.get(stream_id)
        if runs is None:
            runs = self._runs[stream_id] = _StreamRuns(stream_id)
        runs.note(len(self._positions) - 1, base_offset, timestamp_ms, bytes_before)

    def firsts(self) -> list[Run]:
        """The first run of every stream."""
        return [runs[0] for runs in self._runs.values()]

    def forget(self, stream_id: int) -> None:
        """A stream was dropped: the footer will not know it."""
        self._runs.pop(stream_id, None)

    def extent(self, block: int) -> BlockExtent:
        return BlockExtent(self._positions[block], self._lengths[block], self._data_bytes[block])

    def runs(self, stream_id: int) -> Runs:
        return self._runs.get(stream_id, NO_RUNS)

    def max_timestamp_ms(self, stream_id: int) -> int:
        runs = self._runs.get(stream_id)
        return NO_TIMESTAMP_MS if runs is None else runs.max_timestamp_ms

    def encode_footer(self, streams: Iterable[StreamRow], changes: bytes, created_ms: int) -> bytes:
        """The footer's payload; runs of streams that are no longer alive are left out. What the
        rows say of this segment is filled in."""
        alive = [
            row._replace(segment_max_timestamp_ms=self.max_timestamp_ms(row.stream_id))
            for row in sorted(streams)
        ]
        runs = (run for row in alive for run in self.runs(row.stream_id))
        blocks = (self.extent(block) for block in range(self.block_count))
        return encode_footer_payload(blocks, alive, runs, changes, created_ms)
