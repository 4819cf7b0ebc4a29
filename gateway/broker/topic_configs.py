"""Topic settings: names, types and defaults of Kafka 3.9, as it documents its topic configurations.

Tools refuse to start where a name is not known, so all are known. None is kept for show: a setting
is acted on, or what it asks for is so whatever its value, or only its default is taken.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.broker.format_versions import is_kafka_version
from gateway.broker.setting_types import (
    BOOLEAN,
    DOUBLE,
    INT,
    INT_MAX,
    LIST,
    LONG,
    LONG_MAX,
    LONG_MIN,
    STRING,
    Setting,
    shown,
)

ACTED_ON = frozenset(
    {
        "cleanup.policy",  # what retention may delete, and whether records need keys
        "max.message.bytes",
        "message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms",
        "message.timestamp.difference.max.ms",
        "message.timestamp.type",
        "retention.bytes",
        "retention.ms",
    }
)

_ALL_IS_KEPT = "no record is compacted away"
_FINER = "retention deletes in finer steps, look-ups are exact"
SO_ANYWAY: Mapping[str, str] = {
    "delete.retention.ms": _ALL_IS_KEPT,
    "flush.messages": "every record is durable before it is acknowledged",
    "flush.ms": "every record is durable before it is acknowledged",
    "index.interval.bytes": _FINER,
    "message.format.version": "there is one format since Kafka 3.0, which ignores it as well",
    "min.compaction.lag.ms": _ALL_IS_KEPT,
    # Like the replication factor, of which it is a part: copies are the storage's business.
    "min.insync.replicas": "an acknowledged record is in every copy that the storage keeps",
    "segment.bytes": _FINER,  # Kafka Streams sets it
    "segment.index.bytes": _FINER,
    "segment.jitter.ms": _FINER,
    "segment.ms": _FINER,
    "unclean.leader.election.enable": "no election loses records",
}
"""Of which any value is as good as kept, and why."""

_AS_SENT = "batches are stored as producers compress them"
_NO_COMPACTION = "records are not compacted yet"
_NO_TIERS = "there is no second tier of storage"
NO_REPLICATION = "brokers do not replicate, the storage does"
NO_THROTTLE = (
    f"{NO_REPLICATION}: where a partition goes to another node nothing is copied; "
    "reassign it without a throttle"
)
DEFAULT_ONLY: Mapping[str, str] = {
    "compression.gzip.level": _AS_SENT,
    "compression.lz4.level": _AS_SENT,
    "compression.type": _AS_SENT,
    "compression.zstd.level": _AS_SENT,
    "file.delete.delay.ms": "the gateway's garbage_grace_ms holds for all topics",
    "follower.replication.throttled.replicas": NO_THROTTLE,
    "leader.replication.throttled.replicas": NO_THROTTLE,
    "local.retention.bytes": _NO_TIERS,
    "local.retention.ms": _NO_TIERS,
    "max.compaction.lag.ms": _NO_COMPACTION,
    "message.downconversion.enable": "records are sent in the format since 0.11 and no older one",
    "min.cleanable.dirty.ratio": _NO_COMPACTION,
    "preallocate": "files are shared by all topics",
    "remote.log.copy.disable": _NO_TIERS,
    "remote.log.delete.on.disable": _NO_TIERS,
    "remote.storage.enable": _NO_TIERS,
}
"""Of which another value would be a promise that is not kept, and why."""

CODECS = ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")

SETTINGS: Mapping[str, Setting] = {
    "cleanup.policy": Setting(
        LIST,
        "delete",
        choices=("compact", "delete"),
        doc="What may be deleted: old records (delete), or none, and records need keys (compact).",
    ),
    "compression.gzip.level": Setting(
        INT, "-1", -1, 9, doc="Level of gzip, for compression.type gzip."
    ),
    "compression.lz4.level": Setting(
        INT, "9", 1, 17, doc="Level of lz4, for compression.type lz4."
    ),
    "compression.type": Setting(
        STRING,
        "producer",
        choices=CODECS,
        doc="How batches are compressed for storage; producer: as they were sent.",
    ),
    "compression.zstd.level": Setting(
        INT, "3", -131072, 22, doc="Level of zstd, for compression.type zstd."
    ),
    "delete.retention.ms": Setting(
        LONG, "86400000", doc="How long compaction keeps tombstones, in milliseconds."
    ),
    "file.delete.delay.ms": Setting(
        LONG, "60000", doc="How long a deleted file stays, in milliseconds."
    ),
    "flush.messages": Setting(
        LONG, str(LONG_MAX), 1, doc="After how many records the log is synced to disk."
    ),
    "flush.ms": Setting(LONG, str(LONG_MAX), doc="After what time the log is synced to disk."),
    "follower.replication.throttled.replicas": Setting(
        LIST, "", doc="Replicas whose followers replicate at a limited rate."
    ),
    "index.interval.bytes": Setting(
        INT, "4096", high=INT_MAX, doc="Bytes of records between two entries of the index."
    ),
    "leader.replication.throttled.replicas": Setting(
        LIST, "", doc="Replicas whose leaders replicate at a limited rate."
    ),
    "local.retention.bytes": Setting(
        LONG, "-2", -2, doc="With tiered storage: bytes kept locally; -2: retention.bytes."
    ),
    "local.retention.ms": Setting(
        LONG, "-2", -2, doc="With tiered storage: time kept locally; -2: retention.ms."
    ),
    "max.compaction.lag.ms": Setting(
        LONG, str(LONG_MAX), 1, doc="How long a record may stay uncompacted, in milliseconds."
    ),
    "max.message.bytes": Setting(  # see TopicDefaults
        INT, "", high=INT_MAX, doc="Largest record batch, compressed as it is, in bytes."
    ),
    "message.downconversion.enable": Setting(
        BOOLEAN, "false", doc="Whether old consumers get records in the format they know."
    ),
    "message.format.version": Setting(
        STRING, "3.0-IV1", doc="Format of stored records; ignored since Kafka 3.0."
    ),
    "message.timestamp.after.max.ms": Setting(
        LONG,
        str(LONG_MAX),
        doc="How far a record's time may be ahead of the broker's clock, in milliseconds.",
    ),
    "message.timestamp.before.max.ms": Setting(
        LONG,
        str(LONG_MAX),
        doc="How far a record's time may be behind the broker's clock, in milliseconds.",
    ),
    "message.timestamp.difference.max.ms": Setting(
        LONG,
        str(LONG_MAX),
        doc="Both message.timestamp.after.max.ms and .before.max.ms, where those are not set.",
    ),
    "message.timestamp.type": Setting(
        STRING,
        "CreateTime",
        choices=("CreateTime", "LogAppendTime"),
        doc="Whose clock a record's time is of: the producer's or the broker's.",
    ),
    "min.cleanable.dirty.ratio": Setting(
        DOUBLE, "0.5", high=1, doc="Share of uncompacted records at which compaction begins."
    ),
    "min.compaction.lag.ms": Setting(
        LONG, "0", doc="How long a record is safe from compaction, in milliseconds."
    ),
    "min.insync.replicas": Setting(
        INT, "1", 1, INT_MAX, doc="Copies that must have a record before it is acknowledged."
    ),
    "preallocate": Setting(BOOLEAN, "false", doc="Whether files get their full size at once."),
    "remote.log.copy.disable": Setting(
        BOOLEAN, "false", doc="Whether tiered storage takes no more data."
    ),
    "remote.log.delete.on.disable": Setting(
        BOOLEAN, "false", doc="Whether disabling tiered storage deletes what is there."
    ),
    "remote.storage.enable": Setting(
        BOOLEAN, "false", doc="Whether older data move to tiered storage."
    ),
    "retention.bytes": Setting(
        LONG,
        "-1",
        LONG_MIN,
        doc="Bytes a partition may hold before its oldest records are deleted; -1: any number.",
    ),
    "retention.ms": Setting(
        LONG,
        "604800000",
        -1,
        doc="How old records may get before they are deleted, in milliseconds; -1: any age.",
    ),
    "segment.bytes": Setting(INT, "1073741824", 14, INT_MAX, doc="Largest file of the log."),
    "segment.index.bytes": Setting(
        INT, "10485760", 4, INT_MAX, doc="Largest index of a file of the log."
    ),
    "segment.jitter.ms": Setting(
        LONG, "0", doc="Random part taken off segment.ms, in milliseconds."
    ),
    "segment.ms": Setting(
        LONG, "604800000", 1, doc="After what time the log begins a new file, in milliseconds."
    ),
    "unclean.leader.election.enable": Setting(
        BOOLEAN, "false", doc="Whether a replica that lacks records may become leader."
    ),
}

# Kafka's ServerTopicConfigSynonyms, in the units of the topic setting; most others begin with log.
_BROKER_NAMES: Mapping[str, str | None] = {
    "compression.gzip.level": "compression.gzip.level",
    "compression.lz4.level": "compression.lz4.level",
    "compression.type": "compression.type",
    "compression.zstd.level": "compression.zstd.level",
    "delete.retention.ms": "log.cleaner.delete.retention.ms",
    "file.delete.delay.ms": "log.segment.delete.delay.ms",
    "flush.messages": "log.flush.interval.messages",
    "flush.ms": "log.flush.interval.ms",
    "follower.replication.throttled.replicas": None,
    "leader.replication.throttled.replicas": None,
    "local.retention.bytes": "log.local.retention.bytes",
    "local.retention.ms": "log.local.retention.ms",
    "max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms",
    "max.message.bytes": "message.max.bytes",
    "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio",
    "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
    "min.insync.replicas": "min.insync.replicas",
    "remote.log.copy.disable": None,
    "remote.log.delete.on.disable": None,
    "remote.storage.enable": None,
    "segment.index.bytes": "log.index.size.max.bytes",
    "segment.jitter.ms": "log.roll.jitter.ms",
    "segment.ms": "log.roll.ms",
    "unclean.leader.election.enable": "unclean.leader.election.enable",
}
TOPIC_NAMES: Mapping[str, str] = {
    of_broker: name
    for name in SETTINGS
    if (of_broker := _BROKER_NAMES.get(name, f"log.{name}")) is not None
}
"""Settings of a broker that hold for topics which say nothing themselves: their names there."""


def broker_name(name: str) -> str | None:
    """The setting of a Kafka broker that a topic's falls back to; None: there is none."""
    return _BROKER_NAMES.get(name, f"log.{name}")


class TopicDefaults:
    """What holds for topics that say nothing themselves: Kafka's defaults, or the broker's."""

    def __init__(self, message_bytes_max: int) -> None:
        self._static = {name: setting.default or "" for name, setting in SETTINGS.items()}
        self._static["max.message.bytes"] = str(message_bytes_max)
        self.values: Mapping[str, str] = self._static
        """Replaced as a whole when it changes."""

    def change(self, values: Mapping[str, str]) -> None:
        """Let these be those of the broker; names are topics'."""
        self.values = {**self._static, **values}


def config_problem(configs: Mapping[str, str | None]) -> str | None:
    """The first thing wrong with a set of topic settings, in words, or None."""
    for name, value in configs.items():
        if name not in SETTINGS:
            return f"unknown topic config name: {shown(name)}"
        if value is None:
            return f"null value for the topic config {name} is not allowed"
        problem = value_problem(name, value)
        if problem is not None:
            return f"invalid value for the topic config {name}: {problem}"
    return None


def value_problem(name: str, value: str) -> str | None:
    """What is wrong with a topic's setting, or None."""
    setting = SETTINGS[name]
    problem = setting.problem(value)
    if problem is None and name == "message.format.version" and not is_kafka_version(value):
        return f"expected a version of Kafka such as 3.0 or 3.0-IV1, got {shown(value)}"
    if problem is None and name in DEFAULT_ONLY and not setting.is_default(value):
        return (
            f"only the default {setting.default!r} is possible, because {DEFAULT_ONLY[name]}; "
            f"got {shown(value)}"
        )
    return problem
