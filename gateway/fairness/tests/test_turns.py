"""Who goes first, and how much is remembered of it."""

import random  # noqa: TID251 - seeded

import pytest

from gateway.fairness.turns import TURNS_MAX_COUNT, Turns


def _first(turns: Turns, asked: list[int]) -> int:
    return min(asked, key=turns.rank)


def test_who_was_never_served_goes_first_and_then_who_has_waited_longest() -> None:
    turns = Turns()
    for number in (3, 1, 2):
        turns.served(number)
    assert sorted([1, 2, 3, 9, 7], key=turns.rank) == [7, 9, 3, 1, 2]
    turns.served(3)
    assert sorted([1, 2, 3], key=turns.rank) == [1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_nobody_is_served_twice_while_another_who_asks_waits(seed: int) -> None:
    rng = random.Random(seed)
    turns = Turns()
    passed: dict[int, set[int]] = {number: set() for number in range(9)}
    for _ in range(500):
        asked = rng.sample(range(9), rng.randint(1, 9))
        chosen = _first(turns, asked)
        turns.served(chosen)
        passed[chosen].clear()
        for other in set(asked) - {chosen}:
            assert chosen not in passed[other]
            passed[other].add(chosen)


@pytest.mark.parametrize("asked_count", [8, 9, 20, 100])
def test_more_than_are_remembered_are_served_one_after_another(asked_count: int) -> None:
    """In whatever order they are named."""
    rng = random.Random(asked_count)
    turns = Turns(8)
    asked = list(range(asked_count))
    served = []
    for _ in range(4 * asked_count):
        rng.shuffle(asked)
        served.append(_first(turns, asked))
        turns.served(served[-1])
    for at in range(0, len(served), asked_count):
        assert sorted(served[at : at + asked_count]) == list(range(asked_count))


def test_what_is_remembered_is_bounded_whatever_is_asked_for() -> None:
    turns = Turns()
    for number in range(10 * TURNS_MAX_COUNT):
        turns.served(number)
    assert len(turns) == TURNS_MAX_COUNT
