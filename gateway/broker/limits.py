"""The part of the configuration that the broker acts on."""

from __future__ import annotations

from typing import NamedTuple


class BrokerLimits(NamedTuple):
    """See the module."""

    message_bytes_max: int
    decompressed_bytes_max: int
    auto_create_topics: bool
    default_partitions_count: int
    partitions_max_count: int
    offsets_partitions_count: int
    producer_state_bytes_max: int
    producer_id_expiration_ms: int
    logs_count: int
