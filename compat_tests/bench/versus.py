"""Throughput of this checkout beside another one's, in alternating rounds of one run.

A machine's disk and cores do not stand still, so figures of two runs say little about each other.
Here each round measures both, one right after the other and in turn who is first, with the same
client, a fresh broker and a fresh folder each: what counts is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from compat_tests.bench import load
from compat_tests.bench.__main__ import LOADS, NO_PAUSES
from compat_tests.bench.broker import gateway
from compat_tests.bench.report import heading, line
from compat_tests.bench.target import measured

OURS = Path(__file__).resolve().parents[2]
WORSE_BY_MAX = 0.05

Rates = dict[str, list[float]]  # MB/s of each row, by round


def main() -> None:
    parser = argparse.ArgumentParser(prog="make versus OTHER=...", description=__doc__)
    parser.add_argument("--other", type=Path, required=True, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer records")
    parser.add_argument("--mode", choices=["file", "object"], default="file")
    parser.add_argument("--folder", type=Path, help="where data go (default: a temporary folder)")
    options = parser.parse_args()

    def measure(checkout: Path) -> Iterator[tuple[str, float]]:
        return measure_once(checkout, options.mode, options.scale, options.folder)

    sys.exit(report(*compare(OURS, options.other.resolve(), options.rounds, measure)))


def compare(
    ours: Path,
    other: Path,
    rounds: int,
    measure: Callable[[Path], Iterator[tuple[str, float]]],
) -> tuple[Rates, Rates]:
    """The rates of both."""
    found: dict[Path, Rates] = {ours: {}, other: {}}
    for number in range(rounds):
        for checkout in (ours, other) if number % 2 else (other, ours):
            for row, rate in measure(checkout):
                found[checkout].setdefault(row, []).append(rate)
    return found[ours], found[other]


def report(ours: Rates, other: Rates) -> int:
    """Print both; 1 when a row of ours is worse by more than is allowed, else 0."""
    heading("MB/s of this checkout, of the other one, and the median of the rounds' ratios")
    worse = []
    for row, rates in ours.items():
        ratio = statistics.median(a / b for a, b in zip(rates, other[row], strict=True))
        cells = [f"{statistics.median(each):.0f}" for each in (rates, other[row])]
        line(row, *cells, f"{ratio:.3f}")
        if ratio < 1 - WORSE_BY_MAX:
            worse.append(row)
    for row in worse:
        print(f"worse by more than {WORSE_BY_MAX:.0%}: {row}", flush=True)
    return 1 if worse else 0


def measure_once(
    checkout: Path, mode: str, scale: float, folder: Path | None
) -> Iterator[tuple[str, float]]:
    """Each row of `make bench`'s throughput, once."""
    for name, value_bytes, count, settings in LOADS:
        of = max(1, int(count * scale))
        with (
            tempfile.TemporaryDirectory(prefix="versus-", dir=folder) as data,
            gateway(f"{data}/data", mode, checkout=checkout) as broker,
        ):
            at = broker.bootstrap
            yield (
                f"produce {name}",
                measured(load.produce, at, "t", value_bytes, of, **settings).mb_per_s,
            )
            yield f"consume {name}", measured(load.consume, at, "t", of).mb_per_s
            yield (
                f"consume {name}, no pauses",
                measured(load.consume, at, "t", of, **NO_PAUSES).mb_per_s,
            )


if __name__ == "__main__":
    main()
