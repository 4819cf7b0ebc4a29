"""How long partitions are away: nodes killed under load, and logs moved by hand.

Three gateways, a producer and a consumer of all partitions with what clients have by default.
Counted is the time from kill -9 to the first record that is sent after it and acknowledged, of each
partition that the node had. A node that is stopped (SIGSTOP) is as a machine that dies: nobody sees
a connection end, so its lease has to. Asked then are the nodes that live, on the wire, for clients
wait for what they have sent to such a machine as long as their settings say. Of a move, the longest
that a record of its partitions waited to be acknowledged. Of other partitions beside kills and
moves: the longest that one waited to be acknowledged, and to be read. Prints times and judges none;
what each partition has after a kill must begin with what it had, byte for byte. `--quorum`: in that
mode, with nothing uploaded yet, so that what is taken over is on logstores alone.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compat_tests.bench.report import heading, line
from compat_tests.cluster.running import (
    LEASE_S,
    LOGS_COUNT,
    Cluster,
    Load,
    Reader,
    check,
    check_same,
    cluster,
    stored_bytes,
)
from compat_tests.support.deadline import now_s, pause, wait_until
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import produce

NODES = (1, 2, 3)
SETTLED_S = LEASE_S + 4.0
"""A node that has just come takes nothing that others may hold for that long."""
TOPIC = "t"
NOTHING_UPLOADED = ("--upload-after-ms", "1h")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make failover ARGS=...", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--moves", type=int, default=10)
    parser.add_argument("--quorum", action="store_true")
    options = parser.parse_args()
    flags = NOTHING_UPLOADED if options.quorum else ()
    with (
        tempfile.TemporaryDirectory(prefix="takeovers-") as folder,
        cluster(Path(folder), *NODES, flags=flags, quorum=options.quorum) as running,
    ):
        measure(running, options.kills, options.moves)
        _show_stops(running, options.stops)


def measure(running: Cluster, kills_count: int, moves_count: int) -> None:
    """Kills and moves, over one load whose records are checked at the end."""
    running.create(TOPIC)
    wait_until(lambda: set(running.led_by(TOPIC)) == set(NODES), timeout_s=60, what="3 leaders")
    load = Load(running.bootstrap, TOPIC, pause_s=0.1)
    reader = Reader(running.bootstrap, TOPIC)
    reader.start()
    load.go_on(SETTLED_S)
    heading(f"kill -9 of one of {len(NODES)} nodes, {LOGS_COUNT} logs, a lease of {LEASE_S} s")
    took_s: list[float] = []
    windows: list[Window] = []
    for number in range(kills_count):
        took_s += _kill(running, load, NODES[number % len(NODES)], windows)
    if took_s:
        _show("from kill -9 to the first acknowledgement", took_s)
        _show_others(load, reader, windows)
    heading("a log moved by hand")
    windows = [_move(running, load, number) for number in range(moves_count)]
    load.flush()
    if windows:
        _show("a record of its partitions, acknowledged", [_acked_s(load, w) for w in windows])
        _show_others(load, reader, windows)
    reader.stop()
    line("errors that the consumer was told", str(len(reader.errors)))
    line("errors that the producer was told", str(len(load.errors)))
    check(load, running.bootstrap, TOPIC)
    line("records acknowledged, all where they were said to be", str(len(load.acks)))


class Window(NamedTuple):
    """When something was done to some partitions, from the beginning to the end of it."""

    began_s: float
    ended_s: float
    moved: frozenset[int]


def _kill(running: Cluster, load: Load, node_id: int, windows: list[Window]) -> list[float]:
    load.flush()
    moved = running.led_by(TOPIC).get(node_id, [])
    before = stored_bytes(running, TOPIC)
    running.nodes[node_id].kill()
    killed_s = now_s()
    took_s = load.until_acked(moved, killed_s, 60)
    windows.append(Window(killed_s, now_s(), frozenset(moved)))
    check_same(before, stored_bytes(running, TOPIC))
    running.start(node_id)
    load.go_on(SETTLED_S)
    return took_s


def _show_stops(running: Cluster, count: int) -> None:
    heading(f"SIGSTOP of one of {len(NODES)} nodes, as a machine that dies")
    took_s = [s for number in range(count) for s in _stop(running, NODES[number % len(NODES)])]
    if took_s:
        _show("from SIGSTOP to the first acknowledgement", took_s)


def _stop(running: Cluster, node_id: int) -> list[float]:
    """How long after it each of its partitions took a record."""
    moved = running.led_by(TOPIC)[node_id]
    others = [node for each, node in running.nodes.items() if each != node_id]
    running.nodes[node_id].pause()
    stopped_s = now_s()
    took_s: dict[int, float] = {}

    def are_taken() -> bool:
        for node in others:
            with Connection(node.bootstrap, timeout_s=2 * LEASE_S) as connection:
                for index in [index for index in moved if index not in took_s]:
                    answer = produce(connection, TOPIC, build([b"x"]), partition=index)
                    if answer.error_code == 0:
                        took_s[index] = now_s() - stopped_s
        return len(took_s) == len(moved)

    wait_until(are_taken, timeout_s=60, what="other leaders")
    running.nodes[node_id].resume()
    pause(SETTLED_S)
    wait_until(lambda: node_id in running.led_by(TOPIC), timeout_s=60, what="its share again")
    return sorted(took_s.values())


def _move(running: Cluster, load: Load, number: int) -> Window:
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
    return Window(began_s, now_s(), frozenset(moved))


def _acked_s(load: Load, of: Window) -> float:
    """The longest that a record of what moved waited to be acknowledged."""
    waits = (
        acked_s - sent_s
        for partition, sent_s, acked_s in load.acks
        if of.began_s <= sent_s < of.ended_s and partition in of.moved
    )
    return max(waits, default=0.0)


def _show_others(load: Load, reader: Reader, windows: Sequence[Window]) -> None:
    """The longest waits of what was not moved, one for each time."""
    acked, read = [], []
    for began_s, ended_s, moved in windows:
        acks = (
            acked_s - sent_s
            for partition, sent_s, acked_s in load.acks
            if began_s <= sent_s < ended_s and partition not in moved
        )
        reads = (
            seen_s - load.sent_s[value]
            for partition, value, seen_s in list(reader.seen)
            if began_s <= load.sent_s[value] < ended_s and partition not in moved
        )
        acked.append(max(acks, default=0.0))
        read.append(max(reads, default=0.0))
    _show("other partitions meanwhile, acknowledged", acked)
    _show("other partitions meanwhile, read", read)


def _show(title: str, seconds: Sequence[float]) -> None:
    median, most = statistics.median(seconds), max(seconds)
    line(title, f"p50 {median:.2f} s", f"max {most:.2f} s", f"of {len(seconds)}")


if __name__ == "__main__":
    main()
