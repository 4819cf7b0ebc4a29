"""`python -m compat_tests.cluster.rounds`: the long run, for `make rounds`."""

import argparse
import tempfile
from pathlib import Path

from compat_tests.cluster.rounds.away import etcd_goes_away
from compat_tests.cluster.rounds.disks import may_mount
from compat_tests.cluster.rounds.run import STANDARD, Run, run
from compat_tests.cluster.rounds.schedule import ALWAYS, OF_LOGSTORES, Kind
from compat_tests.support.client import LIBRARIES


def main() -> None:
    parser = argparse.ArgumentParser(prog="make rounds ARGS=...", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", default=",".join(STANDARD), help="names of libraries")
    parser.add_argument("--kinds", default="", help="of faults, as the summary names them")
    parser.add_argument("--folder", type=Path, help="where the history goes; kept")
    parser.add_argument("--quorum", action="store_true", help="in that mode, with logstores")
    away = "seconds; etcd then comes back empty, and as an old copy"
    parser.add_argument("--etcd-away-seconds", type=float, default=0.0, help=away)
    asked = parser.parse_args()
    kinds = tuple(Kind(word) for word in asked.kinds.split(",") if word) or ALWAYS
    has_small_disks = asked.quorum and may_mount("compat_tests.cluster.rounds")
    if asked.quorum and not asked.kinds:
        kinds += OF_LOGSTORES
    if asked.quorum and not has_small_disks:
        print("no disk is filled: nothing can be mounted here", flush=True)
        kinds = tuple(kind for kind in kinds if kind is not Kind.FULL)
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)

        def then(going: Run) -> None:
            if asked.etcd_away_seconds:
                etcd_goes_away(going, folder, asked.etcd_away_seconds)

        run(
            folder,
            seed=asked.seed,
            rounds_count=asked.rounds,
            library=LIBRARIES.__getitem__,
            names=asked.clients.split(","),
            kinds=kinds,
            is_quorum=asked.quorum,
            has_small_disks=has_small_disks,
            then=then,
        )


if __name__ == "__main__":
    main()
