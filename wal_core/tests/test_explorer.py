"""The explorer sees every state, and finds the shortest way to a bad one."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.explorer import explore


class _Grid:
    """Two counters that go up to 3, in any order."""

    def __init__(self, bad: tuple[int, int] | None = None) -> None:
        self._bad = bad

    def start(self) -> tuple[int, int]:
        return (0, 0)

    def steps(self, state: tuple[int, int]) -> Iterator[tuple[str, tuple[int, int]]]:
        left, right = state
        if left < 3:
            yield "left", (left + 1, right)
        if right < 3:
            yield "right", (left, right + 1)

    def violation(self, state: tuple[int, int]) -> str | None:
        return "bad" if state == self._bad else None


def test_every_state_is_seen_once() -> None:
    found = explore(_Grid())
    assert (found.complete, found.states_count, found.steps_count, found.depth) == (True, 16, 24, 6)


def test_the_first_violation_has_a_shortest_trace() -> None:
    found = explore(_Grid(bad=(2, 1)))
    assert not found.complete
    assert found.violation == "bad"
    assert sorted(found.trace) == ["left", "left", "right"]


def test_a_bad_start_needs_no_step() -> None:
    found = explore(_Grid(bad=(0, 0)))
    assert (found.violation, found.trace, found.complete) == ("bad", [], False)


def test_a_run_that_is_cut_short_is_not_complete() -> None:
    found = explore(_Grid(), states_max=5)
    assert (found.complete, found.violation) == (False, None)
