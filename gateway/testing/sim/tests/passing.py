"""A simulated run that has to pass."""

import pytest

from gateway.testing.sim.plan import Mode, draw_plan
from gateway.testing.sim.shrink import shrunk
from gateway.testing.sim.simulate import Outcome, simulate


def passing(mode: Mode, seed: int) -> Outcome:
    """That of a seed. If it does not pass: the least that still goes wrong, and how to see it."""
    outcome = simulate(draw_plan(seed, mode))
    if outcome.violations:
        least = shrunk(outcome)
        pytest.fail(
            "\n".join([*least.lines, least.plan.describe(), *least.violations])
            + f"\nreplay it with: make sim SEED={seed} ARGS='--mode {mode}'"
        )
    return outcome
