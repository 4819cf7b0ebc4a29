"""What much state costs a process of several logs: the end of a segment, openings, a start, memory.

`make scale`. Each log is told alone, twice: with the state spread over all logs, and with nearly
all of it on the first one. What the others cost must follow from what they hold themselves. The
figures are of this machine, at this moment; that nothing is proportional to other logs is a test
(gateway/broker/tests/test_log_set.py).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from gateway.testing.scale.filling import Size
from gateway.testing.scale.measuring import Figures, measure, started


def main() -> None:
    parser = argparse.ArgumentParser(prog="make scale ARGS=...", description=__doc__)
    parser.add_argument("--logs", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--mode", default="file", choices=("file", "object"))
    options = parser.parse_args()
    size = Size(options.logs, options.partitions, options.groups)
    for on_first, where in ((False, "over all logs"), (True, "nearly all on log 1")):
        say(f"{size.partitions_count:,} partitions, {size.groups_count:,} groups, {where}")
        with tempfile.TemporaryDirectory(prefix="scale-") as place:
            folder = Path(place) / "data"
            tell(asyncio.run(measure(folder, options.mode, size, on_first=on_first)))
            took_ms, memory_mb = asyncio.run(started(folder, options.mode, size.logs_count))
            say(f"  the whole process: ready after {took_ms:.0f} ms, {memory_mb:.0f} MB resident\n")


def tell(logs: Iterable[Figures]) -> None:
    heads = ("log", "streams", "groups", "first end", "", "later ends", "", "loop held")
    say("".join(f"{head:>12}" for head in (*heads, "opened in", "of CPU", "in memory")))
    for one in logs:
        cells = (
            one.log_id,
            one.streams_count,
            one.groups_count,
            f"{one.first.footer_bytes:,} B",
            f"{one.first.took_ms:.0f} ms",
            f"{one.later.footer_bytes:,} B",
            f"{one.later.took_ms:.0f} ms",
            f"{max(one.first.held_ms, one.later.held_ms):.0f} ms",
            f"{one.opened_ms:.0f} ms",
            f"{one.opened_cpu_ms:.0f} ms",
            f"{one.state_bytes / 1e6:.1f} MB",
        )
        say("".join(f"{cell:>12}" for cell in cells))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
