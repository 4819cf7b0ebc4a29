"""How long partitions are away: nodes killed under load, and logs moved by hand.

Three gateways, a producer with what clients have by default, a consumer of all partitions. Counted
is the time from kill -9 to the first record that is sent after it and acknowledged, of each
partition that the node had; of a move, the longest that a record of its partitions waited, and what
partitions of other logs had to wait meanwhile. Prints and judges nothing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from compat_tests.bench.report import heading, line
from compat_tests.cluster.running import LEASE_S, LOGS_COUNT, Cluster, Load, check, cluster
from compat_tests.support.deadline import now_s, wait_until

NODES = (1, 2, 3)
SETTLED_S = LEASE_S + 4.0
"""A node that has just come takes nothing that others may hold for that long."""
TOPIC = "t"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make failover ARGS=...", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--moves", type=int, default=10)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="takeovers-") as folder,
        cluster(Path(folder), *NODES) as running,
    ):
        measure(running, options.kills, options.moves)


def measure(running: Cluster, kills_count: int, moves_count: int) -> None:
    """Both, over one load whose records are checked at the end."""
    running.create(TOPIC)
    wait_until(lambda: set(running.led_by(TOPIC)) == set(NODES), timeout_s=60, what="3 leaders")
    load = Load(running.bootstrap, TOPIC, pause_s=0.1)
    load.go_on(SETTLED_S)
    heading(f"kill -9 of one of {len(NODES)} nodes, {LOGS_COUNT} logs, a lease of {LEASE_S} s")
    took_s: list[float] = []
    for number in range(kills_count):
        took_s += _kill(running, load, NODES[number % len(NODES)])
    if took_s:
        _show("from kill -9 to the first acknowledgement", took_s)
    heading("a log moved by hand")
    moved_s, others_s = zip(*(_move(running, load, i) for i in range(moves_count)), strict=True)
    _show("the longest wait of a record of its partitions", moved_s)
    _show("of a record of other partitions meanwhile", others_s)
    load.flush()
    line("errors that the producer was told", str(len(load.errors)))
    check(load, running.bootstrap, TOPIC)
    line("records acknowledged, all where they were said to be", str(len(load.acks)))


def _kill(running: Cluster, load: Load, node_id: int) -> list[float]:
    load.flush()
    moved = running.led_by(TOPIC).get(node_id, [])
    running.nodes[node_id].kill()
    took_s = load.until_acked(moved, now_s(), 60)
    running.start(node_id)
    load.go_on(SETTLED_S)
    return took_s


def _move(running: Cluster, load: Load, number: int) -> tuple[float, float]:
    """The longest wait of what moved, and of what did not."""
    led = running.led_by(TOPIC)
    log = 1 + number % LOGS_COUNT
    giver = next(node for node, indexes in led.items() if log - 1 in indexes)
    taker = NODES[(NODES.index(giver) + 1) % len(NODES)]
    load.go_on(1)
    began_s = now_s()
    words = ("cluster", "move", str(log), str(taker), "--etcd", running.etcd_urls)
    order = subprocess.Popen([sys.executable, "-m", "gateway", *words], stdout=subprocess.DEVNULL)
    while order.poll() is None:
        load.round()
    load.go_on(1)
    load.flush()
    after = running.led_by(TOPIC)
    moved = {i for node in led for i in led[node] if i not in after.get(node, [])}
    waits: dict[bool, list[float]] = {True: [0.0], False: [0.0]}
    for partition, sent_s, acked_s in load.acks:
        if sent_s >= began_s:
            waits[partition in moved].append(acked_s - sent_s)
    return max(waits[True]), max(waits[False])


def _show(title: str, seconds: Sequence[float]) -> None:
    median, most = statistics.median(seconds), max(seconds)
    line(title, f"p50 {median:.2f} s", f"max {most:.2f} s", f"of {len(seconds)}")


if __name__ == "__main__":
    main()
