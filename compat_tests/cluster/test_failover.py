"""Nodes of a cluster come, stop and die under load, as real processes."""

from pathlib import Path

import pytest

from compat_tests.cluster.running import LEASE_S, Load, check, cluster, told
from compat_tests.support.deadline import now_s, wait_until

pytestmark = pytest.mark.storage_blind("it has a bucket of its own")


@pytest.mark.slow
def test_partitions_of_a_node_that_dies_go_on_elsewhere_and_nothing_acknowledged_is_lost(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path, 1, 2) as running:
        running.create("t")
        wait_until(lambda: set(running.led_by("t")) == {1, 2}, timeout_s=60, what="two leaders")
        load = Load(running.bootstrap, "t")
        load.go_on(2)
        load.flush()
        moved = running.led_by("t")[1]
        running.nodes[1].kill()
        killed_s = now_s()
        took_s = load.until_acked(moved, killed_s, 60)
        told("failover after kill -9", took_s)
        assert max(took_s) <= 2 * LEASE_S
        load.flush()
        assert load.errors == []
        check(load, running.bootstrap, "t")


@pytest.mark.slow
def test_nodes_that_come_and_stop_cost_no_error(tmp_path: Path) -> None:
    with cluster(tmp_path, 1, 2, 3) as running:
        running.create("t")
        wait_until(lambda: set(running.led_by("t")) == {1, 2, 3}, timeout_s=60, what="3 leaders")
        load = Load(running.bootstrap, "t")
        load.go_on(2)
        for node_id, node in running.nodes.items():
            began_s = now_s()
            moved = running.led_by("t").get(node_id, [])
            node.restart(graceful=True)
            load.go_on(1)
            load.flush()
            if moved:
                told(f"node {node_id} restarted", [load.longest_gap_s(began_s)])
        load.go_on(2)
        load.flush()
        assert load.errors == []
        check(load, running.bootstrap, "t")
