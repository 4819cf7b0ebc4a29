"""What is in memory of one stream: a suffix, without a gap, packed."""

from __future__ import annotations

import weakref

from wal_core import Entry
from wal_core.format.block import BlockIds, encode_entries
from wal_core.state.stream_tail import StreamTail

IDS = BlockIds(0, 0, 0, 1, 0, bytes(16))


def tail_of(*sizes: int) -> tuple[StreamTail, list[Entry]]:
    """Entries of two offsets each."""
    entries = [Entry(9, 2 * n, 2, 1, n, b"%d" % (n % 10) * size) for n, size in enumerate(sizes)]
    encoded = encode_entries(IDS, entries)
    tail = StreamTail(9)
    for row, holder, start in zip(encoded.rows(), encoded.holders, encoded.starts, strict=True):
        tail.append(row, holder, start)
    return tail, entries


def read(tail: StreamTail, offset: int, end: int, bytes_max=1 << 20, count_max=1_000):
    found = tail.entries_from(offset, end, bytes_max, count_max)
    return None if found is None else [e._replace(payload=bytes(e.payload)) for e in found]


def test_reading_begins_with_the_entry_that_holds_the_offset():
    tail, entries = tail_of(3, 5_000, 4)
    assert read(tail, 0, 6) == entries
    assert read(tail, 3, 6) == entries[1:]
    assert read(tail, 5, 6) == entries[2:]


def test_both_bounds_hold_but_one_entry_always_comes():
    tail, entries = tail_of(10, 10, 10)
    assert read(tail, 0, 6, bytes_max=25) == entries[:2]
    assert read(tail, 0, 6, bytes_max=0) == entries[:1]
    assert read(tail, 0, 6, count_max=2) == entries[:2]


def test_what_was_evicted_is_not_here_any_more():
    tail, entries = tail_of(*[4] * 200)
    for gone in range(1, 150):
        tail.evict_oldest()
        assert len(tail) == 200 - gone
        assert read(tail, 2 * gone - 1, 400) is None
        assert read(tail, 2 * gone, 400) == entries[gone:]


def test_who_was_told_to_forget_keeps_nothing_of_what_still_comes():
    class Holder(bytearray):
        """Bytes that can be watched."""

    tail, _ = tail_of(4, 4)
    tail.forget()
    held = Holder(b"late")
    watch = weakref.ref(held)
    tail.append((9, 4, 2, 1, 0, 0, 4), held, 0)
    tail.evict_oldest()
    del held
    assert watch() is None
    assert (len(tail), read(tail, 4, 6)) == (0, None)
    other, entries = tail_of(3)  # which shares nothing with it
    assert read(other, 0, 2) == entries
