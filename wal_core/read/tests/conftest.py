"""For tests of what is read on the loop."""

import math

import pytest

from wal_core.stores import at_hand


@pytest.fixture
def never_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, reads on the loop go on."""
    monkeypatch.setattr(at_hand, "_TAKES_S_MAX", math.inf)
