"""sarama as configured for a Kafka 0.11, as many an old application still is.

It asks for the versions of that time: Fetch v5, Produce v3, DescribeConfigs v0, no topic ids and
no incremental changes of settings.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from compat_tests.support.client import Client, ClientError, Library
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.records import odd_records

TOPIC_ALREADY_EXISTS = 36
INVALID_CONFIG = 40


@pytest.fixture
def old(
    need: Callable[[str], Library],
    broker: Gateway | Remote,
    launch: Callable[[Library, Gateway | Remote], Client],
) -> Client:
    return launch(replace(need("sarama"), arguments=("0.11.0.0",)), broker)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4"])
def test_records_come_back_as_they_were_sent(old: Client, topic: str, codec: str) -> None:
    sent = odd_records()
    with old.producer(codec=codec, idempotent=True) as producer:
        producer.send(topic, sent)
    read = old.read_all(topic, len(sent))
    assert [record.content for record in read] == [record.content for record in sent]


def test_a_group_goes_on_where_it_stopped(old: Client, topic: str) -> None:
    with old.producer() as producer:
        producer.send(topic, [b"%d" % number for number in range(6)])
    for first in (0, 3):
        with old.consumer(group=topic, start="earliest", auto_commit=False) as consumer:
            consumer.subscribe(topic)
            assert [record.offset for record in consumer.take(3)] == list(range(first, first + 3))
            consumer.commit((topic, 0, first + 3))
    with old.consumer(group=topic) as consumer:
        assert consumer.committed((topic, 0)) == [6]
        assert consumer.watermarks(topic) == (0, 6)


def test_administration(old: Client, topic: str) -> None:
    old.create_topic(topic, partitions=2, retention_ms="5000000")
    with pytest.raises(ClientError) as twice:
        old.call("create_topics", topics=[[topic, 2]])
    assert twice.value.code == TOPIC_ALREADY_EXISTS
    with old.producer() as producer:
        producer.send(topic, [b"1", b"2"])
    old.delete_records(topic, 1)
    assert old.topics()[topic] == 2
    # The request of that time replaces all that is set.
    old.call("alter_configs", topic=topic, configs={"retention.bytes": "1000000000"})
    assert old.call("topic_configs", topic=topic) == {"retention.bytes": "1000000000"}
    with pytest.raises(ClientError) as refused:
        old.call("alter_configs", topic=topic, configs={"retention.ms": "soon"})
    assert refused.value.code == INVALID_CONFIG
    old.delete_topic(topic)
    wait_until(lambda: topic not in old.topics(), what="the topic to be gone")
