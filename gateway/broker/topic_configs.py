"""Topic settings: names, types and defaults as Kafka documents them for its topic configurations.

Every name is accepted, checked, stored and echoed, because Connect, Schema Registry and the
consoles refuse to start otherwise. `ACTED_ON` says which of them change what the gateway does
today.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

ACTED_ON = frozenset(
    {
        "cleanup.policy",  # whether retention deletes at all; compact or nothing keeps everything
        "max.message.bytes",
        "message.timestamp.after.max.ms",
        "message.timestamp.type",
        "retention.bytes",
        "retention.ms",
    }
)

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
        setting = SETTINGS.get(name)
        if setting is None:
            return f"unknown topic config name: {name}"
        if value is None:
            return f"null value for the topic config {name} is not allowed"
        problem = setting.problem(value)
        if problem is not None:
            return f"invalid value for the topic config {name}: {problem}"
    return None
