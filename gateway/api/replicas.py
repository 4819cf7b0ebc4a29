"""Where a client wants replicas to be: on one of the nodes there are, or nowhere.

A partition's records are the store's, which replicates as it is set up to; a node that is not there
cannot have any. The messages are Kafka's (ReplicationControlManager).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gateway.broker.errors import BrokerError
from protocol import ErrorCode


def check_assignment(node_ids: Sequence[int], possible: Collection[int]) -> None:
    """Raise INVALID_REPLICA_ASSIGNMENT for one that Kafka would refuse, were these its brokers, and
    for more than one replica."""
    problem = None
    if not node_ids:
        problem = "includes an empty replica list."
    elif strangers := sorted({*node_ids}.difference(possible)):
        problem = f"includes broker {strangers[0]}, but no such broker is registered."
    elif len({*node_ids}) < len(node_ids):
        problem = f"includes the broker {node_ids[0]} more than once."
    elif len(node_ids) > 1:
        problem = f"includes {len(node_ids)} replicas; here the store replicates: name one."
    if problem is not None:
        raise BrokerError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"The manual partition assignment {problem}"
        )
