"""What a log holds, as far as it is known in memory: shared by those who write, read and tidy up.

The writer alone begins and ends segments here, and makes streams; upkeep alone puts a sealed
segment in the place of others (`chain.replace`). Readers change nothing.
"""

from __future__ import annotations

from wal_core.format.chain import Chain, Completed
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.streams import Stream


class Contents:
    """Of one log: its streams, its finished segments, and the one behind them."""

    __slots__ = ("_active", "chain", "streams")

    def __init__(self, streams: dict[int, Stream], chain: Chain) -> None:
        self.streams = streams
        self.chain = chain
        self._active: SegmentIndex | None = None

    @property
    def active(self) -> SegmentIndex | None:
        """The confirmed blocks of the unfinished segment; None when there is none."""
        return self._active

    def begin_segment(self) -> SegmentIndex:
        """The next one: its first block is about to be written."""
        assert self._active is None
        self._active = SegmentIndex(self.chain.last + 1)
        return self._active

    def end_segment(self) -> Completed:
        """Its footer is durable."""
        assert self._active is not None
        link = Completed(self._active.segment)
        self.chain.append(link)
        self._active = None
        return link

    def live(self, stream_id: int) -> Stream | None:
        """A stream that was not dropped."""
        stream = self.streams.get(stream_id)
        return None if stream is None or stream.dropped else stream

    def live_ids(self) -> list[int]:
        """Of all streams that were not dropped, but for the checkpoint's."""
        return [
            stream_id
            for stream_id, stream in self.streams.items()
            if not stream.dropped and stream_id != CHECKPOINT_STREAM_ID
        ]
