"""Fuzz the decoders, each for a while, and tell how it went.

Coverage counts edges of our own code. A finding stops its target and is shown as a line for the
corpus, with the traceback; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.testing.fuzz.arcs import worth_keeping
from gateway.testing.fuzz.corpus import (
    BUG,
    FOUND,
    read_corpus,
    with_found,
    with_seeds,
    write_corpus,
)
from gateway.testing.fuzz.table import TARGETS, target_named
from gateway.testing.fuzz.target import INPUT_BYTES_MAX, Target

EXECUTION_S_MAX = 5
"""For an input of 4 KiB; a slow machine needs milliseconds."""
START_S_MAX = 120
FOUND_BYTES_MAX = 1_500
"""Kept per target with --keep."""

_PROGRESS = re.compile(r"^#\d+\s+(\w+)\s+cov: (\d+) ft: (\d+)", re.MULTILINE)
_VERDICT = re.compile(r"^(?:==\d+==|SUMMARY:).*", re.MULTILINE)
_FINAL = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)


class Outcome(NamedTuple):
    """What one target's run came to."""

    executions_count: int
    executions_per_s: int
    coverage_before: int
    coverage_after: int
    inputs: list[bytes]  # all that reached something of their own
    failing: bytes | None
    log: str


def main() -> None:
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=...", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--target", action="append", help="one of the table; default: each in turn")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer; 0: another every time")
    parser.add_argument("--keep", action="store_true", help="put what it finds into the corpus")
    parser.add_argument("--write-seeds", action="store_true", help="only make the seeds anew")
    parser.add_argument("--artifacts", type=Path, default=Path("dist/fuzz"), help="for findings")
    options = parser.parse_args()
    targets = [target_named(name) for name in options.target or []] or list(TARGETS)
    if options.write_seeds:
        for target in targets:
            write_corpus(target.name, with_seeds(target, read_corpus(target.name)))
        return
    logging.disable()  # a refused record is reported, and here is nothing but those
    options.artifacts.mkdir(parents=True, exist_ok=True)
    say(f"{'target':<18}{'runs':>10}{'runs/s':>9}{'edges':>14}{'inputs':>8}")
    failed = [target.name for target in targets if not _fuzzed(target, options)]
    if failed:
        sys.exit(f"findings in {', '.join(failed)}")


def _fuzzed(target: Target[object], options: argparse.Namespace) -> bool:
    """Run one target, print its row; False if it failed."""
    kept = with_seeds(target, read_corpus(target.name))
    outcome = fuzz(
        target, list(kept.values()), options.seconds, options.artifacts, seed=options.seed
    )
    edges = f"{outcome.coverage_before} -> {outcome.coverage_after}"
    say(
        f"{target.name:<18}{outcome.executions_count:>10}{outcome.executions_per_s:>9}"
        f"{edges:>14}{len(outcome.inputs):>8}"
    )
    failing = outcome.failing
    if failing is None:
        failing = next((data for data in outcome.inputs if not _fits(target, data)), None)
        if options.keep and failing is None:
            _keep(target, kept, outcome.inputs)
    if failing is not None:
        say(f"{outcome.log}\n{BUG}name-it {failing.hex() or '-'}")
    return failing is None


def _keep(target: Target[object], kept: dict[str, bytes], inputs: list[bytes]) -> None:
    """Put into the corpus, beside seeds and bugs, what goes where they do not."""
    fixed = [data for name, data in kept.items() if not name.startswith(FOUND)]
    new = worth_keeping(target, inputs, fixed)
    write_corpus(target.name, with_found(kept, new, FOUND_BYTES_MAX))


def _fits(target: Target[object], data: bytes) -> bool:
    """Whether the input keeps within its memory (what the fuzzer's own limit is too coarse for)."""
    try:
        target.run_measured(data)
    except AssertionError as error:
        say(str(error))
        return False
    return True


def fuzz(
    target: Target[object], inputs: Sequence[bytes], seconds: int, artifacts: Path, *, seed: int
) -> Outcome:
    """Run the fuzzer on a target, starting from `inputs`."""
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name)
        for number, data in enumerate(inputs):
            (corpus / f"{number:04d}").write_bytes(data)
        prefix = artifacts / f"{target.name}-"
        known = set(artifacts.glob(f"{prefix.name}*"))
        done = subprocess.run(  # noqa: S603 - our own program
            [
                *(sys.executable, "-m", "gateway.testing.fuzz.engine", target.name, str(corpus)),
                f"-max_total_time={seconds}",
                f"-max_len={INPUT_BYTES_MAX}",
                f"-timeout={EXECUTION_S_MAX}",
                f"-artifact_prefix={prefix}",
                f"-seed={seed}",
                "-print_final_stats=1",
                "-use_value_profile=1",
                "-reload=0",
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds + START_S_MAX,
        )
        found = sorted(set(artifacts.glob(f"{prefix.name}*")) - known)
        failing = found[-1].read_bytes() if found else None
        if done.returncode and failing is None:
            raise RuntimeError(f"the fuzzer did not run:\n{done.stdout}\n{done.stderr}")
        return _outcome(done, [path.read_bytes() for path in sorted(corpus.iterdir())], failing)


def _outcome(
    done: subprocess.CompletedProcess[str], inputs: list[bytes], failing: bytes | None
) -> Outcome:
    progress = [(kind, int(edges)) for kind, edges, _ in _PROGRESS.findall(done.stderr)]
    final = {name: int(value) for name, value in _FINAL.findall(done.stderr)}
    before = next((edges for kind, edges in progress if kind == "INITED"), 0)
    return Outcome(
        final.get("number_of_executed_units", 0),
        final.get("average_exec_per_sec", 0),
        before,
        max((edges for _, edges in progress), default=before),
        inputs,
        failing,
        done.stdout[-4_000:] + "\n".join(_VERDICT.findall(done.stderr)),
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
