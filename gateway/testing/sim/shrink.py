"""The smallest set of faults with which a run still fails (delta debugging)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.testing.sim.faults import Fault
from gateway.testing.sim.plan import Plan
from gateway.testing.sim.simulate import Outcome, simulate

RUNS_MAX_COUNT = 200


def kinds_of(outcome: Outcome) -> set[str]:
    """The names of the promises that were broken."""
    return {text.partition(":")[0] for text in outcome.violations}


def shrunk(failed: Outcome, run: Callable[[Plan], Outcome] = simulate) -> Outcome:
    """A run of the same plan with as few faults as possible that breaks one of the same promises.

    Faults are taken out in ever smaller groups. The plan gives each its own random numbers, so
    the others stay what they were; what follows from them may still change, so the result is a
    minimum only in that no single fault can be taken out.
    """
    wanted = kinds_of(failed)
    best = failed
    runs_count = 0

    def fails(faults: Sequence[Fault]) -> bool:
        nonlocal best, runs_count
        runs_count += 1
        outcome = run(failed.plan.with_faults(tuple(faults)))
        if kinds_of(outcome) & wanted:
            best = outcome
            return True
        return False

    faults = list(failed.plan.faults)
    if faults and fails([]):
        return best
    size = max(len(faults) // 2, 1)
    while faults and runs_count < RUNS_MAX_COUNT:
        for at in range(0, len(faults), size):
            rest = faults[:at] + faults[at + size :]
            if rest and fails(rest):
                faults = rest
                break
        else:
            if size == 1:
                break
            size = max(size // 2, 1)
    return best
