"""A few hundred seeds in each mode; and the simulation is what it claims to be: repeatable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gateway.testing.sim.faults import Crash, Takeover
from gateway.testing.sim.plan import MODES, Plan, draw_plan
from gateway.testing.sim.shrink import shrunk
from gateway.testing.sim.simulate import Outcome, simulate

SEEDS_COUNT = 300  # per mode, about 25 s on one core
CHUNK_COUNT = 50


@pytest.mark.parametrize("first", range(0, SEEDS_COUNT, CHUNK_COUNT))
@pytest.mark.parametrize("mode", MODES)
def test_seeds(mode, first):
    for seed in range(first, first + CHUNK_COUNT):
        outcome = simulate(draw_plan(seed, mode))
        if outcome.violations:
            least = shrunk(outcome)
            pytest.fail(
                "\n".join([*least.lines, least.plan.describe(), *least.violations])
                + f"\nreplay it with: make sim SEED={seed} ARGS='--mode {mode}'"
            )


@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_gives_the_same_trace_in_any_process(mode):
    seeds = [3, 10, 34, 57]
    here = [simulate(draw_plan(seed, mode)).digest for seed in seeds]
    again = [simulate(draw_plan(seed, mode)).digest for seed in reversed(seeds)]
    assert here == again[::-1]
    assert len(set(here)) == len(here)
    program = (
        "from gateway.testing.sim.plan import draw_plan\n"
        "from gateway.testing.sim.simulate import simulate\n"
        f"for seed in {seeds}: print(simulate(draw_plan(seed, {mode!r})).digest)"
    )
    for hash_seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.split() == here


def test_a_failing_run_is_made_as_small_as_it_gets():
    """Only two faults together break it; every other one is left out."""
    plan = draw_plan(0, "object")
    crashes = [Crash(float(n), 0, 0.0) for n in range(6)]
    needed = [Takeover(1.5, 1), Takeover(3.5, 2)]
    faults = (*crashes[:3], needed[0], *crashes[3:], needed[1])

    def run(plan: Plan) -> Outcome:
        broken = all(fault in plan.faults for fault in needed)
        return Outcome(plan, ["I1: broken"] if broken else ["I2: another"], [], "", {})

    least = shrunk(run(plan.with_faults(faults)), run)
    assert list(least.plan.faults) == needed
