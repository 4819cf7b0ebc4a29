"""What a logstore takes, decided without a disk."""

from __future__ import annotations

import pytest

from wal_core.errors import Fenced, Invalid, Unavailable
from wal_core.format.block import BlockHeader, parse_header
from wal_core.format.logstore_records import Final, Promise
from wal_core.logstore.held import Held, HeldLog
from wal_core.logstore.replica import Tail
from wal_core.logstore.tests.logstores import FOOTER, LOG, NONCE_A, NONCE_B, block


def header(number: int, *, confirmed: int = 0, nonce: bytes = NONCE_A) -> BlockHeader:
    return parse_header(block(number, confirmed=confirmed, nonce=nonce))


def held_log(blocks_count: int, stored_count: int) -> HeldLog:
    log = HeldLog(Promise(LOG, b"b" * 16, 5, NONCE_A))
    held = log.segments[0] = Held()
    for number in range(blocks_count):
        held.take(header(number))
    held.stored_count = stored_count
    return log


def test_a_promise_is_for_a_higher_term_or_the_same_writer():
    log = held_log(0, 0)
    assert not log.check_promise(5, NONCE_A)
    assert log.check_promise(6, NONCE_B)
    for term, nonce in ((5, NONCE_B), (4, NONCE_A)):
        with pytest.raises(Fenced, match="term 5 has one"):
            log.check_promise(term, nonce)
        with pytest.raises(Fenced, match="promised to term 5"):
            log.check_promised(term, nonce)
    with pytest.raises(Unavailable, match="another birth"):
        log.check_birth(bytes(16))


def test_what_is_told_is_on_the_disk():
    log = held_log(4, 2)
    assert log.tails() == [Tail(0, 2, None)]
    held = log.segments[0]
    assert held.drop_from(1) == 2 * len(block(0))  # what is stored stays
    assert (held.taken_count, held.end_bytes) == (2, 2 * len(block(0)))
    assert log.held_bytes == 2 * len(block(0))


def test_a_block_is_the_one_there_or_the_next():
    log = held_log(2, 2)
    for number in (0, 1, 2):
        assert log.check_block(header(number)) is log.segments[0]
    for wrong in (header(1, confirmed=1), header(2, nonce=NONCE_B)):
        with pytest.raises(Invalid):
            log.check_block(wrong)


def test_confirmed_never_falls_and_shows_no_more_than_is_here():
    held = held_log(3, 2).segments[0]
    held.confirm(3)
    held.confirm(1)
    assert (held.confirmed_count, held.readable_count) == (3, 2)


def test_a_final_needs_stored_blocks_and_a_higher_term():
    log = held_log(3, 2)
    with pytest.raises(Unavailable, match="2 are here"):
        log.check_final(Final(LOG, 0, 5, 3, FOOTER))
    first = Final(LOG, 0, 5, 2, FOOTER)
    assert log.check_final(first)
    log.segments[0].final = first
    assert not log.check_final(first)
    assert log.check_final(first._replace(term=6))
    with pytest.raises(Invalid, match="has ended it"):
        log.check_final(first._replace(end=1))
