"""Settings of a broker under Kafka's names: what this gateway was started with, and what can be
changed while it runs.

Shown is what has a meaning here. Kafka calls more of them dynamic; those are refused with the
reason. Values that hold for topics (`log.retention.ms`) are checked as the topics' own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from gateway.broker.setting_types import (
    BOOLEAN,
    INT,
    INT_MAX,
    LIST,
    LONG,
    LONG_MIN,
    STRING,
    Setting,
    shown,
)
from gateway.broker.topic_configs import (
    NO_REPLICATION,
    NO_THROTTLE,
    SETTINGS,
    TOPIC_NAMES,
    value_problem,
)
from gateway.settings.config import Config, default_of

if TYPE_CHECKING:
    from gateway.cluster.view import Node

KAFKA_VERSION = "3.9-IV0"
"""Which Kafka this is, for who asks: kafka-ui and its kin take a broker without it for 1.0. What
clients infer from ApiVersions is the same, and so are names and defaults of topics."""


class Source(Enum):
    """DescribeConfigsResponse.ConfigSource; persistent on the wire, never renumber."""

    TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5
    DYNAMIC_BROKER_LOGGER = 6
    CLIENT_METRICS = 7
    GROUP = 8


class BrokerSetting(NamedTuple):
    """One setting of a broker."""

    setting: Setting
    # Of Config, from which the value comes; the setting's default is what Config has by default.
    value: Callable[[Config, Node], str] | None = None
    default: str | None = None
    is_dynamic: bool = False


def _number(field: str, kind: int, doc: str, divisor: int = 1) -> BrokerSetting:
    """A setting of ours under its name in Kafka."""
    return BrokerSetting(
        Setting(kind, None, doc=doc),
        lambda config, node: str(getattr(config, field) // divisor),
        str(default_of(field) // divisor),
    )


def _switch(field: str, doc: str) -> BrokerSetting:
    return BrokerSetting(
        Setting(BOOLEAN, None, doc=doc),
        lambda config, node: str(getattr(config, field)).lower(),
        str(default_of(field)).lower(),
    )


def _always(kind: int, value: str | None, doc: str) -> BrokerSetting:
    """What is so whatever the settings, and Kafka's default."""
    return BrokerSetting(Setting(kind, value, doc=doc), default=value)


def _node_id(config: Config, node: Node) -> str:
    return str(node.node_id)


def _dynamic(row: BrokerSetting, low: int, high: int = INT_MAX) -> BrokerSetting:
    setting = row.setting._replace(low=low, high=high)
    return row._replace(setting=setting, is_dynamic=True)


_OWN: Mapping[str, BrokerSetting] = {
    "advertised.listeners": BrokerSetting(
        Setting(STRING, None, doc="Where clients are told to connect to."),
        lambda config, node: f"PLAINTEXT://{node.host}:{node.port}",
    ),
    "authorizer.class.name": _always(STRING, "", "Who decides what clients may do; empty: nobody."),
    "auto.create.topics.enable": _switch(
        "auto_create_topics", "Whether asking for a topic creates it."
    ),
    "broker.id": BrokerSetting(
        Setting(INT, None, doc="The id of this broker."), _node_id, default="-1"
    ),
    "broker.rack": _always(STRING, None, "Where this broker stands."),
    "connections.max.idle.ms": _number(
        "connections_max_idle_ms", LONG, "How long a connection may be unused; 0: for ever."
    ),
    "default.replication.factor": _always(
        INT, "1", "Copies of a topic by brokers; the storage keeps its own."
    ),
    "delete.topic.enable": _always(BOOLEAN, "true", "Whether topics can be deleted."),
    "fetch.max.bytes": _number("fetch_bytes_max", INT, "Largest reply to a fetch."),
    "group.coordinator.rebalance.protocols": _always(
        LIST, "classic", "Which kinds of consumer groups there are."
    ),
    "group.initial.rebalance.delay.ms": _number(
        "group_initial_rebalance_delay_ms", INT, "How long a new group waits for more members."
    ),
    "group.max.session.timeout.ms": _number(
        "group_session_timeout_max_ms", INT, "Longest session timeout a member may ask for."
    ),
    "group.max.size": _number("group_members_max_count", INT, "Most members of a group."),
    "group.min.session.timeout.ms": _number(
        "group_session_timeout_min_ms", INT, "Shortest session timeout a member may ask for."
    ),
    "inter.broker.protocol.version": _always(
        STRING, KAFKA_VERSION, "The version of Kafka that this broker is taken for."
    ),
    "listeners": BrokerSetting(
        Setting(STRING, None, doc="Where this broker listens."),
        lambda config, node: f"PLAINTEXT://{config.listen_host}:{config.listen_port}",
        default=f"PLAINTEXT://{default_of('listen_host')}:{default_of('listen_port')}",
    ),
    "log.dirs": BrokerSetting(
        Setting(STRING, None, doc="The folder or bucket that holds the data."),
        lambda config, node: config.data,
        default=default_of("data"),
    ),
    "log.message.format.version": _always(
        STRING, SETTINGS["message.format.version"].default, "Ignored since Kafka 3.0."
    ),
    "log.retention.check.interval.ms": _number(
        "retention_check_interval_ms", LONG, "How often old records are looked for."
    ),
    "log.retention.hours": _always(
        INT, "168", "How old records may get, where log.retention.ms does not say it."
    ),
    "log.retention.minutes": _always(
        INT, None, "How old records may get, where log.retention.ms does not say it."
    ),
    "log.roll.hours": _always(
        INT, "168", "After what time the log begins a new file, where log.roll.ms is not set."
    ),
    "log.roll.jitter.hours": _always(
        INT, "0", "Random part taken off log.roll.hours, where log.roll.jitter.ms is not set."
    ),
    "max.connections": _dynamic(  # see gateway.server
        _number("connections_max_count", INT, "Most connections at a time."), 1
    ),
    "node.id": BrokerSetting(
        Setting(INT, None, doc="The id of this broker."), _node_id, default="-1"
    ),
    "num.partitions": _number(
        "default_partitions_count", INT, "Partitions of a topic whose creator named no number."
    ),
    "offset.metadata.max.bytes": _number(
        "offset_metadata_bytes_max", INT, "Largest text beside a committed offset."
    ),
    "offsets.retention.check.interval.ms": _always(
        LONG, "600000", "How often committed offsets that are too old are looked for."
    ),
    "offsets.retention.minutes": _number(
        "offsets_retention_ms", INT, "How long offsets of groups without members are kept.", 60_000
    ),
    "offsets.topic.num.partitions": _number(
        "offsets_partitions_count", INT, "Partitions of __consumer_offsets."
    ),
    "producer.id.expiration.ms": _dynamic(
        _number("producer_id_expiration_ms", INT, "When an idle idempotent producer is forgotten."),
        1,
    ),
    "socket.request.max.bytes": _number("request_bytes_max", INT, "Largest request."),
}

_TOPICS_STATIC: Mapping[str, str] = {"message.max.bytes": "message_bytes_max"}
# Kafka's default is null where a coarser unit has the value (hours).
_NULL_DEFAULTS = frozenset(
    {"log.flush.interval.ms", "log.retention.ms", "log.roll.jitter.ms", "log.roll.ms"}
)


def _of_topics(of_broker: str, name: str) -> BrokerSetting:
    setting = SETTINGS[name]
    field = _TOPICS_STATIC.get(of_broker)
    if field is not None:
        row = _number(field, setting.type, setting.doc)
        return row._replace(setting=setting, is_dynamic=True)
    default = None if of_broker in _NULL_DEFAULTS else setting.default
    return BrokerSetting(setting, default=default, is_dynamic=True)


BROKER_SETTINGS: Mapping[str, BrokerSetting] = dict(
    sorted(
        (
            {name: _of_topics(name, topic) for name, topic in TOPIC_NAMES.items()} | dict(_OWN)
        ).items()
    )
)

# Kafka's KafkaConfig: others that a value is taken from.
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "log.retention.ms": ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
    "log.retention.minutes": ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
    "log.roll.ms": ("log.roll.ms", "log.roll.hours"),
    "log.roll.jitter.ms": ("log.roll.jitter.ms", "log.roll.jitter.hours"),
}

_ONE_LOOP = "one event loop serves all connections"
_NO_CLEANER = "records are not compacted yet"
_NO_TIERS = "there is no second tier of storage"
_NO_TLS = "there is no TLS yet"
_NO_SASL = "there is no SASL yet"
NO_EFFECT: Mapping[str, str] = {
    "background.threads": _ONE_LOOP,
    "follower.replication.throttled.rate": NO_THROTTLE,
    "leader.replication.throttled.rate": NO_THROTTLE,
    "listener.security.protocol.map": _NO_TLS,
    "max.connection.creation.rate": "connections are not counted by rate",
    "max.connections.per.ip": "connections are not counted by address; max.connections bounds all",
    "max.connections.per.ip.overrides": "connections are not counted by address",
    "metric.reporters": "there are no plug-ins",
    "num.io.threads": _ONE_LOOP,
    "num.network.threads": _ONE_LOOP,
    "num.recovery.threads.per.data.dir": _ONE_LOOP,
    "num.replica.fetchers": NO_REPLICATION,
    "principal.builder.class": "there are no plug-ins",
    "replica.alter.log.dirs.io.max.bytes.per.second": NO_REPLICATION,
    "transaction.partition.verification.enable": "there are no transactions yet",
}
_NO_EFFECT_BY_PREFIX = (
    ("log.cleaner.", _NO_CLEANER),
    ("remote.", _NO_TIERS),
    ("sasl.", _NO_SASL),
    ("ssl.", _NO_TLS),
)


def synonyms_of(name: str) -> tuple[str, ...]:
    """Settings of a broker that the value of one comes from, in the order of their being asked."""
    return _SYNONYMS.get(name, (name,))


def static_values(config: Config, node: Node) -> dict[str, str]:
    """What the gateway was started with, where that is not the default."""
    found = {}
    for name, row in BROKER_SETTINGS.items():
        field = _TOPICS_STATIC.get(name)
        if row.value is not None:
            value = row.value(config, node)
            if value != row.default or (field is None and row.default == "-1"):
                found[name] = value
    return found


def setting_of_broker(name: str) -> Setting | None:
    """None: there is no such setting of brokers."""
    row = BROKER_SETTINGS.get(name)
    return None if row is None else row.setting


# What the process was started with bounds what can be had while it runs.
_NOT_ABOVE: Mapping[str, str] = {
    "max.connections": "connections_max_count",
    "message.max.bytes": "request_bytes_max",
}


def broker_problem(name: str, value: str, config: Config) -> str | None:
    """Why a broker's setting cannot be changed to that, in words, or None."""
    row = BROKER_SETTINGS.get(name)
    if row is None:
        reason = no_effect(name)
        if reason is not None:
            return f"{name} has no effect here, because {reason}"
        return f"there is no setting {shown(name)} of brokers"
    if not row.is_dynamic:
        return f"{name} cannot be changed while the gateway runs: it was started with it"
    topic = TOPIC_NAMES.get(name)
    if name == "log.retention.ms":
        problem = _retention_problem(value)
    else:
        problem = row.setting.problem(value) if topic is None else value_problem(topic, value)
    field = _NOT_ABOVE.get(name)
    if problem is None and field is not None and int(value) > getattr(config, field):
        problem = f"expected at most {field} = {getattr(config, field)}, got {value}"
    return None if problem is None else f"invalid value for the broker config {name}: {problem}"


def _retention_problem(value: str) -> str | None:
    """Not as a topic's: KafkaConfig takes what is below 0 as no limit, and refuses 0."""
    problem = Setting(LONG, None, LONG_MIN).problem(value)
    if problem is None and int(value) == 0:
        return "expected 1 or more, or for no limit -1, got 0"
    return problem


def no_effect(name: str) -> str | None:
    """Why a setting of Kafka's brokers means nothing here; None: it is no such setting."""
    if name in NO_EFFECT:
        return NO_EFFECT[name]
    return next((reason for start, reason in _NO_EFFECT_BY_PREFIX if name.startswith(start)), None)
