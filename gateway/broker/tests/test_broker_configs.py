import pytest

from gateway.broker.broker_configs import (
    BROKER_SETTINGS,
    NO_EFFECT,
    broker_problem,
    no_effect,
    setting_of_broker,
    static_values,
    synonyms_of,
)
from gateway.broker.topic_configs import TOPIC_NAMES
from gateway.cluster.view import Node
from gateway.settings.config import Config

NODE = Node(3, "h", 9092)
CONFIG = Config(data="memory:")


def test_only_what_differs_from_the_default_was_set_at_the_start() -> None:
    expected = {"advertised.listeners", "broker.id", "log.dirs", "node.id"}
    assert set(static_values(CONFIG, NODE)) == expected
    config = Config(data="memory:", default_partitions_count=7, message_bytes_max=5_000)
    found = static_values(config, NODE)
    assert set(found) == {*expected, "num.partitions", "message.max.bytes"}
    assert (found["node.id"], found["message.max.bytes"]) == ("3", "5000")


def test_names_are_sorted_and_explained_and_none_is_both_shown_and_without_effect() -> None:
    assert list(BROKER_SETTINGS) == sorted(BROKER_SETTINGS)
    assert all(row.setting.doc.endswith(".") for row in BROKER_SETTINGS.values())
    shown = set(BROKER_SETTINGS) - set(TOPIC_NAMES)
    assert not [name for name in shown if no_effect(name)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log.retention.ms", "5"),
        ("log.retention.ms", "-2"),  # KafkaConfig: no limit
        ("log.retention.bytes", "-2"),
        ("log.cleanup.policy", "compact"),
        ("message.max.bytes", "1000"),
        ("producer.id.expiration.ms", "60000"),
        ("max.connections", "5"),
        ("compression.type", "producer"),
        ("min.insync.replicas", "2"),
    ],
)
def test_what_can_be_changed(name: str, value: str) -> None:
    assert broker_problem(name, value, CONFIG) is None
    assert setting_of_broker(name)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("log.retention.ms", "soon", "expected a number, got 'soon'"),
        ("log.retention.ms", "0", "expected 1 or more"),
        ("log.retention.ms", str(-(2**63) - 1), "expected -9223372036854775808 to"),
        ("log.retention.hours", "1", "cannot be changed while the gateway runs"),
        ("num.partitions", "3", "cannot be changed while the gateway runs"),
        ("compression.type", "zstd", "only the default"),
        ("max.connections", "20000", "at most connections_max_count = 10000"),
        ("message.max.bytes", "2000000000", "at most request_bytes_max"),
        ("no.such", "1", "there is no setting 'no.such'"),
        ("ssl.keystore.location", "x", "there is no TLS yet"),
        ("leader.replication.throttled.rate", "1", "reassign it without a throttle"),
        ("follower.replication.throttled.rate", "1", "reassign it without a throttle"),
        *((name, "1", "has no effect here, because") for name in NO_EFFECT),
    ],
)
def test_what_cannot_and_why(name: str, value: str, words: str) -> None:
    assert words in (broker_problem(name, value, CONFIG) or "")


def test_a_time_may_be_said_in_other_units() -> None:
    assert synonyms_of("log.retention.ms")[-1] == "log.retention.hours"
    assert synonyms_of("num.partitions") == ("num.partitions",)
