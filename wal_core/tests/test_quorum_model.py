"""The model of quorum mode: clean as it is, and never without one of its rules."""

from __future__ import annotations

import pytest

from wal_core.testing.explorer import explore
from wal_core.testing.quorum_model.quorum_model import QuorumModel
from wal_core.testing.quorum_model.rules import Rule
from wal_core.testing.quorum_model.runs import BREAKS, RUNS


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_no_order_of_steps_loses_what_was_seen(name: str) -> None:
    found = explore(QuorumModel(RUNS[name]))
    assert found.complete, str(found)


@pytest.mark.parametrize("rule", BREAKS, ids=lambda rule: rule.name)
def test_a_broken_rule_loses_something(rule: Rule) -> None:
    found = explore(QuorumModel(BREAKS[rule], frozenset({rule})))
    assert found.violation is not None
    assert found.trace


def test_every_rule_is_broken_somewhere() -> None:
    assert set(BREAKS) == set(Rule)
