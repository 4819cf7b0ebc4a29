"""The judge of positions, on what a broker that forgets would let happen."""

import pytest

from compat_tests.cluster.rounds.positions import Committed, Positions

PLACE = ("t", 3)


def _after(commit: int | None, *offsets: int) -> Positions:
    """Assigned once, and read without a rebalance; then one comes."""
    positions = Positions("who")
    positions.polled(1)
    for offset in offsets:
        positions.read(PLACE, offset)
    if commit is not None:
        positions.committed({PLACE: commit})
    positions.polled(2)
    return positions


def test_who_reads_again_from_before_its_commit_is_told() -> None:
    positions = _after(2, 0, 1, 2, 3)
    positions.read(PLACE, 4)
    with pytest.raises(AssertionError, match=r"has committed 2 of .*, and reads 0 again"):
        positions.read(PLACE, 0)


def test_who_goes_on_at_its_commit_or_at_its_end_is_right() -> None:
    positions = _after(2, 0, 1, 2, 3)
    for offset in (2, 3, 4):
        positions.read(PLACE, offset)
    positions.polled(3)
    positions.read(PLACE, 3)


def test_a_commit_of_what_was_read_before_a_rebalance_moves_nobody() -> None:
    """The consumer was set back to 2 already when its application committed 4."""
    positions = _after(2, 0, 1, 2, 3)
    positions.read(PLACE, 3)
    positions.committed({PLACE: 4})
    for offset in (2, 3, 4):
        positions.read(PLACE, offset)


def test_who_reads_again_without_a_rebalance_is_told() -> None:
    positions = _after(2, 0, 1, 2, 3)
    for offset in (2, 3, 4):
        positions.read(PLACE, offset)
        positions.polled(2)
    with pytest.raises(AssertionError, match=r"at 5 of .*, and goes to 4 without a rebalance"):
        positions.read(PLACE, 4)


def test_a_rebalance_amid_a_poll_or_just_after_it_is_one() -> None:
    for counts in ((2, 2), (1, 2)):
        positions = Positions("who")
        positions.polled(1)
        for count in counts:
            positions.polled(count)
            positions.read(PLACE, 0)


def test_who_leaves_something_out_is_told() -> None:
    positions = _after(None, 0, 1)
    with pytest.raises(AssertionError, match=r"up to 2, and goes on at 3"):
        positions.read(PLACE, 3)


def test_a_group_whose_commits_go_back_or_are_gone_is_told() -> None:
    committed = Committed("group")
    committed.see({PLACE: None})
    committed.see({PLACE: 5})
    committed.see({PLACE: 5, ("t", 4): 1})
    for worse in (4, None):
        with pytest.raises(AssertionError, match="had committed 5"):
            committed.see({PLACE: worse})
