"""Who leads a partition instead, told beside the error that says it is not led here (KIP-951).

From Produce 10 and Fetch 16 on. A client that is told goes there at once; one that is not asks for
metadata first. In Kafka: KafkaApis.getCurrentLeader.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.broker.leadership import Leader, leader_of
from gateway.broker.partition import Partition
from gateway.cluster.view import ClusterView, Node


class LeaderHints:
    """Of one reply, which names each node once; none in a version that cannot carry them."""

    def __init__(self, cluster: ClusterView, *, may_tell: bool) -> None:
        self._cluster = cluster
        self._may_tell = may_tell
        self._nodes: dict[int, Node] = {}

    def of(self, partition: Partition | None) -> Leader | None:
        """What to tell beside the error of this partition, if anything."""
        if partition is None or not self._may_tell:
            return None
        leader = leader_of(partition, self._cluster)
        if leader is not None:
            self._nodes[leader.node.node_id] = leader.node
        return leader

    @property
    def nodes(self) -> Collection[Node]:
        """Those that were told."""
        return self._nodes.values()
