"""Settings of a topic that is in use are changed by each client's admin interface."""

from collections.abc import Callable

import pytest

from compat_tests.support.client import Client, ClientError, Library
from compat_tests.support.deadline import wait_until, wall_ms
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.records import Record

Launch = Callable[[Library, Gateway | Remote], Client]

INVALID_CONFIG = 40
MESSAGE_TOO_LARGE = 10
HOUR_MS = 3_600_000


@pytest.mark.parametrize("name", ["confluent-kafka", "kafka-python", "aiokafka"])
def test_settings_are_changed_and_shown(
    name: str,
    need: Callable[[str], Library],
    broker: Gateway | Remote,
    connect: Launch,
    topic: str,
) -> None:
    client = connect(need(name), broker)
    reader = connect(need("confluent-kafka"), broker)
    client.create_topic(topic, retention_ms="5000000")
    client.call("alter_configs", topic=topic, configs={"retention.bytes": "1000000000"})
    kept = {} if name == "aiokafka" else {"retention.ms": "5000000"}
    expected = kept | {"retention.bytes": "1000000000"}
    wait_until(
        lambda: reader.call("topic_configs", topic=topic) == expected, what="the new settings"
    )
    with pytest.raises(ClientError) as refused:
        client.call("alter_configs", topic=topic, configs={"retention.ms": "soon"})
    assert refused.value.code == INVALID_CONFIG
    assert reader.call("topic_configs", topic=topic) == expected


def test_a_smaller_limit_and_a_shorter_retention_hold_at_once(
    own_gateway: Callable[..., Gateway],
    need: Callable[[str], Library],
    launch: Launch,
    topic: str,
) -> None:
    gateway = own_gateway("file", "--retention-check-interval-ms", "50")
    client = launch(need("confluent-kafka"), gateway)
    client.create_topic(topic, retention_ms="-1")
    old = Record(b"old" * 1_000, timestamp_ms=wall_ms() - 2 * HOUR_MS)
    with client.producer() as producer:
        producer.send(topic, [old])
        new = {"cleanup.policy": "delete", "retention.ms": str(HOUR_MS)}
        client.call("alter_configs", topic=topic, configs=new | {"max.message.bytes": "1000"})
        (outcome,) = producer.outcomes([Record(old.value, topic=topic)])
        assert isinstance(outcome, ClientError)
        assert outcome.code == MESSAGE_TOO_LARGE
    with client.consumer() as consumer:
        wait_until(lambda: consumer.watermarks(topic) == (1, 1), what="retention")
    gateway.restart(graceful=False)
    again = launch(need("confluent-kafka"), gateway)
    assert again.call("topic_configs", topic=topic) == new | {"max.message.bytes": "1000"}
