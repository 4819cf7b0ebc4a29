"""etcd stops for long, comes back empty, comes back as an old copy: clients notice nothing."""

import shutil
from pathlib import Path

from compat_tests.cluster.rounds.run import RECOVERY_TIMEOUT_S, Run
from compat_tests.cluster.rounds.schedule import Fault, Kind
from compat_tests.support.deadline import Deadline, now_s, pause, wait_until

BALANCE_TIMEOUT_S = 240.0
LEADERS_SHARE_MAX = 0.4
"""Of three nodes with a third of the logs each."""


def etcd_goes_away(going: Run, folder: Path, seconds: float) -> None:
    """Produce and fetch go on throughout; afterwards everybody has what he had."""
    (member,) = going.system.etcd.members
    old = folder / "old copy of etcd"
    member.stop()
    shutil.copytree(member.folder, old)
    _come_back(going)
    going.round(1, (Fault(Kind.KILL, (1,), 0.0, 3.0 * going.system.lease_s),))
    before = wait_until(
        lambda: _balanced(going), timeout_s=BALANCE_TIMEOUT_S, what="logs shared out evenly"
    )
    member.stop()
    stopped_s = now_s()
    deadline, slowest_s = Deadline(seconds), 0.0
    while not deadline.expired:
        begun_s = now_s()
        going.serve(begun_s, RECOVERY_TIMEOUT_S)
        slowest_s = max(slowest_s, now_s() - begun_s)
        pause(min(2.0, deadline.left_s))
    assert going.leaders() == before, "partitions have moved while etcd was away"
    print(f"etcd was away for {now_s() - stopped_s:.0f} s; all were served every {slowest_s:.1f} s")
    shutil.rmtree(member.folder)
    _come_back(going)
    going.look()
    assert going.leaders() == before, "partitions have moved when etcd came back empty"
    print("etcd came back empty, and nothing moved", flush=True)
    member.stop()
    shutil.rmtree(member.folder)
    shutil.copytree(old, member.folder)
    _come_back(going)
    going.look()
    assert going.leaders() == before, "partitions have moved when etcd came back as an old copy"
    print("etcd came back as an old copy, and nothing moved", flush=True)


def _come_back(going: Run) -> None:
    """Until nodes have written down again what they have."""
    (member,) = going.system.etcd.members
    member.start()
    member.wait_ready()
    begun_s = now_s()
    going.recover(begun_s)
    # All are registered again, and for one more lease: by then a needless move would have begun.
    going.stay(2.0 * going.system.lease_s)


def _balanced(going: Run) -> dict[tuple[str, int], int]:
    going.system.tick()
    going.load.check()
    told = going.leaders() or {}
    counts = [list(told.values()).count(node_id) for node_id in set(told.values())]
    even = len(counts) == 3 and max(counts) <= LEADERS_SHARE_MAX * len(told)
    return told if even else {}
