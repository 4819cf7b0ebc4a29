"""What the metadata stream holds: one JSON object per entry (METADATA.md).

JSON, because a person with nothing but the bucket must be able to read which topics there are.
"""

from __future__ import annotations

import msgspec


class ClusterCreated(msgspec.Struct, tag="cluster_created", frozen=True, kw_only=True):
    """The first record of a log: the cluster's name for ever (22 characters of URL-safe base64)."""

    cluster_id: str


class TopicCreated(msgspec.Struct, tag="topic_created", frozen=True, kw_only=True):
    """Partition i of the topic is the stream first_stream_id + i."""

    name: str
    topic_id: bytes  # 16 bytes, base64 in the JSON
    first_stream_id: int
    partitions_count: int
    configs: dict[str, str] = {}


class TopicDeleted(msgspec.Struct, tag="topic_deleted", frozen=True, kw_only=True):
    """The topic's streams are dropped; their ids are never used again."""

    topic_id: bytes


class ProducerIdsReserved(msgspec.Struct, tag="producer_ids_reserved", frozen=True, kw_only=True):
    """Producer ids below `end` may be in use; a restarted broker goes on from here."""

    end: int


MetadataRecord = ClusterCreated | TopicCreated | TopicDeleted | ProducerIdsReserved

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(MetadataRecord)


def encode_metadata(record: MetadataRecord) -> bytes:
    return _encoder.encode(record)


def decode_metadata(payload: bytes | memoryview) -> MetadataRecord:
    """Raises msgspec.DecodeError (also for an unknown type: written by a newer version)."""
    record: MetadataRecord = _decoder.decode(payload)
    return record
