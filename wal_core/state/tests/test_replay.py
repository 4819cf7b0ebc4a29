"""Going through blocks again: streams and index follow, what is lost leaves a gap, never a step
back."""

from __future__ import annotations

import pytest

from wal_core import Corrupt, Entry
from wal_core.format.block import Block, BlockIds, encode_entries, parse_block
from wal_core.format.places import Lost
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.replay import Gap, Replay
from wal_core.state.streams import Stream

SEGMENT = 7


def block(number: int, *entries: Entry) -> Block:
    encoded = encode_entries(BlockIds(0, SEGMENT, number, 1, 0, bytes(16)), entries)
    return parse_block(b"".join(encoded.pieces))


def entry(stream_id: int, base: int, count: int = 1, ts: int = -1, payload: bytes = b"x") -> Entry:
    return Entry(stream_id, base, count, count, ts, payload)


def test_streams_index_and_what_rides_on_them_follow_the_entries_in_order():
    streams = {1: Stream(2, 10, 500, 40)}
    applied: list[tuple[int, int]] = []
    replay = Replay(
        SegmentIndex(SEGMENT), streams, lambda e: applied.append((e.stream_id, e.base_offset))
    )
    first = block(0, entry(1, 10, 3, 700, b"abc"), entry(4, 0), entry(1, 13, payload=b"de"))
    replay.take(first)
    replay.take(block(1, entry(4, 1)))
    assert applied == [(1, 10), (4, 0), (1, 13), (4, 1)]
    ours, new = streams[1], streams[4]
    assert (ours.start, ours.confirmed, ours.end) == (2, 14, 14)
    assert (ours.max_ts_ms, ours.payload_bytes) == (700, 45)
    assert (new.start, new.confirmed, new.payload_bytes) == (0, 2, 2)
    index = replay.index
    assert (index.block_count, index.extent(1).position) == (2, first.header.total_bytes)
    runs = [(run.block, run.first_offset, run.bytes_before) for run in index.runs(1)]
    assert runs == [(0, 10, 40)]
    assert [(run.block, run.first_offset) for run in index.runs(4)] == [(0, 0), (1, 1)]
    assert replay.gaps == []


def test_offsets_of_a_lost_block_are_a_gap_that_is_put_down_to_it():
    streams = {1: Stream(0, 5)}
    replay = Replay(SegmentIndex(SEGMENT), streams)
    replay.take(block(0, entry(1, 5)))
    lost = Lost(1, 2, 100, "damaged")
    replay.lose(lost)
    replay.take(block(3, entry(1, 9), entry(2, 4)))
    assert replay.lost == [lost]
    assert replay.gaps == [Gap(1, 6, 9), Gap(2, 0, 4)]
    assert (streams[1].confirmed, streams[2].confirmed) == (10, 5)
    assert replay.index.block_count == 4
    assert [(run.block, run.first_offset) for run in replay.index.runs(1)] == [
        (0, 5),
        (2, 6),
        (3, 9),
    ]


def test_what_is_lost_at_the_end_of_a_stream_may_be_known_from_elsewhere():
    streams: dict[int, Stream] = {}
    replay = Replay(SegmentIndex(SEGMENT), streams)
    replay.skip(3, 8)
    assert replay.gaps == [Gap(3, 0, 8)]
    assert streams[3].end == 8


def test_no_offset_comes_twice():
    replay = Replay(SegmentIndex(SEGMENT), {1: Stream(0, 5)})
    with pytest.raises(Corrupt, match="continues at 4, expected 5") as caught:
        replay.take(block(2, entry(1, 4)))
    assert (caught.value.segment, caught.value.block) == (SEGMENT, 2)
