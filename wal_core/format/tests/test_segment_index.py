"""The index of the segment that is being written: it grows, forgets, and knows what is lost."""

from __future__ import annotations

from wal_core.format.footer import Footer
from wal_core.format.places import Lost
from wal_core.format.segment_index import SegmentIndex
from wal_core.format.stream_tables import NO_TIMESTAMP_MS, Run, StreamRow


def index_of(*blocks: list[tuple[int, int, int, int]]) -> SegmentIndex:
    """Blocks of 100 bytes; of each entry: stream, base offset, timestamp, bytes before."""
    index = SegmentIndex(4)
    for block in blocks:
        index.add_block(100, 50)
        for entry in block:
            index.note_entry(*entry)
    return index


def test_entries_of_a_stream_in_one_block_are_one_run():
    index = index_of([(1, 0, 5, 0), (2, 0, 3, 0), (1, 4, 9, 20)], [(1, 6, 7, 30)])
    assert list(index.runs(1)) == [Run(1, 0, 0, 9, 0), Run(1, 1, 6, 7, 30)]
    assert list(index.runs(2)) == [Run(2, 0, 0, 3, 0)]
    assert list(index.runs(3)) == []
    assert [index.max_timestamp_ms(n) for n in (1, 2, 3)] == [9, 3, NO_TIMESTAMP_MS]
    assert (index.block_count, index.run_count, index.bytes_count) == (2, 3, 200)
    assert index.firsts() == [Run(1, 0, 0, 9, 0), Run(2, 0, 0, 3, 0)]


def test_a_reader_on_its_way_sees_what_was_added_meanwhile():
    index = index_of([(1, 0, 5, 0)])
    runs = index.runs(1)
    index.add_block(10, 5)
    index.note_entry(1, 9, 6, 40)
    assert (len(runs), runs[1].first_offset, list(runs.maxima(0))) == (2, 9, [5, 6])


def test_a_dropped_stream_is_in_no_footer():
    index = index_of([(1, 0, 5, 0), (2, 0, 3, 0)])
    index.forget(1)
    rows = [StreamRow(2, 0, 1, 3, 10, NO_TIMESTAMP_MS)]
    footer = Footer(2, 4, 1, index.encode_footer(rows, b"", 0))
    assert [run.stream_id for run in footer.all_runs()] == [2]
    index.forget(77)  # was never here


def test_lost_blocks_are_rows_without_bytes_and_say_from_where_records_are_gone():
    index = index_of([(1, 0, 5, 0)])
    index.note_lost(1, 3, 10)  # nothing is lost yet
    assert len(index.runs(1)) == 1
    index.add_lost(Lost(1, 2, 300, "damaged"))
    index.note_lost(1, 3, 10)
    index.note_lost(1, 4, 10)  # put down to the same blocks already
    index.add_block(100, 50)
    index.note_entry(1, 8, 6, 70)
    assert list(index.runs(1)) == [
        Run(1, 0, 0, 5, 0),
        Run(1, 2, 3, NO_TIMESTAMP_MS, 10),
        Run(1, 3, 8, 6, 70),
    ]
    assert [index.extent(n).length for n in range(4)] == [100, 0, 0, 100]
    assert index.extent(3).position == 400
