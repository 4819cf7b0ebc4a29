"""What the catalog holds, log 0: one JSON object per entry of its stream 0 (METADATA.md).

JSON, because a person with nothing but the bucket must be able to read which topics there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec

from gateway.broker.quota_entities import decode_entity, decode_values
from wal_core import Corrupt, Format, version_in

PARTITIONS_MAX_COUNT = 1_000_000
"""Of one topic: a record that says more is damaged, and each costs memory."""

FIRST_PARTITION_STREAM_ID = 1
"""Of a data log: what comes before is its journal."""

ID_MAX = 1 << 62
"""Of streams and offsets: beyond it a record is damaged. Leaves room to count on."""

StreamId = Annotated[int, msgspec.Meta(ge=1, le=ID_MAX)]
TopicId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
LOG_ID_MAX = (1 << 15) - 1
"""So many bits has a producer id for the log it comes from."""
_LogId = Annotated[int, msgspec.Meta(ge=0, le=LOG_ID_MAX)]

RECORD = Format("a metadata record", 1, 1)

_NUMBERS_ACTED_ON = (
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.difference.max.ms",
    "retention.bytes",
    "retention.ms",
)
_BROKER_NUMBERS_ACTED_ON = (
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.difference.max.ms",
    "log.retention.bytes",
    "log.retention.ms",
    "max.connections",
    "message.max.bytes",
    "producer.id.expiration.ms",
)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What all of them have."""

    version: int = RECORD.version


class ClusterCreated(Record, tag="cluster_created", frozen=True, kw_only=True):
    """The first record of all: the cluster's name for ever (22 characters of URL-safe base64)."""

    cluster_id: str


class Placement(NamedTuple):
    """Where a partition lies, for all its life."""

    log_id: _LogId
    stream_id: StreamId


def consecutive(log_id: int, first_stream_id: int, count: int) -> list[Placement]:
    """Places of so many partitions on one log."""
    return [Placement(log_id, first_stream_id + index) for index in range(count)]


_Placements = Annotated[
    list[Placement], msgspec.Meta(min_length=1, max_length=PARTITIONS_MAX_COUNT)
]


class TopicCreated(Record, tag="topic_created", frozen=True, kw_only=True):
    """Partition i of the topic lies where placements[i] says: nothing computes it."""

    name: str
    topic_id: TopicId  # base64 in the JSON
    placements: _Placements
    configs: dict[str, str] = {}

    def __post_init__(self) -> None:
        _check_configs(self.configs, _NUMBERS_ACTED_ON)
        if len(set(self.placements)) != len(self.placements):
            raise ValueError(f"two partitions of {self.name!r} lie in one place")


class TopicConfigsChanged(Record, tag="topic_configs_changed", frozen=True, kw_only=True):
    """`configs` takes the place of all that was set on the topic before."""

    topic_id: TopicId
    configs: dict[str, str]

    def __post_init__(self) -> None:
        _check_configs(self.configs, _NUMBERS_ACTED_ON)


ConfiguredKind = Literal["broker", "group", "client_quota"]


class ConfigsChanged(Record, tag="configs_changed", frozen=True, kw_only=True):
    """`configs` takes the place of all that was set there before; on a broker by its id, or on all
    of them where the name is empty; on a group by its id. A client's quotas: numbers, its name as
    `quota_entities` writes it."""

    kind: ConfiguredKind
    name: str
    configs: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.kind == "broker":
            _check_configs(self.configs, _BROKER_NUMBERS_ACTED_ON)
        elif self.kind == "client_quota":
            decode_entity(self.name)
            decode_values(self.configs)


class PartitionsAdded(Record, tag="partitions_added", frozen=True, kw_only=True):
    """The topic has these partitions now: those it had, where they were, and new ones behind."""

    topic_id: TopicId
    placements: _Placements

    def __post_init__(self) -> None:
        if len(set(self.placements)) != len(self.placements):
            raise ValueError("two partitions lie in one place")


class TopicDeleted(Record, tag="topic_deleted", frozen=True, kw_only=True):
    """The topic's tombstone: it is gone, and the owners of the logs it lies on drop its streams."""

    topic_id: TopicId


class TopicForgotten(Record, tag="topic_forgotten", frozen=True, kw_only=True):
    """No log has a stream of the topic any more: its tombstone goes."""

    topic_id: TopicId


MetadataRecord = (
    ClusterCreated
    | TopicCreated
    | PartitionsAdded
    | TopicConfigsChanged
    | TopicDeleted
    | TopicForgotten
    | ConfigsChanged
)

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(MetadataRecord)


def _check_configs(configs: Mapping[str, str], numbers: tuple[str, ...]) -> None:
    """What is acted on can be; other settings are echoed as they are. Raises ValueError."""
    for name in numbers:
        if name in configs:
            int(configs[name])


def encode_metadata(record: MetadataRecord) -> bytes:
    return _encoder.encode(record)


R = TypeVar("R", bound=Record)


def decode_metadata(payload: bytes | memoryview) -> MetadataRecord:
    """Raises Corrupt, and Invalid for a version that is not read here."""
    record: MetadataRecord = decode_record(_decoder, payload, "metadata")
    return record


def decode_record(decoder: msgspec.json.Decoder[R], payload: bytes | memoryview, what: str) -> R:
    """A record of the catalog or of a journal; `what` it is called in an error. Raises as
    `decode_metadata`."""
    try:
        record = decoder.decode(payload)
    except UNREADABLE as error:
        RECORD.check(version_in(payload, RECORD.version))
        raise Corrupt(f"a {what} record cannot be read: {error}") from None
    RECORD.check(record.version)
    return record
