"""The tail in memory, against a list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wal_core import Entry
from wal_core.streams import _ENTRY_OVERHEAD_BYTES, Stream, Tail, take


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 300)),
            min_size=1,
            max_size=5,
        ),
        max_size=150,
    ),
    st.sampled_from([0, 2000, 50_000]),
)
def test_the_tail_is_a_suffix_of_what_was_confirmed(blocks, bytes_max):
    tail, streams = Tail(bytes_max), [Stream() for _ in range(3)]
    everything: list[list[Entry]] = [[] for _ in range(3)]
    for block in blocks:
        entries, owners = [], []
        for number, count, size in block:
            stream = streams[number]
            entry = Entry(number, stream.end, count, 0, bytes(size))
            stream.end = stream.confirmed = entry.end_offset
            entries.append(entry)
            owners.append(stream)
            everything[number].append(entry)
        tail.add(entries, owners)
        assert tail.bytes_count <= bytes_max
    kept = 0
    for stream, entries in zip(streams, everything, strict=True):
        in_memory = stream.entries[stream.gone :]
        assert in_memory == entries[len(entries) - len(in_memory) :]
        assert stream.bases[stream.gone :] == [entry.base_offset for entry in in_memory]
        kept += sum(len(entry.payload) + _ENTRY_OVERHEAD_BYTES for entry in in_memory)
        for at, entry in enumerate(entries):
            for offset in range(entry.base_offset, entry.end_offset):
                found = stream.tail_from(offset, 400, 1000)
                if at < len(entries) - len(in_memory):
                    assert found is None
                else:
                    assert found == take(entries, at, 400, 1000)
    assert kept == tail.bytes_count


def test_take_gives_one_at_least_and_no_more_than_fits():
    entries = [Entry(0, n, 1, 0, bytes(10)) for n in range(5)]
    for bytes_max, count in ((0, 1), (9, 1), (10, 1), (19, 1), (20, 2), (35, 3), (1000, 5)):
        assert len(take(entries, 0, bytes_max, 5)) == count
    assert take(entries, 3, 1000, 5) == entries[3:]
    assert take(entries, 1, 1000, 2) == entries[1:3]


def test_take_stops_where_entries_lie_elsewhere():
    entries = [Entry(0, n, 2, 0, bytes(10)) for n in (0, 2, 6, 8)]
    assert take(entries, 0, 1000, 5) == entries[:2]
    assert take(entries, 2, 1000, 5) == entries[2:]


def test_an_evicted_entry_lets_its_payload_go_at_once():
    tail, stream = Tail(1000), Stream()
    for n in range(10):
        entry = Entry(0, n, 1, 0, bytes(200))
        stream.end = stream.confirmed = n + 1
        tail.add([entry], [stream])
    assert sum(len(entry.payload) for entry in stream.entries) <= 1000
