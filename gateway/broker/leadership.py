"""Who leads a partition, here or elsewhere, as this node knows it."""

from __future__ import annotations

from typing import NamedTuple

from gateway.broker.partition import Partition
from gateway.cluster.view import ClusterView, Node


class Leader(NamedTuple):
    """The node that leads a partition, and its leader epoch there."""

    node: Node
    epoch: int


def leader_of(partition: Partition, cluster: ClusterView) -> Leader | None:
    """None while nobody alive is known to have the log that it lies on.

    Where several nodes share the logs, a leader epoch is the term of the log: so each of them can
    tell it, and they all tell the same.
    """
    if partition.is_served:
        return Leader(cluster.me, partition.leader_epoch)
    owner = cluster.owner(partition.log_id)
    if owner is None or owner.node_id == cluster.me.node_id:
        return None
    node = cluster.node(owner.node_id)
    return None if node is None else Leader(node, owner.term)
