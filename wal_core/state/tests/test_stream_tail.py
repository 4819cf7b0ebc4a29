"""What is in memory of one stream: a suffix, without a gap, packed."""

from __future__ import annotations

import weakref

import pytest

from wal_core import Entry
from wal_core.format.block import BlockIds, encode_entries
from wal_core.state.stream_tail import StreamTail
from wal_core.testing.seeds import stream

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
    payloads = tail.payloads_from(offset, end, bytes_max, count_max)
    if found is None:
        assert payloads is None
        return None
    assert payloads is not None
    assert b"".join(payloads.pieces) == b"".join(entry.payload for entry in found)
    assert payloads.bytes_count == sum(len(entry.payload) for entry in found)
    assert payloads.end_offset == found[-1].end_offset
    return [e._replace(payload=bytes(e.payload)) for e in found]


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


def test_payloads_that_lie_side_by_side_are_one_piece():
    tail, _ = tail_of(10, 20, 50_000, 5, 6, 40_000, 50_000)
    found = tail.payloads_from(2, 14, 1 << 20, 100)
    assert found is not None
    assert sum(map(len, found.pieces)) == found.bytes_count == 140_031
    assert len(found.pieces) <= 5
    small, _ = tail_of(*[100] * 500)
    found = small.payloads_from(0, 1_000, 1 << 20, 400)
    assert found is not None
    assert [len(piece) for piece in found.pieces] == [40_000]


@pytest.mark.parametrize("seed", range(20))
def test_payloads_are_those_of_the_entries_whatever_lies_between_them(seed: int):
    rng = stream(seed, "tail")
    sizes = [rng.choice((1, 30, 300, 40_000)) for _ in range(60)]
    mine = [Entry(9, 2 * n, 2, 1, n, bytes([n]) * size) for n, size in enumerate(sizes)]
    among = [
        entry
        for one in mine
        for entry in (
            [one] if rng.random() < 0.7 else [Entry(8, one.base_offset, 2, 1, 0, b"-"), one]
        )
    ]
    tail, at = StreamTail(9), 0
    while at < len(among):
        encoded = encode_entries(IDS, among[at : at + rng.randrange(1, 9)])
        rows = list(encoded.rows())
        for row, holder, start in zip(rows, encoded.holders, encoded.starts, strict=True):
            if row[0] == 9:
                tail.append(row, holder, start)
        at += len(rows)
    gone = rng.randrange(40)
    for _ in range(gone):
        tail.evict_oldest()
    assert read(tail, 2 * gone, 120) == mine[gone:]
    for _ in range(50):
        offset, bytes_max = rng.randrange(120), rng.choice((0, 1, 31, 400, 90_000))
        read(tail, offset, 120, bytes_max, rng.choice((1, 2, 7, 100)))


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
