"""The real clock and randomness keep to their protocols' ranges."""

from __future__ import annotations

from wal_core import SystemClock, SystemRng, WalError
from wal_core.errors import Corrupt


def test_clock_and_rng():
    assert SystemClock().now_ms() > 1_700_000_000_000
    rng = SystemRng()
    draws = [rng.random() for _ in range(2000)]
    assert 0 <= min(draws) < 0.1
    assert 0.9 < max(draws) < 1
    assert len({rng.random_bytes(16) for _ in range(100)}) == 100


def test_errors_name_the_place():
    error = Corrupt("bad", log_id=0, segment=3, block=4)
    assert str(error) == "bad (log 0, segment 3, block 4)"
    assert str(WalError("plain")) == "plain"
    assert error.retriable is False
