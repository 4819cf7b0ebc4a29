"""Sequences of idempotent producers: duplicates, gaps, epochs, the wrap (KIP-98, KIP-360)."""

import pytest

from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import (
    LATEST,
    fetch_batches,
    init_producer_id,
    list_offset,
    produce,
)

OUT_OF_ORDER_SEQUENCE_NUMBER = 45
DUPLICATE_SEQUENCE_NUMBER = 46
INVALID_PRODUCER_EPOCH = 47
SEQUENCE_MAX = 0x7FFFFFFF
WINDOW_COUNT = 5
RECORDS_COUNT = 3


def batch(producer_id: int, epoch: int, sequence: int, count: int = RECORDS_COUNT) -> bytes:
    return build([b"s%d" % sequence] * count, producer=(producer_id, epoch, sequence))


def test_every_caller_gets_an_id_of_its_own(wire: Connection) -> None:
    seen = [init_producer_id(wire) for _ in range(20)]
    assert len({producer_id for producer_id, _ in seen}) == 20
    assert {epoch for _, epoch in seen} == {0}


def test_duplicates_of_the_last_five_get_their_offset(wire: Connection, made: str) -> None:
    producer_id, epoch = init_producer_id(wire)
    sent = [batch(producer_id, epoch, n * RECORDS_COUNT) for n in range(WINDOW_COUNT + 2)]
    bases = [produce(wire, made, item).base_offset for item in sent]
    assert bases == [n * RECORDS_COUNT for n in range(len(sent))]

    for item, base in list(zip(sent, bases, strict=True))[-WINDOW_COUNT:]:
        again = produce(wire, made, item)
        assert (again.error_code, again.base_offset) == (0, base)
    assert list_offset(wire, made, LATEST).offset == len(sent) * RECORDS_COUNT

    older = produce(wire, made, sent[0])
    assert older.error_code in (OUT_OF_ORDER_SEQUENCE_NUMBER, DUPLICATE_SEQUENCE_NUMBER)
    assert list_offset(wire, made, LATEST).offset == len(sent) * RECORDS_COUNT


def test_gaps_are_refused_and_cost_nothing(wire: Connection, made: str) -> None:
    producer_id, epoch = init_producer_id(wire)
    assert produce(wire, made, batch(producer_id, epoch, 0)).error_code == 0
    for sequence in (4, 100, 1):
        answer = produce(wire, made, batch(producer_id, epoch, sequence))
        assert answer.error_code == OUT_OF_ORDER_SEQUENCE_NUMBER
    answer = produce(wire, made, batch(producer_id, epoch, RECORDS_COUNT))
    assert (answer.error_code, answer.base_offset) == (0, RECORDS_COUNT)


def test_unknown_producers_may_start_anywhere(wire: Connection, made: str) -> None:
    """State may have expired; refusing would stop such a producer for ever."""
    producer_id, epoch = init_producer_id(wire)
    answer = produce(wire, made, batch(producer_id, epoch, 70))
    assert (answer.error_code, answer.base_offset) == (0, 0)


def test_a_new_epoch_starts_over_and_shuts_out_the_old(wire: Connection, made: str) -> None:
    producer_id, epoch = init_producer_id(wire)
    assert produce(wire, made, batch(producer_id, epoch, 0)).error_code == 0
    answer = produce(wire, made, batch(producer_id, epoch + 1, 5))
    assert answer.error_code == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert produce(wire, made, batch(producer_id, epoch + 1, 0)).base_offset == RECORDS_COUNT
    answer = produce(wire, made, batch(producer_id, epoch, RECORDS_COUNT))
    assert answer.error_code == INVALID_PRODUCER_EPOCH
    assert list_offset(wire, made, LATEST).offset == 2 * RECORDS_COUNT


@pytest.mark.parametrize("before", [RECORDS_COUNT, 1])
def test_sequences_wrap(wire: Connection, made: str, before: int) -> None:
    """After 2^31-1 comes 0, inside a batch (`before` 1) or between two (`before` 3)."""
    producer_id, epoch = init_producer_id(wire)
    first = SEQUENCE_MAX - before + 1
    assert produce(wire, made, batch(producer_id, epoch, first)).error_code == 0
    following = RECORDS_COUNT - before
    answer = produce(wire, made, batch(producer_id, epoch, following))
    assert (answer.error_code, answer.base_offset) == (0, RECORDS_COUNT)
    again = produce(wire, made, batch(producer_id, epoch, first))
    assert (again.error_code, again.base_offset) == (0, 0)


def test_partitions_count_their_own_sequences(wire: Connection, made_three: str) -> None:
    producer_id, epoch = init_producer_id(wire)
    for turn in range(3):
        for partition in range(3):
            item = batch(producer_id, epoch, turn * RECORDS_COUNT)
            answer = produce(wire, made_three, item, partition=partition)
            assert (answer.error_code, answer.base_offset) == (0, turn * RECORDS_COUNT)


def test_producers_do_not_share_sequences(wire: Connection, made: str) -> None:
    for _ in range(3):
        producer_id, epoch = init_producer_id(wire)
        for turn in range(2):
            item = batch(producer_id, epoch, turn * RECORDS_COUNT)
            assert produce(wire, made, item).error_code == 0
    stored = fetch_batches(wire, made)
    assert [item.base_offset for item in stored] == [n * RECORDS_COUNT for n in range(6)]
    assert len({item.producer_id for item in stored}) == 3
