"""A few rounds of random faults under real gateways and clients; `make rounds` has many."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from compat_tests.cluster.rounds.run import run
from compat_tests.cluster.rounds.schedule import ALWAYS, NODES, OF_LOGSTORES, Kind, rounds
from compat_tests.support.client import Library

QUICK = (Kind.KILL, Kind.STORE, Kind.FRONT, Kind.ETCD)
pytestmark = pytest.mark.storage_blind("it has a bucket of its own")


@pytest.mark.slow
@pytest.mark.timeout(300)  # everything inside has a deadline
def test_rounds_of_faults_lose_nothing(need: Callable[[str], Library], tmp_path: Path) -> None:
    names = ("aiokafka", "confluent-kafka")
    run(tmp_path, seed=200, rounds_count=2, library=need, names=names, kinds=QUICK)


def test_the_same_seed_gives_the_same_faults_and_each_kind_comes_again_soon() -> None:
    first = list(islice(rounds(7), 40))
    assert first == list(islice(rounds(7), 40)) != list(islice(rounds(8), 40))
    assert {fault.kind for faults in first[:20] for fault in faults} == set(ALWAYS)
    assert all(1 <= len(faults) <= 2 for faults in first)


def test_one_or_all_are_cut_off_and_never_some_guest() -> None:
    cuts = [
        fault.nodes
        for faults in islice(rounds(1), 200)
        for fault in faults
        if fault.kind in (Kind.ETCD, Kind.STORE, Kind.FRONT)
    ]
    assert set(cuts) == {NODES, *((node,) for node in NODES)}


def test_one_two_or_all_die_at_once_and_one_disk_is_lost_at_a_time() -> None:
    faults = [fault for some in islice(rounds(1, ALWAYS + OF_LOGSTORES), 400) for fault in some]
    killed = [fault.nodes for fault in faults if fault.kind is Kind.KILL]
    assert {len(nodes) for nodes in killed} == {1, 2, 3}
    assert all(sorted(set(nodes)) == list(nodes) for nodes in killed)
    assert {len(fault.nodes) for fault in faults if fault.kind is Kind.WIPE} == {1}
    assert {len(fault.nodes) for fault in faults if fault.kind is Kind.FULL} == {1, 3}
    assert not set(OF_LOGSTORES) & {fault.kind for some in islice(rounds(1), 400) for fault in some}
