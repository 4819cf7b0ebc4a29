"""A tenure says the term once, and never changes."""

from __future__ import annotations

import dataclasses

import pytest

from wal_core import LogConfig, SystemClock
from wal_core.tenure import Tenure
from wal_core.tests.harness import CountingRng

OPENING = Tenure(
    config=LogConfig(log_id=7), clock=SystemClock(), rng=CountingRng(), nonce=bytes(16)
)


def test_the_term_is_said_once():
    tenure = OPENING.of_term(3)
    assert (OPENING.term, tenure.term, tenure.log_id) == (0, 3, 7)
    assert dataclasses.replace(tenure, term=0) == OPENING
    with pytest.raises(AssertionError):
        tenure.of_term(4)
    with pytest.raises(AssertionError):
        OPENING.of_term(0)


def test_it_never_changes():
    with pytest.raises(dataclasses.FrozenInstanceError):
        OPENING.term = 1  # type: ignore[misc]
