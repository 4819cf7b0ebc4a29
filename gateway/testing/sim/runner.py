"""Many runs on several cores. A module of its own: workers cannot import __main__."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator
from typing import NamedTuple

from gateway.testing.sim.plan import Mode, draw_plan
from gateway.testing.sim.simulate import simulate

CHUNK_COUNT = 8  # runs a worker takes at a time


class Case(NamedTuple):
    mode: Mode
    seed: int
    logs_count: int | None = None  # None: as the seed says


class Result(NamedTuple):
    """What comes back from a worker."""

    case: Case
    violations: list[str]
    counts: dict[str, int]


def run_cases(cases: list[Case], jobs_count: int) -> Iterator[Result]:
    """The result of each, in the order of their ends."""
    if jobs_count == 1:
        _prepare()
        yield from map(_run_one, cases)
        return
    # Spawned, not forked: a worker is a fresh interpreter, as the replay of a seed is.
    with multiprocessing.get_context("spawn").Pool(jobs_count, _prepare) as pool:
        yield from pool.imap_unordered(_run_one, cases, chunksize=CHUNK_COUNT)


def _prepare() -> None:
    """What is loaded by now is not gone through at the end of each run: a sixth of its time."""
    gc.freeze()


def _run_one(case: Case) -> Result:
    outcome = simulate(draw_plan(case.seed, case.mode, case.logs_count))
    return Result(case, outcome.violations, outcome.counts)
