"""What a client may do, as bits (KIP-430): everything that makes sense, while nobody is refused.

Bit n stands for the AclOperation that Kafka numbers n. Where nobody asked there is the least int32.
"""

from __future__ import annotations

from gateway.api.row import Resource

NOT_ASKED = -(2**31)
READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE = 3, 4, 5, 6, 7, 8
CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE = 9, 10, 11, 12

_OPERATIONS = {
    Resource.TOPIC: (
        READ,
        WRITE,
        CREATE,
        DELETE,
        ALTER,
        DESCRIBE,
        DESCRIBE_CONFIGS,
        ALTER_CONFIGS,
    ),
    Resource.GROUP: (READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS),
    Resource.TRANSACTIONAL_ID: (WRITE, DESCRIBE),
    Resource.CLUSTER: (
        CREATE,
        ALTER,
        DESCRIBE,
        CLUSTER_ACTION,
        DESCRIBE_CONFIGS,
        ALTER_CONFIGS,
        IDEMPOTENT_WRITE,
    ),
}


def authorized_operations(resource: Resource, is_asked: bool) -> int:
    """For a reply about one such resource (AclEntry.supportedOperations in Kafka)."""
    return sum(1 << each for each in _OPERATIONS[resource]) if is_asked else NOT_ASKED
