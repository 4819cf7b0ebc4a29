"""What the gateway does beside Apache Kafka and beside the device, measured in one run.

Every client runs in a process of its own; on a machine with two cores they still share the cores,
which is part of the figure, and so what a request costs is told as well. `--rows` picks rows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from compat_tests.bench import figures, report, rounds
from compat_tests.bench.rows import ROWS
from compat_tests.bench.sides import Sides

ROOT = Path(__file__).parents[2]
WORSE_BY_MAX = 0.05  # than another checkout
QUICK_SCALE = 0.03
NOTED = ROOT / "build" / "bench" / "figures.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...",
        description=__doc__,
        epilog="rows: " + ", ".join(ROWS),
    )
    parser.add_argument("--rows", default=",".join(ROWS), help="names, with commas; default: all")
    parser.add_argument("--sides", default="", help="measure no others: kafka,file and so on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-rounds", type=int, default=2, help="rounds that do not count")
    parser.add_argument("--scale", type=float, default=1.0, help="longer or shorter measurements")
    parser.add_argument("--quick", action="store_true", help="only see that the rows run")
    parser.add_argument("--folder", type=Path, help="where data go (default: a temporary folder)")
    parser.add_argument("--other", type=Path, help="another checkout to measure beside this one")
    parser.add_argument("--noted", type=Path, default=NOTED, help="file of JSON to add the rows to")
    options = parser.parse_args()
    rows = options.rows.split(",")
    for name in rows:
        if name not in ROWS:
            sys.exit(f"there is no row {name}; there are {', '.join(ROWS)}")
    if options.quick:
        options.rounds, options.warm_rounds, options.scale = 1, 0, QUICK_SCALE
    made = f"{time.strftime('%Y-%m-%d')}, {commit()}, load {os.getloadavg()[0]:.1f} before"
    only = frozenset(options.sides.split(",")) - {""}
    plan = rounds.Plan(options.rounds, options.warm_rounds, only, made)
    worse = []
    with Sides(
        options.folder, other=options.other, scale=options.scale, small=options.quick, only=only
    ) as sides:
        for name in rows:
            result = rounds.run(ROWS[name], sides, plan)
            report.tell(result, ROWS[name].metrics)
            figures.write(options.noted, {**figures.read(options.noted), name: result})
            worse += losses(name, result, ROWS[name].metrics[0])
    for loss in worse:
        print(loss, flush=True)
    sys.exit(1 if worse else 0)


def losses(name: str, result: figures.Result, metric: str) -> Iterator[str]:
    """Where this checkout is worse than the other one by more than is allowed."""
    for own, other in (("file", "other"), ("object", "other-object")):
        ratio = result.ratio(own, metric, other)
        if ratio is None:
            continue
        times = ratio.median if metric.endswith("_per_s") else 1 / ratio.median
        if times < 1 - WORSE_BY_MAX:
            yield f"worse by more than {WORSE_BY_MAX:.0%}: {name}, {own}"


def commit() -> str:
    """Of this checkout."""
    said = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "no commit"


if __name__ == "__main__":
    main()
