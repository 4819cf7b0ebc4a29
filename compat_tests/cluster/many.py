"""A cluster with many partitions: what they cost three nodes, and one of them that dies.

Creation, Metadata of everything, memory of each node, and the time from kill -9 until the others
serve all partitions. Each row is there for a tenth of the topics as well, so that what grows faster
than they do is seen. Prints and judges nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from compat_tests.bench.report import heading, line
from compat_tests.cluster.running import Cluster, cluster
from compat_tests.support.deadline import now_s, wait_until

NODES = (1, 2, 3)
AT_ONCE_COUNT = 100  # topics in a request
METADATA_RUNS = 5
REQUEST_TIMEOUT_S = 120


def main() -> None:
    parser = argparse.ArgumentParser(prog="make many ARGS=...", description=__doc__)
    parser.add_argument("--topics", type=int, default=1_000)
    parser.add_argument("--partitions", type=int, default=10)
    options = parser.parse_args()
    for count in (options.topics // 10, options.topics):
        with (
            tempfile.TemporaryDirectory(prefix="many-") as folder,
            cluster(Path(folder), *NODES, flags=("--partitions-max-count", "100000")) as running,
        ):
            measure(running, count, options.partitions)


def measure(running: Cluster, topics_count: int, partitions_count: int) -> None:
    """One cluster, from nothing."""
    heading(f"{topics_count:,} topics of {partitions_count} partitions on {len(NODES)} nodes")
    running.create("first")
    wait_until(lambda: set(running.led_by("first")) == set(NODES), timeout_s=60, what="leaders")
    before_mb = _memory_mb(running)
    line("memory of a node before", *(f"{mb:.0f} MB" for mb in before_mb))
    began_s = now_s()
    for first in range(0, topics_count, AT_ONCE_COUNT):
        count = min(AT_ONCE_COUNT, topics_count - first)
        _create(running, [f"topic-{first + number}" for number in range(count)], partitions_count)
    took_s = now_s() - began_s
    line("creation", f"{took_s:.1f} s", f"{took_s / topics_count * 1e3:.1f} ms a topic")
    wait_until(lambda: _is_known(running, topics_count), timeout_s=60, what="topics at every node")
    metadata_ms = [_metadata_ms(running) for _ in range(METADATA_RUNS)]
    total = topics_count * partitions_count
    each_us = statistics.median(metadata_ms) / total * 1e3
    line("Metadata of all", f"{statistics.median(metadata_ms):.0f} ms", f"{each_us:.1f} us each")
    line("memory of a node with them", *(f"{mb:.0f} MB" for mb in _memory_mb(running)))
    running.nodes[NODES[0]].kill()
    killed_s = now_s()
    wait_until(lambda: _is_all_led(running), timeout_s=120, what="a leader of each partition")
    line("kill -9 until all have a leader again", f"{now_s() - killed_s:.2f} s")


def _create(running: Cluster, names: list[str], partitions_count: int) -> None:
    admin = AdminClient({"bootstrap.servers": running.bootstrap})
    topics = [NewTopic(name, partitions_count) for name in names]
    for made in admin.create_topics(topics, request_timeout=REQUEST_TIMEOUT_S).values():
        made.result()


def _is_known(running: Cluster, topics_count: int) -> bool:
    return all(
        len(_admin_of(running, node_id).list_topics(timeout=30).topics) > topics_count
        for node_id in NODES
    )


def _admin_of(running: Cluster, node_id: int) -> AdminClient:
    return AdminClient({"bootstrap.servers": running.nodes[node_id].bootstrap})


def _metadata_ms(running: Cluster) -> float:
    admin = AdminClient({"bootstrap.servers": running.bootstrap})
    admin.list_topics(timeout=30)  # connected
    began_s = now_s()
    admin.list_topics(timeout=30)
    return (now_s() - began_s) * 1e3


def _is_all_led(running: Cluster) -> bool:
    told = AdminClient({"bootstrap.servers": running.bootstrap}).list_topics(timeout=30)
    partitions = (p for topic in told.topics.values() for p in topic.partitions.values())
    return all(partition.leader in NODES[1:] for partition in partitions)


def _memory_mb(running: Cluster) -> list[float]:
    return [running.nodes[node_id].rss_bytes() / 1e6 for node_id in NODES]


if __name__ == "__main__":
    main()
