"""The real clock and randomness keep to their protocols' ranges."""

from __future__ import annotations

import asyncio

from wal_core import SteadyClock, SystemClock, SystemRng, WalError
from wal_core.errors import Corrupt
from wal_core.testing.sim_loop import run


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


def test_a_steady_clock_starts_at_the_wall_and_does_not_jump_with_it():
    class Wall:
        at_ms = 5_000

        def now_ms(self) -> int:
            return self.at_ms

    async def main() -> None:
        wall = Wall()
        steady = SteadyClock(wall)
        assert steady.now_ms() == 5_000
        wall.at_ms += 86_400_000
        await asyncio.sleep(2)
        assert steady.now_ms() == 7_000
        wall.at_ms = 0
        assert steady.now_ms() == 7_000

    run(main)
