"""Topics nobody created: with automatic creation off, and with it on but not asked for."""

from collections.abc import Callable
from typing import Any

import pytest

from compat_tests.support.client import Client, ClientError, Library, Producer
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.records import Record

# How each client is told not to look for an unknown topic for its usual half minute or more, and
# what it calls the end of its patience.
IMPATIENCE: dict[str, dict[str, Any]] = {
    "aiokafka": {"request_timeout_ms": 3_000},
    "kafka-python": {"max_block_ms": 3_000},
    "java": {"max_block_ms": 3_000},
    "franz-go": {"patience_ms": 3_000},
    "librdkafka": {
        "topic.metadata.propagation.max.ms": 1_000,
        "message.timeout.ms": 5_000,
    },
}
UNKNOWN_TOPIC = 3
_refused = pytest.mark.storage_blind("nothing is created")
EXPECTED_NAMES = {
    "aiokafka": {"UnknownTopicOrPartitionError", "KafkaTimeoutError"},
    "kafka-python": {"UnknownTopicOrPartitionError", "KafkaTimeoutError"},
    "java": {"TimeoutException", "UnknownTopicOrPartitionException"},
    "librdkafka": {"_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_PARTITION"},
}


@pytest.fixture
def strict_client(
    library: Library, strict_broker: Gateway | Remote, connect: Callable[..., Client]
) -> Client:
    return connect(library, strict_broker)


@_refused
def test_produce_fails_and_creates_nothing(strict_client: Client, topic: str) -> None:
    family = strict_client.library.family
    producer = strict_client.producer(extra=IMPATIENCE.get(family, {}))
    (outcome,) = producer.outcomes([Record(b"nowhere", topic=topic)])
    assert isinstance(outcome, ClientError)
    assert outcome.code == UNKNOWN_TOPIC or outcome.name in EXPECTED_NAMES.get(family, ()), outcome
    assert topic not in strict_client.topics()

    strict_client.create_topic(topic)
    assert wait_until(lambda: sent(producer, topic), what="the producer to find the topic")
    producer.close()


def sent(producer: Producer, topic: str) -> bool:
    """librdkafka remembers for a moment that the topic was missing."""
    (outcome,) = producer.outcomes([Record(b"now it is there", topic=topic)])
    return not isinstance(outcome, ClientError)


@_refused
def test_consumer_waits_for_the_topic_without_creating_it(
    strict_client: Client, topic: str
) -> None:
    with strict_client.consumer(start="earliest") as consumer:
        try:
            consumer.assign((topic, 0, 0))
            consumer.poll(timeout_s=1.0)
        except ClientError as error:
            assert error.code in (UNKNOWN_TOPIC, -188, -190), error
    assert topic not in strict_client.topics()


def test_first_produce_creates_the_topic(client: Client, topic: str) -> None:
    assert topic not in client.topics()
    with client.producer() as producer:
        assert producer.send(topic, [b"first"])[0].offset == 0
    assert client.topics()[topic] == 1
