"""Where a client wants replicas to be: on the only node there is, or nowhere.

A partition's records are the store's, which replicates as it is set up to; a node that is not there
cannot have any. The messages are Kafka's (ReplicationControlManager).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.broker.errors import BrokerError
from protocol import ErrorCode


def check_assignment(node_ids: Sequence[int], node_id: int) -> None:
    """Raise INVALID_REPLICA_ASSIGNMENT for one that Kafka would refuse, were `node_id` its only
    broker."""
    problem = None
    if not node_ids:
        problem = "includes an empty replica list."
    elif strangers := sorted({*node_ids} - {node_id}):
        problem = f"includes broker {strangers[0]}, but no such broker is registered."
    elif len(node_ids) > 1:
        problem = f"includes the broker {node_id} more than once."
    if problem is not None:
        raise BrokerError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"The manual partition assignment {problem}"
        )
