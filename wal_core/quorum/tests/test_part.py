"""A segment of the tail: when a block counts, when a final does."""

from __future__ import annotations

import pytest

from wal_core.errors import Fenced
from wal_core.format.logstore_records import Final
from wal_core.quorum import part as part_module
from wal_core.quorum.part import Part
from wal_core.quorum.tests.test_members import ENSEMBLE

A, B, C = ENSEMBLE


async def test_a_block_counts_when_two_have_it_and_all_before():
    part = Part(0, ENSEMBLE)
    waiting = [part.add(number, b"x") for number in (0, 1, 2)]
    assert part.add(1, b"x") is waiting[1]
    part.heard(A, 3)
    assert part.confirmed_count == 0
    part.heard(B, 2)
    assert [one.done() for one in waiting] == [True, True, False]
    part.heard(C, 1)
    part.heard(B, 1)  # late
    assert part.confirmed_count == 2
    assert part.add(0, b"x").done()


async def test_who_begins_a_block_is_told_once_and_may_begin_the_next_at_once():
    part = Part(0, ENSEMBLE)
    told: list[object] = []

    def next_one(error: Exception | None) -> None:
        told.append(error)
        assert part.confirmed_count == 1
        assert part.begin(1, b"x", told.append)
        part.heard(A, 2)

    assert part.begin(0, b"x", next_one)
    assert not part.begin(0, b"x", told.append)
    waiting = part.add(0, b"x")
    part.heard(A, 1)
    assert not told
    part.heard(B, 1)
    assert told == [None]
    assert waiting.done()
    assert not part.begin(0, b"x", told.append)
    part.heard(B, 2)
    assert told == [None, None]
    gone = Fenced("gone")
    assert part.begin(2, b"x", told.append)
    part.fail(gone)
    assert told == [None, None, gone]
    assert not part.begin(3, b"x", told.append)


async def test_blocks_behind_a_missing_one_wait_for_it():
    part = Part(0, ENSEMBLE)
    part.add(1, b"x")
    assert part.count == 0
    part.add(0, b"x")
    assert part.count == 2


async def test_memory_is_for_the_slowest_up_to_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(part_module, "WINDOW_BYTES_MAX", 3)
    part = Part(0, ENSEMBLE)
    for number in range(6):
        part.add(number, b"x")
    part.heard(A, 2)
    assert len(part.blocks) == 6  # not confirmed: nobody else may have them
    part.heard(B, 1)
    assert sorted(part.blocks) == [1, 2, 3, 4, 5]
    part.heard(B, 2)
    part.heard(C, 2)
    assert sorted(part.blocks) == [2, 3, 4, 5]
    part.heard(A, 6)
    part.heard(B, 6)
    assert sorted(part.blocks) == [3, 4, 5]


async def test_a_final_is_chosen_at_two_and_stays_what_it_is():
    part = Part(0, ENSEMBLE, 4)
    final = Final(0, 0, 9, 4, b"")
    chosen = part.propose(final)
    part.took_final(A)
    part.took_final(A)
    assert not chosen.done()
    part.took_final(C)
    assert chosen.done()
    assert part.propose(final) is chosen
    with pytest.raises(AssertionError):
        part.propose(final._replace(footer=b"other"))


async def test_who_waits_learns_of_the_end():
    part = Part(0, ENSEMBLE)
    block, chosen = part.add(0, b"x"), part.propose(Final(0, 0, 1, 1, b""))
    part.fail(Fenced("gone"))
    for future in (block, chosen, part.add(1, b"x"), part.propose(Final(0, 0, 1, 1, b""))):
        with pytest.raises(Fenced):
            await future
