"""A few hundred seeds in each mode; and the simulation is what it claims to be: repeatable."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from functools import cache

import pytest

from gateway.testing.sim.faults import Crash, Takeover
from gateway.testing.sim.plan import Mode, Plan, draw_plan
from gateway.testing.sim.shrink import shrunk
from gateway.testing.sim.simulate import Outcome, simulate
from gateway.testing.sim.tests.passing import passing
from wal_core.testing.sampled import sampled

MODES: tuple[Mode, ...] = ("object", "file")  # those of one gateway; see test_cluster.py
SEEDS_COUNT = 500  # per mode, about 150 s on one core
CHUNK_COUNT = 25

HAPPENED = {
    "crash": r"g\d+ +is killed",
    "restart or takeover": r"g\d+ +listens, terms .*: [2-9]",
    "clean stop": r"g\d+ +is asked to stop",
    "pause": r"g\d+ +is paused",
    "delayed messages": r"fault +SlowNetwork",
    "cut connection": r"p\d +lost its connection",
    "clock put forward": r"fault +ClockJump\(.*by_ms=\d",
    "clock put back": r"fault +ClockJump\(.*by_ms=-",
    "records deleted": r"deleter +is told .* starts at [1-9]",
    "retention, or an unanswered deletion": r"stored +t\d-\d starts at",
    "a reader behind a log start": r"c\d +is out of range",
    "a group's rebalance": r"m\d +has .* in generation [3-9]",
    "a committed offset": r"m\d +committed ",
    "a topic deleted": r"topics +did delete",
}
HAPPENED_IN_MODE = {
    "object": {
        "fenced while it ran": r"g\d+ +steps down",
        "one log of several fenced": r"g\d+ +has lost log \d, serves \[\d",
        "error before the effect": r"bucket +create .*: fails before",
        "error after the effect": r"bucket +create .*: ok, then fails",
        "no answer, no effect": r"bucket +create .*: hangs before",
        "no answer, though an effect": r"bucket +create .*: ok, then hangs",
        "late effect": r"bucket +create .*: late ok",
        "late attempt on a slot that is taken": r"bucket +create .*: late AlreadyExists",
        "listing that breaks off": r"bucket +list .*: fails halfway",
        "deletion that breaks off": r"bucket +delete .*: fails (halfway|before)",
        "slow store": r"fault +SlowStore",
        "PUTs out of order": r"PUT out of order",
    },
    "file": {
        "sync fails": r"disk +sync fails",
        "sync of names fails": r"disk +folder fails",
        "no room for data": r"disk +write fails",
        "no room for a file": r"disk +create fails",
        "torn write": r"disk +write .* is torn",
        "death in a system call": r"g\d+ +dies in a system call",
        "power cut that takes data": r"disk +keeps \d+ of \d+ bytes",
        "slow disk": r"fault +SlowDisk",
    },
}
"""What must have happened in some run before all was healed, by a pattern of its trace."""


# One process each, which keeps what happened in the runs for the test behind them.
_EACH_MODE = pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=pytest.mark.xdist_group(mode)) for mode in MODES]
)


@pytest.mark.parametrize("first", sampled(range(0, SEEDS_COUNT, CHUNK_COUNT), quick_count=1))
@_EACH_MODE
def test_seeds(mode, first):
    for seed in range(first, first + CHUNK_COUNT):
        run(mode, seed)


@pytest.mark.slow
@pytest.mark.timeout(600)  # alone it has to play all runs itself
@_EACH_MODE
def test_every_kind_of_fault_hits_something(mode):
    missing = set(HAPPENED | HAPPENED_IN_MODE[mode])
    for seed in range(SEEDS_COUNT):
        missing -= run(mode, seed)
        if not missing:
            return
    pytest.fail(f"in {SEEDS_COUNT} runs this never happened: {sorted(missing)}")


@cache
def run(mode: Mode, seed: int) -> frozenset[str]:
    """Let one pass; returns what happened in it."""
    outcome = passing(mode, seed)
    faulty = "\n".join(lines_with_order(outcome.lines))
    patterns = HAPPENED | HAPPENED_IN_MODE[mode]
    return frozenset(name for name, pattern in patterns.items() if re.search(pattern, faulty))


def lines_with_order(lines: list[str]) -> list[str]:
    """The trace up to the healing, and a line for each block that came after a later one."""
    found: list[str] = []
    newest: dict[str, str] = {}
    for line in lines:
        if line.endswith("world    heals"):
            break
        found.append(line)
        block = re.search(r"create logs/1/(\d{20})/(\d{10}) .*(ok|ok, .*)$", line)
        if block is not None:
            if block[2] < newest.get(block[1], ""):
                found.append("PUT out of order")
            newest[block[1]] = max(block[2], newest.get(block[1], ""))
    return found


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


def test_a_run_leaves_the_loggers_as_they_were() -> None:
    names = ("gateway", "wal_core", "asyncio")
    before = [(log.propagate, list(log.handlers)) for log in map(logging.getLogger, names)]
    simulate(draw_plan(3, "object"))
    assert [(log.propagate, list(log.handlers)) for log in map(logging.getLogger, names)] == before
