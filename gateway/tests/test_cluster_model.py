"""The model of a catalog and a log among nodes: clean as it is, and never without a rule."""

from __future__ import annotations

import pytest

from gateway.testing.cluster_model import BREAKS, RUNS, ClusterModel, Rule
from wal_core.testing.explorer import explore


@pytest.mark.parametrize("name", RUNS)
def test_no_order_of_steps_loses_what_was_acknowledged(name: str) -> None:
    found = explore(ClusterModel(RUNS[name]))
    assert found.complete, str(found)


@pytest.mark.parametrize("rule", BREAKS, ids=lambda rule: rule.name)
def test_a_broken_rule_loses_something(rule: Rule) -> None:
    found = explore(ClusterModel(RUNS[BREAKS[rule]], frozenset({rule})))
    assert found.violation is not None
    assert found.trace


def test_every_rule_is_broken_somewhere() -> None:
    assert set(BREAKS) == set(Rule)
