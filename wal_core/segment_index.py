"""The index of the segment being written, in memory: what its footer will say.

Answers the same questions as a Footer, so that readers need not know which one they ask. Holds
confirmed blocks only.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Protocol

from wal_core.footer_format import NO_TIMESTAMP_MS, Run, StreamRow, encode_footer_payload


class SegmentView(Protocol):
    """What a reader asks of a segment, finished or not."""

    segment: int

    def extent(self, block: int) -> tuple[int, int]: ...
    def end_offset(self, stream_id: int) -> int: ...
    def max_timestamp_ms(self, stream_id: int) -> int: ...
    def blocks_from(self, stream_id: int, offset: int) -> Iterator[int]: ...
    def block_of_timestamp(self, stream_id: int, timestamp_ms: int) -> int | None: ...


class _StreamRuns:
    __slots__ = ("blocks", "end_offset", "first_offsets", "max_timestamps_ms")

    def __init__(self) -> None:
        self.blocks = array("I")
        self.first_offsets = array("q")
        self.max_timestamps_ms = array("q")
        self.end_offset = 0


class SegmentIndex:
    """Grows by `add_block` and `note_entry` as blocks are confirmed."""

    def __init__(self, segment: int) -> None:
        self.segment = segment
        self.bytes_count = 0  # of all blocks: the position of the next one
        self._positions = array("Q")
        self._lengths = array("I")
        self._runs: dict[int, _StreamRuns] = {}

    @property
    def block_count(self) -> int:
        return len(self._positions)

    def add_block(self, length: int) -> None:
        """The next block; its entries follow."""
        self._positions.append(self.bytes_count)
        self._lengths.append(length)
        self.bytes_count += length

    def note_entry(
        self, stream_id: int, base_offset: int, end_offset: int, max_timestamp_ms: int
    ) -> None:
        """An entry of the block added last; the timestamp is the stream's running maximum."""
        block = len(self._positions) - 1
        runs = self._runs.get(stream_id)
        if runs is None:
            runs = self._runs[stream_id] = _StreamRuns()
        elif runs.blocks[-1] == block:
            runs.max_timestamps_ms[-1] = max_timestamp_ms
            runs.end_offset = end_offset
            return
        runs.blocks.append(block)
        runs.first_offsets.append(base_offset)
        runs.max_timestamps_ms.append(max_timestamp_ms)
        runs.end_offset = end_offset

    def extent(self, block: int) -> tuple[int, int]:
        return self._positions[block], self._lengths[block]

    def end_offset(self, stream_id: int) -> int:
        runs = self._runs.get(stream_id)
        return runs.end_offset if runs else 0

    def max_timestamp_ms(self, stream_id: int) -> int:
        runs = self._runs.get(stream_id)
        return runs.max_timestamps_ms[-1] if runs else NO_TIMESTAMP_MS

    def blocks_from(self, stream_id: int, offset: int) -> Iterator[int]:
        runs = self._runs.get(stream_id)
        if runs is None:
            return
        at = max(bisect_right(runs.first_offsets, offset) - 1, 0)
        while at < len(runs.blocks):  # may grow while a reader is on its way
            yield runs.blocks[at]
            at += 1

    def block_of_timestamp(self, stream_id: int, timestamp_ms: int) -> int | None:
        runs = self._runs.get(stream_id)
        if runs is None:
            return None
        at = bisect_left(runs.max_timestamps_ms, timestamp_ms)
        return runs.blocks[at] if at < len(runs.blocks) else None

    def encode_footer(
        self, streams: Iterable[StreamRow], checkpoint: bytes, created_ms: int
    ) -> bytes:
        """The footer's payload; runs of streams that are no longer alive are left out."""
        alive = sorted(streams)
        runs = (
            Run(row.stream_id, *values)
            for row in alive
            if (own := self._runs.get(row.stream_id))
            for values in zip(own.blocks, own.first_offsets, own.max_timestamps_ms, strict=True)
        )
        blocks = zip(self._positions, self._lengths, strict=True)
        return encode_footer_payload(blocks, alive, runs, checkpoint, created_ms)
