"""Topic settings: names, types and defaults as Kafka documents them for its topic configurations.

Tools refuse to start where a name is not known, so all are known. None is kept for show: a setting
is acted on, or what it asks for is so whatever its value, or only its default is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

ACTED_ON = frozenset(
    {
        "cleanup.policy",  # what retention may delete, and whether records need keys
        "max.message.bytes",
        "message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms",
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
_NO_REPLICATION = "brokers do not replicate, the storage does"
DEFAULT_ONLY: Mapping[str, str] = {
    "compression.gzip.level": _AS_SENT,
    "compression.lz4.level": _AS_SENT,
    "compression.type": _AS_SENT,
    "compression.zstd.level": _AS_SENT,
    "file.delete.delay.ms": "the gateway's garbage_grace_ms holds for all topics",
    "follower.replication.throttled.replicas": _NO_REPLICATION,
    "leader.replication.throttled.replicas": _NO_REPLICATION,
    "local.retention.bytes": _NO_TIERS,
    "local.retention.ms": _NO_TIERS,
    "max.compaction.lag.ms": _NO_COMPACTION,
    "min.cleanable.dirty.ratio": _NO_COMPACTION,
    "preallocate": "files are shared by all topics",
    "remote.storage.enable": _NO_TIERS,
}
"""Of which another value would be a promise that is not kept, and why."""

VALUE_CHARS_MAX = 255
"""With as many settings as there are this bounds what a topic's settings take: 10 KB."""

# ConfigDef.Type as DescribeConfigs v3+ numbers it; persistent on the wire, never renumber.
BOOLEAN, STRING, INT, SHORT, LONG, DOUBLE, LIST = 1, 2, 3, 4, 5, 6, 7

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1
VALUE_CHARS_SHOWN = 60  # of a refused value, in the reason for it


class Setting(NamedTuple):
    """One topic setting: its type, its default as a string and the values it takes."""

    type: int
    default: str
    low: float = 0
    high: float = LONG_MAX
    choices: tuple[str, ...] = ()

    def problem(self, value: str) -> str | None:
        """What is wrong with `value`, or None."""
        return _CHECKS[self.type](self, value)


# Python takes more for a number than Kafka does: "1_000", other scripts' digits, "nan".
_NUMBER = re.compile(r"\s*[+-]?[0-9.]{1,30}([eE][+-]?[0-9]{1,3})?\s*\Z")


def _check_number(cast: Callable[[str], float]) -> Callable[[Setting, str], str | None]:
    def check(setting: Setting, value: str) -> str | None:
        try:
            number = cast(value) if _NUMBER.match(value) else None
        except ValueError:
            number = None
        if number is None:
            return f"expected a number, got {value[:VALUE_CHARS_SHOWN]!r}"
        if setting.low <= number <= setting.high:
            return None
        return f"expected {setting.low} to {setting.high}, got {value}"

    return check


def _check_choice(setting: Setting, value: str) -> str | None:
    if not setting.choices or value in setting.choices:
        return None
    return f"expected one of {', '.join(setting.choices)}, got {value[:VALUE_CHARS_SHOWN]!r}"


def _check_list(setting: Setting, value: str) -> str | None:
    if not setting.choices or not value.strip():  # Kafka takes an empty list of anything
        return None
    unknown = [v for v in value.split(",") if v.strip() not in setting.choices]
    if not unknown:
        return None
    return f"expected some of {', '.join(setting.choices)}, got {value[:VALUE_CHARS_SHOWN]!r}"


def _check_boolean(setting: Setting, value: str) -> str | None:
    if value.lower() in ("true", "false"):
        return None
    return f"expected true or false, got {value[:VALUE_CHARS_SHOWN]!r}"


_CHECKS: dict[int, Callable[[Setting, str], str | None]] = {
    BOOLEAN: _check_boolean,
    STRING: _check_choice,
    INT: _check_number(int),
    LONG: _check_number(int),
    DOUBLE: _check_number(float),
    LIST: _check_list,
}

SETTINGS: Mapping[str, Setting] = {
    "cleanup.policy": Setting(LIST, "delete", choices=("delete", "compact")),
    "compression.gzip.level": Setting(INT, "-1", low=-1, high=9),
    "compression.lz4.level": Setting(INT, "9", low=1, high=17),
    "compression.type": Setting(
        STRING, "producer", choices=("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
    ),
    "compression.zstd.level": Setting(INT, "3", low=-131072, high=22),
    "delete.retention.ms": Setting(LONG, "86400000"),
    "file.delete.delay.ms": Setting(LONG, "60000"),
    "flush.messages": Setting(LONG, str(LONG_MAX), low=1),
    "flush.ms": Setting(LONG, str(LONG_MAX)),
    "follower.replication.throttled.replicas": Setting(LIST, ""),
    "index.interval.bytes": Setting(INT, "4096", high=INT_MAX),
    "leader.replication.throttled.replicas": Setting(LIST, ""),
    "local.retention.bytes": Setting(LONG, "-2", low=-2),
    "local.retention.ms": Setting(LONG, "-2", low=-2),
    "max.compaction.lag.ms": Setting(LONG, str(LONG_MAX), low=1),
    "max.message.bytes": Setting(INT, "", high=INT_MAX),  # see default_value
    "message.timestamp.after.max.ms": Setting(LONG, "3600000"),
    "message.timestamp.before.max.ms": Setting(LONG, str(LONG_MAX)),
    "message.timestamp.type": Setting(
        STRING, "CreateTime", choices=("CreateTime", "LogAppendTime")
    ),
    "min.cleanable.dirty.ratio": Setting(DOUBLE, "0.5", high=1),
    "min.compaction.lag.ms": Setting(LONG, "0"),
    "min.insync.replicas": Setting(INT, "1", low=1, high=INT_MAX),
    "preallocate": Setting(BOOLEAN, "false"),
    "remote.storage.enable": Setting(BOOLEAN, "false"),
    "retention.bytes": Setting(LONG, "-1", low=-1),
    "retention.ms": Setting(LONG, "604800000", low=-1),
    "segment.bytes": Setting(INT, "1073741824", low=14, high=INT_MAX),
    "segment.index.bytes": Setting(INT, "10485760", low=4, high=INT_MAX),
    "segment.jitter.ms": Setting(LONG, "0"),
    "segment.ms": Setting(LONG, "604800000", low=1),
    "unclean.leader.election.enable": Setting(BOOLEAN, "false"),
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
    "max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms",
    "max.message.bytes": "message.max.bytes",
    "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio",
    "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
    "min.insync.replicas": "min.insync.replicas",
    "remote.storage.enable": None,
    "segment.index.bytes": "log.index.size.max.bytes",
    "segment.jitter.ms": "log.roll.jitter.ms",
    "segment.ms": "log.roll.ms",
    "unclean.leader.election.enable": "unclean.leader.election.enable",
}


def broker_name(name: str) -> str | None:
    """The setting of a Kafka broker that a topic's falls back to; None: there is none."""
    return _BROKER_NAMES.get(name, f"log.{name}")


def default_value(name: str, message_bytes_max: int) -> str:
    """The default of a setting; that of max.message.bytes is the broker's own limit."""
    return str(message_bytes_max) if name == "max.message.bytes" else SETTINGS[name].default


def config_problem(configs: Mapping[str, str | None]) -> str | None:
    """The first thing wrong with a set of topic settings, in words, or None."""
    for name, value in configs.items():
        if name not in SETTINGS:
            return f"unknown topic config name: {name[:VALUE_CHARS_SHOWN]}"
        if value is None:
            return f"null value for the topic config {name} is not allowed"
        problem = _value_problem(name, value)
        if problem is not None:
            return f"invalid value for the topic config {name}: {problem}"
    return None


def _value_problem(name: str, value: str) -> str | None:
    setting = SETTINGS[name]
    if len(value) > VALUE_CHARS_MAX:
        return f"expected at most {VALUE_CHARS_MAX} characters, got {len(value)}"
    problem = setting.problem(value)
    if problem is None and name in DEFAULT_ONLY and not _is_default(setting, value):
        return (
            f"only the default {setting.default!r} is possible, because {DEFAULT_ONLY[name]}; "
            f"got {value[:VALUE_CHARS_SHOWN]!r}"
        )
    return problem


def _is_default(setting: Setting, value: str) -> bool:
    if setting.type in (INT, LONG, DOUBLE):
        return float(value) == float(setting.default)
    return value.strip().lower() == setting.default
