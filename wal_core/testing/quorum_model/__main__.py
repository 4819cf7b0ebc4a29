"""`python -m wal_core.testing.quorum_model`: every run, then every rule broken, with its trace."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from wal_core.testing.explorer import explore
from wal_core.testing.quorum_model.quorum_model import QuorumModel
from wal_core.testing.quorum_model.runs import BREAKS, LONG_RUNS, RUNS


def main(say: Callable[[str], object]) -> int:
    failed_count = 0
    for name, bounds in {**RUNS, **LONG_RUNS}.items():
        since_s = time.perf_counter()
        found = explore(QuorumModel(bounds))
        failed_count += not found.complete
        say(f"{name}: {found} in {time.perf_counter() - since_s:.1f} s")
    for rule, bounds in BREAKS.items():
        found = explore(QuorumModel(bounds, frozenset({rule}), named=True))
        failed_count += found.violation is None
        say(f'\nwithout "{rule.value}": {found}')
    return min(failed_count, 1)


if __name__ == "__main__":
    sys.exit(main(lambda line: sys.stdout.write(line + "\n") and sys.stdout.flush()))
