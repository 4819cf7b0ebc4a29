"""The tail in memory, against a list."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from wal_core import Entry
from wal_core.budgets import SharedMemory
from wal_core.format.block import BlockIds, encode_entries
from wal_core.state.streams import Stream, take
from wal_core.state.tail import ENTRY_OVERHEAD_BYTES, Tail

IDS = BlockIds(0, 0, 0, 1, 0, bytes(16))


def confirmed(tail: Tail, entries: Sequence[Entry], owners: Sequence[Stream]) -> None:
    for entry, stream in zip(entries, owners, strict=True):
        stream.recover(entry.end_offset, entry.max_timestamp_ms, len(entry.payload))
    block = encode_entries(IDS, entries)
    tail.add(block, list(block.rows()), owners)


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 2), st.integers(1, 3), st.sampled_from([1, 7, 300, 4095, 4096])
            ),
            min_size=1,
            max_size=5,
        ),
        max_size=150,
    ),
    st.sampled_from([0, 2000, 50_000]),
)
def test_the_tail_is_a_suffix_of_what_was_confirmed(blocks, bytes_max):
    tail, streams = Tail(SharedMemory(bytes_max)), [Stream() for _ in range(3)]
    everything: list[list[Entry]] = [[] for _ in range(3)]
    fill = 0
    for block in blocks:
        entries, owners = [], []
        ends = [stream.end for stream in streams]
        for number, count, size in block:
            fill = (fill + 1) % 256
            payload = memoryview(bytearray([fill]) * size)
            entries.append(Entry(number, ends[number], count, count, fill, payload))
            ends[number] += count
            owners.append(streams[number])
            everything[number].append(entries[-1])
        confirmed(tail, entries, owners)
        assert tail.bytes_count <= bytes_max
    kept = 0
    for stream, entries in zip(streams, everything, strict=True):
        in_memory_count = len(stream.tail) if stream.tail else 0
        for at, entry in enumerate(entries):
            for offset in range(entry.base_offset, entry.end_offset):
                found = stream.tail_from(offset, 400, 10)
                if at < len(entries) - in_memory_count:
                    assert found is None
                else:
                    assert found == take(entries, at, 400, 10)
        if in_memory_count:
            kept += sum(
                len(entry.payload) + ENTRY_OVERHEAD_BYTES for entry in entries[-in_memory_count:]
            )
    assert kept <= tail.bytes_count


def test_an_evicted_entry_lets_its_payload_go_at_once():
    tail, stream = Tail(SharedMemory(100_000)), Stream()
    tracemalloc.start()
    try:
        for n in range(60):
            confirmed(tail, [Entry(0, n, 1, 1, 0, bytes(10_000))], [stream])
        assert tracemalloc.get_traced_memory()[0] < 120_000
    finally:
        tracemalloc.stop()


def test_small_entries_are_no_objects_for_the_garbage_collector():
    tail, stream = Tail(SharedMemory(1 << 30)), Stream()
    gc.collect()
    before_count = len(gc.get_objects())
    for n in range(5_000):
        confirmed(tail, [Entry(0, n, 1, 1, 0, memoryview(bytes(100)))], [stream])
    gc.collect()
    assert len(gc.get_objects()) - before_count < 100
    found = stream.tail_from(0, 1 << 30, 10_000)
    assert found is not None
    assert len(found) == 5_000


def test_the_tail_knows_what_small_entries_cost():
    for per_block in (1, 50):
        tail, stream = Tail(SharedMemory(1 << 30)), Stream()
        tracemalloc.start()
        try:
            for n in range(0, 20_000, per_block):
                entries = [Entry(0, n + i, 1, 1, 0, bytes(100)) for i in range(per_block)]
                confirmed(tail, entries, [stream] * per_block)
            del entries
            used_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert 0.6 < used_bytes / tail.bytes_count < 1.05, (used_bytes, tail.bytes_count)
