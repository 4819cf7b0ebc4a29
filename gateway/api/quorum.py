"""DescribeQuorum (55), versions 0-2.

What Kafka calls the metadata quorum is here the catalog, log 0, whose records lie in the store: its
one voter is the node that owns it, its epoch the term of the log, its end that of the catalog. v2
names the nodes' addresses (KIP-853).
"""

from __future__ import annotations

from gateway.api.call import Call
from gateway.broker.errors import BrokerError
from gateway.broker.topics import METADATA_STREAM_ID
from protocol import ErrorCode
from protocol.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Listener,
    Node,
    PartitionDataResponse,
    ReplicaState,
    TopicDataResponse,
)

METADATA_TOPIC, METADATA_PARTITION = "__cluster_metadata", 0
LISTENER = "PLAINTEXT"


async def describe_quorum(request: DescribeQuorumRequest, call: Call) -> DescribeQuorumResponse:
    """Kafka, too, knows one partition alone, and refuses a request for any other as a whole."""
    asked = [(t.topic_name, [p.partition_index for p in t.partitions]) for t in request.topics]
    if asked != [(METADATA_TOPIC, [METADATA_PARTITION])]:
        raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    log, node = call.broker.catalog.log, call.broker.node
    end, now_ms = log.confirmed_offset(METADATA_STREAM_ID), call.broker.now_ms()
    voter = ReplicaState(
        replica_id=node.node_id,
        log_end_offset=end,
        last_fetch_timestamp=now_ms,
        last_caught_up_timestamp=now_ms,
    )
    partition = PartitionDataResponse(
        partition_index=METADATA_PARTITION,
        leader_id=node.node_id,
        leader_epoch=log.term,
        high_watermark=end,
        current_voters=[voter],
    )
    return DescribeQuorumResponse(
        topics=[TopicDataResponse(topic_name=METADATA_TOPIC, partitions=[partition])],
        nodes=[
            Node(
                node_id=node.node_id,
                listeners=[Listener(name=LISTENER, host=node.host, port=node.port)],
            )
        ],
    )


def describe_quorum_error(
    request: DescribeQuorumRequest, code: ErrorCode
) -> DescribeQuorumResponse:
    return DescribeQuorumResponse(error_code=code, error_message=code.message)
