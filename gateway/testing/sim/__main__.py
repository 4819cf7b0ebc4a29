"""`python -m gateway.testing.sim`: many seeds on all cores, or one with all that happened."""

from __future__ import annotations

import argparse
import os
import sys
import time

from gateway.testing.sim.plan import MODES, draw_plan
from gateway.testing.sim.runner import Case, Result, run_cases
from gateway.testing.sim.shrink import shrunk
from gateway.testing.sim.simulate import Outcome, simulate

SHOWN_MAX_COUNT = 3  # failures that are shrunk and printed in full
PROGRESS_S = 30.0
CLUSTER_EVERY = 8
"""Of the seeds that are run in all modes: one takes ten times as long with several nodes, or with
logstores."""
LONG_MODES = ("cluster", "quorum")


def main() -> int:
    options = _parser().parse_args()
    modes = MODES if options.mode == "all" else (options.mode,)
    logs = options.logs
    if options.seed is not None:
        cases = [Case(mode, options.seed, logs) for mode in modes]
        return _replay(cases, shrink=not options.whole)
    first, _, end = options.seeds.rpartition(":")
    seeds = range(int(first or 0), int(end))
    cases = [
        Case(mode, seed, logs)
        for seed in seeds
        for mode in modes
        if mode == options.mode or mode not in LONG_MODES or seed % CLUSTER_EVERY == 0
    ]
    return _run_many(cases, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.testing.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and print its trace")
    parser.add_argument("--seeds", default="0:1000", help="FIRST:END, or END (default 0:1000)")
    parser.add_argument("--mode", choices=(*MODES, "all"), default="all")
    parser.add_argument(
        "--cluster",
        action="store_const",
        dest="mode",
        const="cluster",
        help="several nodes on one bucket, the same as --mode cluster",
    )
    parser.add_argument("--logs", type=int, help="data logs (default: each seed draws 1 or 3)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--fast", action="store_true", help="end at the first failure, unshrunk")
    parser.add_argument(
        "--whole", action="store_true", help="with --seed: leave out no fault of a failing run"
    )
    return parser


def _replay(cases: list[Case], *, shrink: bool) -> int:
    failed = False
    for case in cases:
        outcome = simulate(draw_plan(case.seed, case.mode, case.logs_count))
        failed |= bool(outcome.violations)
        _show(shrunk(outcome) if outcome.violations and shrink else outcome)
    return int(failed)


def _show(outcome: Outcome) -> None:
    _print("\n".join(outcome.lines))
    _print(outcome.plan.describe())
    _print(f"{outcome.counts}, digest {outcome.digest}")
    _print("\n".join(outcome.violations) if outcome.violations else "passed")
    _print()


def _run_many(cases: list[Case], options: argparse.Namespace) -> int:
    began_s = last_s = time.perf_counter()
    failures: list[Result] = []
    totals: dict[str, int] = {}
    for done_count, result in enumerate(run_cases(cases, options.jobs), start=1):
        for name, count in result.counts.items():
            totals[name] = totals.get(name, 0) + count
        if result.violations:
            failures.append(result)
            _print(f"{result.case.mode} seed {result.case.seed}: {result.violations[0]}")
            if options.fast:
                return 1
        if time.perf_counter() - last_s > PROGRESS_S:
            last_s = time.perf_counter()
            _print(f"{done_count} of {len(cases)} runs, {len(failures)} failed")
    _print(
        f"{len(cases)} runs in {time.perf_counter() - began_s:.0f} s, {len(failures)} failed; "
        + ", ".join(f"{count} {name}" for name, count in totals.items())
    )
    failures.sort(key=lambda failure: failure.case)
    for failure in failures[:SHOWN_MAX_COUNT]:
        mode, seed, logs = failure.case
        _print(f"\n--- {mode} seed {seed}, with as few faults as possible ---")
        _replay([failure.case], shrink=True)
        given = "" if logs is None else f" --logs {logs}"
        _print(f"replay it with: make sim SEED={seed} ARGS='--mode {mode}{given}'")
    return int(bool(failures))


def _print(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
