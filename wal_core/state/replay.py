"""Going through the blocks of a segment again: into its index, the streams, what rides on them."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import NamedTuple

from wal_core.errors import Corrupt
from wal_core.format.block import Block
from wal_core.format.places import Lost
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.streams import Stream
from wal_core.types import Entry


class Gap(NamedTuple):
    """Offsets first .. end - 1 of a stream are nowhere."""

    stream_id: int
    first_offset: int
    end_offset: int


class Replay:
    """Of one segment. `streams` are as they were before it, and then as they are behind it."""

    def __init__(
        self,
        index: SegmentIndex,
        streams: MutableMapping[int, Stream],
        apply: Callable[[Entry], None] | None = None,
    ) -> None:
        self.index = index
        self._streams = streams
        self._apply = apply
        self.lost: list[Lost] = []
        self.gaps: list[Gap] = []

    def lose(self, lost: Lost) -> None:
        """Blocks that cannot be read."""
        self.index.add_lost(lost)
        self.lost.append(lost)

    def take(self, block: Block) -> None:
        """The next data block. Offsets that are missing before its entries are lost for good, and
        are never given out again. Raises Corrupt when they go back."""
        index = self.index
        index.add_block(block.header.total_bytes, block.header.data_bytes)
        for entry in block.entries():
            stream_id, base_offset = entry.stream_id, entry.base_offset
            stream = self._streams.setdefault(stream_id, Stream())
            if base_offset > stream.end:
                self.skip(stream_id, base_offset)
            elif base_offset < stream.end:
                raise Corrupt(
                    f"stream {stream_id} continues at {base_offset}, expected {stream.end}",
                    log_id=block.header.log_id,
                    segment=index.segment,
                    block=block.header.block,
                )
            before = stream.recover(entry.end_offset, entry.max_timestamp_ms, len(entry.payload))
            index.note_entry(stream_id, base_offset, entry.max_timestamp_ms, before)
            if self._apply is not None:
                self._apply(entry)

    def skip(self, stream_id: int, offset: int) -> None:
        """What there was of a stream up to `offset` is lost."""
        stream = self._streams.setdefault(stream_id, Stream())
        self.index.note_lost(stream_id, stream.end, stream.payload_bytes)
        self.gaps.append(Gap(stream_id, stream.end, offset))
        stream.skip(offset)
