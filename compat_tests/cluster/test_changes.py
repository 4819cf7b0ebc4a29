"""Each node of a real cluster is asked for what the controller alone does, whoever that is."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kafka.protocol.admin import CreateTopicsRequest

from compat_tests.cluster.running import cluster
from compat_tests.support.deadline import wait_until
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import delete_topic, metadata, produce

pytestmark = pytest.mark.storage_blind("it has a bucket of its own")

NOT_LEADER_OR_FOLLOWER = 6
LEADER_NOT_AVAILABLE = 5


def test_every_node_can_be_asked_for_every_change(tmp_path: Path) -> None:
    with cluster(tmp_path, 1, 2, 3) as running, ExitStack() as stack:
        nodes = [stack.enter_context(Connection(node.bootstrap)) for node in running.nodes.values()]
        wait_until(lambda: _are_led(nodes[0], "first"), timeout_s=60, what="owners of all logs")
        for number, (maker, ender) in enumerate(itertools.permutations(nodes, 2)):
            name = f"t{number}"
            _create(maker, name)
            # The topic is there at once; who owns which log may still be on its way to a node.
            wait_until(lambda n=name: _are_of_one_mind(nodes, n), timeout_s=60, what="3 leaders")
            assert delete_topic(ender, name) == 0
            wait_until(lambda n=name: not any(n in _names(node) for node in nodes), what="no topic")
        _touch_at_once(nodes)


def _create(node: Connection, topic: str) -> None:
    row = CreateTopicsRequest.CreatableTopic(
        name=topic, num_partitions=6, replication_factor=1, assignments=[], configs=[]
    )
    request = CreateTopicsRequest(topics=[row], timeout_ms=10_000, validate_only=False)
    (answer,) = node.call(request, 4).topics
    assert answer.error_code == 0, answer


def _told(node: Connection, topic: str) -> tuple[Any, list[tuple[int, int, int]]]:
    (found,) = metadata(node, [topic], create=False).topics
    assert found.error_code == 0
    rows = [(p.partition_index, p.leader_id, p.leader_epoch) for p in found.partitions]
    return found.topic_id, sorted(rows)


def _are_of_one_mind(nodes: list[Connection], topic: str) -> bool:
    told = [_told(node, topic) for node in nodes]
    assert {topic_id for topic_id, _ in told} == {told[0][0]}
    leaders = {leader for _, leader, _ in told[0][1]}
    return told == [told[0]] * len(nodes) and leaders == {1, 2, 3}


def _names(node: Connection) -> set[str]:
    return {topic.name for topic in metadata(node, None).topics}


def _are_led(node: Connection, topic: str) -> bool:
    """Creates it at first."""
    (found,) = metadata(node, [topic], create=True).topics
    if found.error_code == LEADER_NOT_AVAILABLE:
        return False
    assert found.error_code == 0
    return all(p.error_code == 0 for p in found.partitions)


def _touch_at_once(nodes: list[Connection]) -> None:
    """A name that all nodes hear of at once is one topic, whose leader takes records."""

    def touched(node: Connection) -> Any:
        wait_until(lambda: _are_led(node, "touched"), timeout_s=30, what="a topic")
        return metadata(node, ["touched"]).topics[0].topic_id

    with ThreadPoolExecutor(len(nodes)) as pool:
        ids = list(pool.map(touched, nodes))
    assert ids == [ids[0]] * len(nodes)
    codes = [produce(node, "touched", build([b"x"])).error_code for node in nodes]
    assert sorted(codes) == [0, NOT_LEADER_OR_FOLLOWER, NOT_LEADER_OR_FOLLOWER]
