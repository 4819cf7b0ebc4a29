"""Mode quorum: some seeds pass, and a broken promise is found."""

from __future__ import annotations

import pytest

from gateway.testing.sim.plan import draw_plan
from gateway.testing.sim.simulate import Outcome, simulate
from gateway.testing.sim.tests.passing import passing
from wal_core.quorum import part
from wal_core.testing.sampled import sampled

SEEDS = range(1, 7)  # up to some seconds each; `make sim ARGS='--mode quorum'` has the rest


def run(seed: int) -> Outcome:
    return passing("quorum", seed)


@pytest.mark.xdist_group("quorum")
@pytest.mark.parametrize("seed", sampled(SEEDS, quick_count=3))
def test_seeds(seed: int) -> None:
    run(seed)


def test_a_block_that_one_logstore_has_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "ACKS_COUNT", 1)
    found = {text.partition(":")[0] for text in simulate(draw_plan(5, "quorum")).violations}
    assert "I1 acknowledged is durable" in found
