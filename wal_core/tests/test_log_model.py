"""The model of the log: clean as it is, and never without one of its rules."""

from __future__ import annotations

import pytest

from wal_core.testing.explorer import explore
from wal_core.testing.log_model.log_model import LogModel
from wal_core.testing.log_model.rules import Rule
from wal_core.testing.log_model.runs import BREAKS, RUNS


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_no_order_of_steps_breaks_an_invariant(name: str) -> None:
    found = explore(LogModel(RUNS[name]))
    assert found.complete, str(found)


def test_the_tail_is_explored_for_two_writers_and_four_blocks() -> None:
    tail = RUNS["tail"]
    assert (len(tail.writers), tail.blocks_max, tail.prelude) == (2, 4, ())


@pytest.mark.parametrize("rules", BREAKS, ids=lambda rules: "+".join(r.name for r in rules))
def test_a_broken_rule_breaks_an_invariant(rules: tuple[Rule, ...]) -> None:
    found = explore(LogModel(BREAKS[rules], frozenset(rules)))
    assert found.violation is not None
    assert found.trace


def test_every_rule_is_broken_somewhere() -> None:
    assert {rule for rules in BREAKS for rule in rules} == set(Rule)
