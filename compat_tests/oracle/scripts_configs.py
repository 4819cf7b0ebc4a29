"""Every setting of a topic with good and bad values, and the ways to change settings."""

from __future__ import annotations

from typing import Any

from compat_tests.oracle.script import each, script
from compat_tests.oracle.side import Side

TOPIC, BROKER, LOGGER, GROUP, UNKNOWN = 2, 4, 8, 32, 99
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
BROKER_ID = "1"
DESCRIBE, ALTER, INCREMENTAL = 4, 2, 1
NUMBERS = ("-2", "-1", "0", "1", "1000", "9223372036854775808", "1.5", "x", "", " 1 ")
BOOLEANS = ("true", "false", "TRUE", "1", "")
SHARES = ("-0.1", "0", "0.5", "1", "1.1", "x")
# Values to try for each of Kafka 3.9's settings.
SETTINGS: dict[str, tuple[str, ...]] = {
    "cleanup.policy": ("delete", "compact", "compact,delete", "delete, compact", "", "x", "DELETE"),
    "compression.type": ("producer", "gzip", "lz4", "snappy", "zstd", "uncompressed", "x", ""),
    "compression.gzip.level": ("-2", "-1", "0", "1", "9", "10"),
    "compression.lz4.level": ("0", "1", "17", "18"),
    "compression.zstd.level": ("-131073", "3", "22", "23"),
    "delete.retention.ms": NUMBERS,
    "file.delete.delay.ms": NUMBERS,
    "flush.messages": NUMBERS,
    "flush.ms": NUMBERS,
    "follower.replication.throttled.replicas": ("", "*", "0:1", "x", "0:1,1:1"),
    "leader.replication.throttled.replicas": ("", "*", "0:1", "x"),
    "index.interval.bytes": NUMBERS,
    "local.retention.bytes": NUMBERS,
    "local.retention.ms": NUMBERS,
    "max.compaction.lag.ms": NUMBERS,
    "max.message.bytes": NUMBERS,
    "message.downconversion.enable": BOOLEANS,
    "message.format.version": (
        *("3.0", "3.0-IV1", "3.0.1", "2.8.1", "2.8-IV7", "2", "0.8", "0.10.0", "0.10.0.0"),
        *("0.10.2-IV0", "0.11.0.3", "0.12.0", "1.9", "3.9", "3.9-IV0", "4.0", "9.9", "x", ""),
    ),
    "message.timestamp.type": ("CreateTime", "LogAppendTime", "x", "createtime", ""),
    "message.timestamp.before.max.ms": NUMBERS,
    "message.timestamp.after.max.ms": NUMBERS,
    "message.timestamp.difference.max.ms": NUMBERS,
    "min.cleanable.dirty.ratio": SHARES,
    "min.compaction.lag.ms": NUMBERS,
    "min.insync.replicas": NUMBERS,
    "preallocate": BOOLEANS,
    "remote.log.copy.disable": BOOLEANS,
    "remote.log.delete.on.disable": BOOLEANS,
    "remote.storage.enable": BOOLEANS,
    "retention.bytes": NUMBERS,
    "retention.ms": NUMBERS,
    "segment.bytes": ("13", "14", "1000", "1048576", "x"),
    "segment.index.bytes": ("3", "4", "1000", "x"),
    "segment.jitter.ms": NUMBERS,
    "segment.ms": NUMBERS,
    "unclean.leader.election.enable": BOOLEANS,
}


def resource(name: str, *configs: dict[str, Any], kind: int = TOPIC) -> dict[str, Any]:
    return {"resource_type": kind, "resource_name": name, "configs": list(configs)}


def change(side: Side, name: str, *ops: tuple[str, int, str | None], **fields: Any) -> None:
    kind = fields.pop("kind", TOPIC)
    configs = [{"name": n, "config_operation": op, "value": value} for n, op, value in ops]
    resources = [resource(name, *configs, kind=kind)]
    side.ask("IncrementalAlterConfigs", INCREMENTAL, resources=resources, **fields)
    side.settle()


def describe(side: Side, name: str, *keys: str, kind: int = TOPIC, **fields: Any) -> Any:
    asked = {"resource_type": kind, "resource_name": name, "configuration_keys": list(keys) or None}
    return side.ask("DescribeConfigs", DESCRIBE, resources=[asked], **fields)


@each("setting {}", SETTINGS)
def setting(side: Side, name: str) -> None:
    """Each value set on a topic that has nothing set, and looked at."""
    topic = side.topic()
    for value in SETTINGS[name]:
        change(side, topic, (name, SET, value))
        describe(side, topic, name)
        side.quietly(
            "IncrementalAlterConfigs",
            INCREMENTAL,
            resources=[resource(topic, {"name": name, "config_operation": DELETE, "value": None})],
        )


OPERATIONS: dict[str, list[tuple[str, int, str | None]]] = {
    "set to null": [("retention.ms", SET, None)],
    "delete what is not set": [("retention.ms", DELETE, None)],
    "append to a list": [("cleanup.policy", APPEND, "compact")],
    "append what is there": [("cleanup.policy", APPEND, "delete")],
    "append what cannot be": [("cleanup.policy", APPEND, "x")],
    "subtract from a list": [("cleanup.policy", SUBTRACT, "delete")],
    "subtract what is not there": [("cleanup.policy", SUBTRACT, "compact")],
    "append to a number": [("retention.ms", APPEND, "5")],
    "subtract from a number": [("retention.ms", SUBTRACT, "5")],
    "an unknown operation": [("retention.ms", 9, "5")],
    "an unknown setting": [("no.such.setting", SET, "1")],
    "delete an unknown setting": [("no.such.setting", DELETE, None)],
    "an empty name": [("", SET, "1")],
    "one setting twice": [("retention.ms", SET, "1000"), ("retention.ms", SET, "2000")],
    "one good, one bad": [("retention.ms", SET, "1000"), ("segment.ms", SET, "x")],
    "nothing": [],
}


@each("change settings: {}", OPERATIONS)
def operation(side: Side, what: str) -> None:
    topic = side.topic()
    change(side, topic, *OPERATIONS[what], validate_only=True)
    change(side, topic, *OPERATIONS[what])
    describe(side, topic, "retention.ms", "cleanup.policy", "segment.ms")


@script("change settings: all at once takes back what is not named")
def whole(side: Side) -> None:
    topic = side.topic(retention_ms="1000", segment_ms="5000")
    for configs in ([{"name": "retention.ms", "value": "2000"}], [{"name": "x", "value": "1"}], []):
        side.ask("AlterConfigs", ALTER, resources=[resource(topic, *configs)])
        side.settle()
        describe(side, topic, "retention.ms", "segment.ms")


@script("change settings: of nothing")
def of_nothing(side: Side) -> None:
    """One topic twice is missing: Kafka never answers it."""
    side.ask("IncrementalAlterConfigs", INCREMENTAL, resources=[])
    side.ask("AlterConfigs", ALTER, resources=[])


@each("look at settings: {}", ["all", "none", "unknown", "some"])
def look(side: Side, what: str) -> None:
    topic = side.topic(retention_ms="1000")
    keys = {"all": None, "none": [], "unknown": ["no.such"], "some": ["retention.ms", "x"]}[what]
    for version in side.served("DescribeConfigs"):
        asked = {"resource_type": TOPIC, "resource_name": topic, "configuration_keys": keys}
        side.ask("DescribeConfigs", version, resources=[asked])


@each("settings of a resource of type {}", [0, 1, UNKNOWN])
def other_kinds(side: Side, kind: int) -> None:
    describe(side, "x", kind=kind)
    change(side, "x", ("a", SET, "b"), kind=kind)


@each("settings of broker {!r}", ["7", "x", "-1"])
def other_brokers(side: Side, name: str) -> None:
    describe(side, name, "log.retention.ms", kind=BROKER)
    change(side, name, ("log.retention.ms", SET, "1000"), kind=BROKER, validate_only=True)


# Only checked: a broker is everybody's.
OF_BROKERS: dict[str, tuple[str, ...]] = {
    "log.retention.ms": NUMBERS,
    "log.retention.bytes": NUMBERS,
    "log.segment.bytes": ("13", "14", "1048576", "x"),
    "log.cleanup.policy": ("delete", "x", ""),
    "log.message.timestamp.type": ("LogAppendTime", "x"),
    "producer.id.expiration.ms": ("0", "1000", "x"),
    "log.retention.hours": ("1",),
    "node.id": ("2",),
    "auto.create.topics.enable": ("false",),
    "no.such.setting": ("1", ""),
}


@each("setting of brokers: {}", OF_BROKERS)
def setting_of_brokers(side: Side, name: str) -> None:
    for broker in (BROKER_ID, ""):
        for value in OF_BROKERS[name]:
            change(side, broker, (name, SET, value), kind=BROKER, validate_only=True)
        for operation in (SET, DELETE, APPEND):
            change(side, broker, (name, operation, None), kind=BROKER, validate_only=True)
        given = resource(broker, {"name": name, "value": OF_BROKERS[name][0]}, kind=BROKER)
        side.ask("AlterConfigs", ALTER, resources=[given], validate_only=True)


# Asked of the newest Kafka: the logging of 3.9 as it is started here has no levels to change.
OF_LOGGERS: dict[str, list[tuple[str, int, str | None]]] = {
    "a level": [("root", SET, "WARN")],
    "a level in small letters": [("root", SET, "warn")],
    "no level": [("root", SET, "LOUD")],
    "an empty level": [("root", SET, "")],
    "null": [("root", SET, None)],
    "delete the root's": [("root", DELETE, None)],
    "append": [("root", APPEND, "WARN")],
    "subtract": [("root", SUBTRACT, "WARN")],
    "an unknown operation": [("root", 9, "WARN")],
    "no such logger": [("no.such.logger", SET, "WARN")],
    "delete that of no such logger": [("no.such.logger", DELETE, None)],
    "one twice": [("root", SET, "WARN"), ("root", SET, "INFO")],
    "nothing": [],
}


@each("levels of loggers: {}", OF_LOGGERS, newest=True)
def levels(side: Side, what: str) -> None:
    change(side, BROKER_ID, *OF_LOGGERS[what], kind=LOGGER, validate_only=True)
    change(side, "7", *OF_LOGGERS[what], kind=LOGGER, validate_only=True)


@script("levels of loggers: looked at, and all at once", newest=True)
def look_at_levels(side: Side) -> None:
    asked = {"resource_type": LOGGER, "resource_name": BROKER_ID, "configuration_keys": ["root"]}
    for wanted in (False, True):
        reply = side.quietly(
            "DescribeConfigs", DESCRIBE, resources=[asked], include_documentation=wanted
        )
        (root,) = reply.results[0].configs
        root.value = None  # its level is the broker's own
        side.note("root", root.to_dict())
    for broker in (BROKER_ID, "", "7", "x"):
        describe(side, broker, "no.such.logger", kind=LOGGER)
        given = resource(broker, {"name": "root", "value": "WARN"}, kind=LOGGER)
        side.ask("AlterConfigs", ALTER, resources=[given], validate_only=True)


@script("settings of groups: where a default comes from", newest=True)
def defaults_of_groups(side: Side) -> None:
    """Kafka 3.9 has none while the newest group protocol is off."""
    keys = [
        *(f"consumer.{name}.ms" for name in ("heartbeat.interval", "session.timeout")),
        *(f"share.{name}.ms" for name in ("heartbeat.interval", "session.timeout")),
        *("share.auto.offset.reset", "share.record.lock.duration.ms"),
    ]
    for key in keys:
        asked = {"resource_type": GROUP, "resource_name": "g", "configuration_keys": [key]}
        side.ask("DescribeConfigs", DESCRIBE, resources=[asked], include_synonyms=True)
