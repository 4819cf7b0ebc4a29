"""Topics by each client's admin interface, and offsets by time."""

from collections.abc import Callable

import pytest

from compat_tests.support.client import Client, ClientError
from compat_tests.support.deadline import wait_until
from compat_tests.support.records import BASE_TIMESTAMP_MS, Record

INVALID_TOPIC_EXCEPTION = 17
TOPIC_ALREADY_EXISTS = 36
UNKNOWN_TOPIC_OR_PARTITION = 3
INVALID_PARTITIONS = 37


def test_create_list_delete(client: Client, topic: str) -> None:
    client.create_topic(topic, partitions=3)
    assert client.topics()[topic] == 3
    with pytest.raises(ClientError) as twice:
        client.call("create_topics", topics=[[topic, 3]])
    assert twice.value.code == TOPIC_ALREADY_EXISTS

    client.delete_topic(topic)
    wait_until(lambda: topic not in client.topics(), what="the topic to be gone")
    with pytest.raises(ClientError) as gone:
        client.delete_topic(topic)
    assert gone.value.code == UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.storage_blind("refused before anything is stored")
@pytest.mark.parametrize(
    ("name", "partitions", "code"),
    [
        ("not/a/name", 1, INVALID_TOPIC_EXCEPTION),
        ("..", 1, INVALID_TOPIC_EXCEPTION),
        ("n" * 250, 1, INVALID_TOPIC_EXCEPTION),
        ("no-partitions", 0, INVALID_PARTITIONS),
    ],
)
def test_refused_topics(client: Client, name: str, partitions: int, code: int) -> None:
    with pytest.raises(ClientError) as refused:
        client.call("create_topics", topics=[[name, partitions]])
    assert refused.value.code == code, refused.value


def test_a_topic_gets_more_partitions(client: Client, topic: str) -> None:
    """Producers and consumers use them; what was in the first stays where it is."""
    with client.producer() as producer:
        producer.send(topic, [b"old"] * 3)
    client.call("create_partitions", topic=topic, count=3)
    wait_until(lambda: client.topics()[topic] == 3, what="three partitions")
    with client.producer() as producer:
        (ack,) = producer.send(topic, [Record(b"new", partition=2)])
    assert (ack.partition, ack.offset) == (2, 0)
    assert [record.value for record in client.read_all(topic, 3)] == [b"old"] * 3
    assert [record.value for record in client.read_all(topic, 1, partition=2)] == [b"new"]
    for count in (3, 2):  # no more than there are
        with pytest.raises(ClientError) as refused:
            client.call("create_partitions", topic=topic, count=count)
        assert refused.value.code == INVALID_PARTITIONS
    with pytest.raises(ClientError) as missing:
        client.call("create_partitions", topic="no-such-topic", count=2)
    assert missing.value.code == UNKNOWN_TOPIC_OR_PARTITION


def test_recreated_topic_starts_at_zero(client: Client, topic: str) -> None:
    with client.producer() as producer:
        producer.send(topic, [b"old"] * 7)
    client.delete_topic(topic)
    wait_until(lambda: topic not in client.topics(), what="the topic to be gone")
    client.create_topic(topic)
    with client.consumer() as consumer:
        consumer.assign((topic, 0, "beginning"))
        assert consumer.watermarks(topic) == (0, 0)
        with client.producer() as producer:
            (ack,) = producer.send(topic, [b"new"])
        assert ack.offset == 0
        (record,) = consumer.take(1)
    assert (record.offset, record.value) == (0, b"new")


def test_offsets_for_times(client: Client, topic: str, new_topic: Callable[[], str]) -> None:
    """Exact inside a batch, with time stamps that do not rise; none later: no offset."""
    times_ms = [0, 10, 5, 20, 20, 15, 30]
    records = [Record(b"t", timestamp_ms=BASE_TIMESTAMP_MS + shift) for shift in times_ms]
    with client.producer(codec="gzip") as producer:
        producer.send(topic, records[:4])
        producer.send(topic, records[4:])
    first_at_or_after = {-5: 0, 0: 0, 1: 1, 10: 1, 11: 3, 20: 3, 21: 6, 30: 6, 31: None}
    with client.consumer() as consumer:
        consumer.assign((topic, 0, 0))
        found = {
            shift: consumer.offsets_for_times((topic, 0, BASE_TIMESTAMP_MS + shift))[0]
            for shift in first_at_or_after
        }
    assert found == first_at_or_after
