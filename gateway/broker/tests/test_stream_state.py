"""What is remembered of a stream: by entries alone, each change noted in the same step."""

from __future__ import annotations

from gateway.broker import state_keys
from gateway.broker.journal_records import StreamOpened
from gateway.broker.stream_state import StreamState
from gateway.tests.harness import batch_of
from wal_core import Changes, Entry

OPENED = StreamOpened(stream_id=3, topic_id=b"i" * 16, name="t", partition=0, kind="records")


def state() -> tuple[StreamState, Changes]:
    changes = Changes()
    return StreamState(3, changes), changes


def entry(base: int, *, epoch: int, producer_id: int = -1) -> Entry:
    batch = batch_of(b"x", producer_id=producer_id, producer_epoch=0, base_sequence=0)
    batch[12:16] = epoch.to_bytes(4, "big")  # the partition's leader epoch
    return Entry(3, base, 1, 1, 0, bytes(batch))


def test_its_first_entry_says_whose_it_is() -> None:
    stream, changes = state()
    assert not stream.is_group_offsets
    stream.open(OPENED)
    assert changes.keys() == [state_keys.opened(3)]
    stream.open(
        StreamOpened(stream_id=3, topic_id=b"i" * 16, name="t", partition=0, kind="group_offsets")
    )
    assert stream.is_group_offsets


def test_epochs_rise_and_one_whose_batches_are_all_gone_is_replaced() -> None:
    stream, changes = state()
    for base, epoch in ((0, 2), (1, 2), (2, 5)):
        stream.apply(entry(base, epoch=epoch), 0)
    assert stream.epochs == [(2, 0), (5, 2)]
    assert changes.keys() == [state_keys.partition(3)]
    stream.remember_epoch(2, 6)
    assert stream.epochs == [(2, 0), (6, 2)]
    changes.clear()
    stream.remember_epoch(3, 6)
    assert changes.keys() == []  # nothing new


def test_a_start_keeps_the_epoch_that_holds_it() -> None:
    stream, _ = state()
    for base, epoch in ((0, 2), (10, 5), (20, 7)):
        stream.remember_epoch(base, epoch)
    stream.started_at(15)
    assert stream.epochs == [(5, 15), (7, 20)]
    stream.started_at(20)
    assert stream.epochs == [(7, 20)]


def test_a_start_never_goes_back() -> None:
    stream, _ = state()
    stream.delete_below(7)
    stream.delete_below(3)
    assert stream.deleted_below == 7


def test_producers_of_replayed_batches_are_known_and_noted() -> None:
    stream, changes = state()
    stream.apply(entry(0, epoch=1, producer_id=9), 0)
    assert list(stream.producers.ids()) == [9]
    assert state_keys.producer(3, 9) in changes
    stream.forget()
    assert list(stream.producers.ids()) == []
    assert state_keys.opened(3) in changes


def test_what_was_saved_is_loaded() -> None:
    stream, _ = state()
    stream.remember_epoch(0, 4)
    stream.delete_below(2)
    again, _ = state()
    again.load(stream.epochs, stream.deleted_below)
    assert (again.epochs, again.deleted_below) == ([(4, 0)], 2)
    again.remember_epoch(9, 5)
    assert stream.epochs == [(4, 0)]  # they share nothing
