"""Every attack at many times its basic load: `make siege ARGS="--scale 10 --only commits"`."""

from __future__ import annotations

import argparse
import sys
import tempfile

from compat_tests.siege.attacks import ATTACKS
from compat_tests.siege.cage import GIB
from compat_tests.siege.siege import LEFT_BYTES_MAX, Result, besiege

WAIT_MS_MAX = 250.0
ALONE_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="make siege ARGS=...", description=__doc__)
    parser.add_argument("--scale", type=float, default=10.0, help="times the basic load")
    parser.add_argument("--only", choices=list(ATTACKS), action="append", help="these alone")
    options = parser.parse_args()
    broken = []
    for name in options.only or ATTACKS:
        with tempfile.TemporaryDirectory(prefix="siege-") as data:
            try:
                result = besiege(name, options.scale, data, alone_s=ALONE_S)
            except AssertionError as error:
                broken.append(name)
                print(f"{name}: {str(error)[-3000:]}", flush=True)
                continue
        print(_row(result), flush=True)
        broken += [f"{name}: {problem}" for problem in _problems(result)]
    if broken:
        sys.exit("not held: " + "; ".join(broken))


def _row(r: Result) -> str:
    return (
        f"{r.name:<11} {r.attack_s:6.1f} s  peak {r.peak_bytes >> 20:5d} MiB"
        f"{' (caged)' if r.caged else ''}  left {r.left_bytes / (1 << 20):+6.1f} MiB"
        f"  start {r.start_s:4.1f} s"
        f"  produce p50/p99/max {r.beside.p(50):.1f}/{r.beside.p(99):.1f}/{r.beside.p(100):.1f} ms"
        f" (alone {r.alone.p(50):.1f}/{r.alone.p(99):.1f}/{r.alone.p(100):.1f})"
        f"  groups max {r.beside.group_p(100):.0f} ms"
        f"  errors {len(r.beside.errors)} {r.beside.errors[:2] or ''}"
    )


def _problems(r: Result) -> list[str]:
    found = []
    if r.peak_bytes > GIB:
        found.append(f"peak of {r.peak_bytes >> 20} MiB")
    if r.left_bytes > LEFT_BYTES_MAX:
        found.append(f"{r.left_bytes >> 20} MiB left")
    if r.beside.p(99) > WAIT_MS_MAX:
        found.append(f"p99 of {r.beside.p(99):.0f} ms")
    if r.beside.errors:
        found.append(r.beside.errors[0])
    return found


if __name__ == "__main__":
    main()
