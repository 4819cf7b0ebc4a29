"""What has changed since it was written down: who changed first is written down first."""

from __future__ import annotations

from wal_core.types import Changes, Entry


def test_an_entry_ends_behind_its_span_not_behind_its_records():
    assert Entry(1, 10, 5, 2, -1, b"x").end_offset == 15


def test_a_key_counts_once_with_its_newest_size():
    changes = Changes()
    changes.note(b"a", 10)
    changes.note(b"b", 20)
    changes.note(b"a", 5)
    assert changes.bytes_count == 25
    assert changes.keys() == [b"a", b"b"]
    assert b"a" in changes
    changes.forget(b"a")
    changes.forget(b"never noted")
    assert (changes.bytes_count, b"a" in changes) == (20, False)


def test_what_is_taken_is_the_oldest_and_fits_but_for_one():
    changes = Changes()
    for key in (b"a", b"b", b"c"):
        changes.note(key, 10)
    assert changes.take(15) == [b"a", b"b"]
    assert (changes.keys(), changes.bytes_count) == ([b"c"], 10)
    assert changes.take(1) == [b"c"]
    assert changes.take(1) == []
    changes.note(b"a", 3)
    changes.clear()
    assert (changes.keys(), changes.bytes_count) == ([], 0)
