"""The segment that is being written: its blocks get their numbers here, and it ends here.

It ends in three steps. *Begun*: everything appended up to here is this segment's, and what its
footer says of the checkpoint is taken, in one step of the loop without an await; that is what makes
the checkpoint equal to the replay of the segment. *Drained*: all of that is confirmed; whatever is
newer waits. *Ended*: its footer is durable, and the next block begins the next segment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from wal_core.format.block import BlockIds, BlockKind, encode_entries, encode_payload
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.footer import Footer
from wal_core.format.places import Slot
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.checkpoint import Checkpoint, with_start
from wal_core.state.contents import Contents
from wal_core.stores.off_loop import WRITER, off_loop_if_large
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.tenure import Tenure
from wal_core.write.flights import Flight, Gathering, Waiting
from wal_core.write.id_ranges import IdRanges


class _Ending(NamedTuple):
    """What the footer of the active segment will say of the checkpoint."""

    changes: bytes
    start: int


class Roll:
    """Belongs to a LogWriter, which says what is appended, confirmed and dropped."""

    def __init__(
        self,
        store: SegmentStore,
        tenure: Tenure,
        contents: Contents,
        checkpoint: Checkpoint,
        *,
        too_old: Callable[[], None],
    ) -> None:
        self._store = store
        self._tenure = tenure
        self._contents = contents
        self._checkpoint = checkpoint
        self._too_old = too_old
        self._persist = Persistence(tenure.config, tenure.rng)
        self._loop = asyncio.get_running_loop()
        self._age_timer: asyncio.TimerHandle | None = None
        self.since_s = 0.0  # when the active segment began
        self._cut_count = 0  # blocks of the active segment that have a number
        self._cut_bytes = 0
        self._ending: _Ending | None = None
        self._left_count = 0  # blocks that still go in before the footer
        self._start_before = 0  # of the checkpoint's stream, in the footer before
        self._dropped = IdRanges()
        self._dropped_late: set[int] = set()

    # -- blocks ----------------------------------------------------------------------------

    def cut(self, block: Gathering) -> Flight:
        """Give a block the next slot, in a new segment if there is none."""
        own = self._tenure
        active = self._contents.active
        if active is None:
            active = self.begin_segment()
        number = self._cut_count
        ids = BlockIds(own.log_id, active.segment, number, own.term, active.block_count, own.nonce)
        encoded = encode_entries(ids, block.entries, block.crcs)
        slot = Slot(own.log_id, active.segment, number, self._cut_bytes)
        self._cut_count += 1
        self._cut_bytes += encoded.length
        if self._ending is not None:
            self._left_count -= 1
            assert self._left_count >= 0
        return Flight(block, slot, encoded)

    def begin_segment(self) -> SegmentIndex:
        """There is none."""
        active = self._contents.begin_segment()
        self._cut_count = self._cut_bytes = 0
        self.since_s = self._loop.time()
        age_max_s = self._tenure.config.segment_age_max_ms / 1000
        self._age_timer = self._loop.call_later(age_max_s, self._too_old)
        return active

    def check(self, in_flight_count: int) -> None:
        """What has a number is confirmed or on its way."""
        active = self._contents.active
        if active is not None:
            assert active.block_count + in_flight_count == self._cut_count
            assert active.bytes_count <= self._cut_bytes
            assert in_flight_count or active.bytes_count == self._cut_bytes

    # -- streams that are dropped ----------------------------------------------------------

    def drop(self, stream_id: int) -> None:
        """See Log.drop_stream. Gives its memory back, but for that its id is never used again."""
        self._dropped.add(stream_id)
        stream = self._contents.streams.get(stream_id)
        if stream is None:
            return
        stream.drop()
        if self._ending is not None:
            # The footer being prepared states the moment before.
            self._dropped_late.add(stream_id)
            return
        del self._contents.streams[stream_id]
        active = self._contents.active
        if active is not None:
            active.forget(stream_id)

    def was_dropped(self, stream_id: int) -> bool:
        return stream_id in self._dropped

    def states(self, stream_id: int) -> bool:
        """Whether a stream that was dropped is still in the footer that is being prepared."""
        return stream_id in self._dropped_late

    # -- the end ---------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Nothing is written at the moment, and no end of a segment is under way."""
        return self._contents.active is None and self._ending is None

    @property
    def is_begun(self) -> bool:
        return self._ending is not None

    @property
    def holds_back(self) -> bool:
        """It is the footer's turn: everything newer waits for the next segment."""
        return self._ending is not None and not self._left_count

    def is_due(self, waiting: Waiting) -> bool:
        """Whether the segment has grown long enough, counting what waits."""
        if self._ending is not None or not waiting:
            return False
        count, size = waiting.count, waiting.bytes_count
        if self._contents.active is not None:
            count, size = count + self._cut_count, size + self._cut_bytes
        config = self._tenure.config
        return count >= config.segment_blocks_max or size >= config.segment_bytes_max

    def begin(self, waiting: Waiting) -> None:
        """What waits is the last of it."""
        assert self._ending is None
        waiting.close_open()
        self._left_count = waiting.count
        self._ending = _Ending(self._checkpoint.changes(), self._checkpoint.start)

    async def write_footer(self) -> Footer:
        """Once all its blocks are confirmed; durable on return. `end` follows."""
        own, active, ending = self._tenure, self._contents.active, self._ending
        assert active is not None
        assert ending is not None
        assert active.block_count == self._cut_count
        self.stop()
        # All blocks of the segment and none of a later one are confirmed, so the confirmed
        # offsets are the offsets at the segment's end.
        streams = list(self._contents.streams.items())  # others may begin meanwhile
        now = (stream.row(stream_id) for stream_id, stream in streams if stream.confirmed)
        rows = with_start(now, ending.start)
        encode = partial(active.encode_footer, rows, ending.changes, own.clock.now_ms())
        payload = await off_loop_if_large(WRITER, active.run_count + len(streams), encode)
        count = active.block_count
        ids = BlockIds(own.log_id, active.segment, count, own.term, count, own.nonce)
        encoded = encode_payload(BlockKind.COMPLETE, ids, payload)
        slot = Slot(own.log_id, active.segment, count, active.bytes_count)
        await self._persist(lambda: self._store.append(slot, encoded.pieces, final=True))
        return Footer(BlockKind.COMPLETE, active.segment, own.term, payload)

    def end(self) -> None:
        """The footer is durable."""
        assert self._ending is not None
        self._free_pieces(self._ending.start)
        self._contents.end_segment()
        self._ending = None
        for stream_id in self._dropped_late:
            del self._contents.streams[stream_id]
        self._dropped_late.clear()

    def _free_pieces(self, start: int) -> None:
        """Pieces are dead once two footers do without them: a start may have to go by the last but
        one."""
        stream = self._contents.streams.get(CHECKPOINT_STREAM_ID)
        if stream is not None:
            stream.truncate(self._start_before)
        self._start_before = start

    def stop(self) -> None:
        """No segment is too old any more."""
        if self._age_timer is not None:
            self._age_timer.cancel()
