"""What is deleted is gone for every client: by request, and when it gets too old or too much."""

from collections.abc import Callable

import pytest

from compat_tests.support.client import Client, Library
from compat_tests.support.deadline import wait_until, wall_ms
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.support.records import Record

OFTEN = ("--retention-check-interval-ms", "50")
HOUR_MS = 3_600_000

Launch = Callable[[Library, Gateway | Remote], Client]


@pytest.fixture(params=["confluent-kafka", "kafka-python", "aiokafka"])
def deleter(
    request: pytest.FixtureRequest,
    need: Callable[[str], Library],
    broker: Gateway | Remote,
    connect: Launch,
) -> Client:
    """The libraries that can delete records; librdkafka 1.9's binding cannot."""
    return connect(need(request.param), broker)


def _values(client: Client, topic: str, count: int, group: str) -> list[bytes | None]:
    """What a new member of the group gets."""
    with client.consumer(group=group, start="earliest") as consumer:
        consumer.subscribe(topic)
        return [record.value for record in consumer.take(count)]


def test_deleted_records_are_skipped(deleter: Client, topic: str) -> None:
    deleter.create_topic(topic)
    sent = [b"%d" % n for n in range(10)]
    with deleter.producer() as producer:
        producer.send(topic, sent)
    with deleter.consumer(group=topic, start="earliest", auto_commit=False) as consumer:
        consumer.assign((topic, 0, 0))
        consumer.take(2)
        consumer.commit((topic, 0, 2))
        assert deleter.delete_records(topic, 6) == 6
        assert consumer.watermarks(topic) == (6, 10)
    # Its committed offset is gone, so auto.offset.reset decides.
    assert _values(deleter, topic, 4, topic) == sent[6:]
    assert deleter.delete_records(topic, -1) == 10


def test_a_consumer_on_its_way_goes_on_behind_what_was_deleted(deleter: Client, topic: str) -> None:
    deleter.create_topic(topic)
    with deleter.producer() as producer:
        producer.send(topic, [b"%d" % n for n in range(5)])
        with deleter.consumer(group=topic, start="earliest") as consumer:
            consumer.assign((topic, 0, 0))
            consumer.take(5)
            producer.send(topic, [b"x"] * 5)
            deleter.delete_records(topic, 8)
            consumer.seek(topic, 0, 6)
            records = consumer.take(2)
    assert [record.offset for record in records] == [8, 9]


def test_old_records_go_by_themselves(
    mode: str,
    own_gateway: Callable[..., Gateway],
    need: Callable[[str], Library],
    launch: Launch,
) -> None:
    """By time and by size, and they stay away after a kill -9."""
    gateway = own_gateway(mode, *OFTEN)
    client = launch(need("confluent-kafka"), gateway)
    client.create_topic("timed", retention_ms=str(HOUR_MS))
    client.create_topic("sized", retention_ms="-1", retention_bytes="20000")
    client.create_topic("kept", retention_ms="1", cleanup_policy="compact")
    old = [Record(b"old", key=b"k", timestamp_ms=wall_ms() - 2 * HOUR_MS)]
    with client.producer() as producer:
        for topic in ("timed", "kept"):
            producer.send(topic, old * 3)
            producer.send(topic, [Record(b"new", key=b"k")] * 2)
        for _ in range(8):
            producer.send("sized", [b"s" * 5_000])
    expected = {"timed": (3, 5), "sized": (4, 8), "kept": (0, 5)}

    with client.consumer() as watcher:
        for topic, ends in expected.items():
            wait_until(
                lambda topic=topic, ends=ends: watcher.watermarks(topic) == ends,
                what=f"retention of {topic}",
            )
    assert _values(client, "timed", 2, "g") == [b"new"] * 2
    gateway.restart(graceful=False)
    again = launch(need("confluent-kafka"), gateway)
    with again.consumer() as consumer:
        for topic, ends in expected.items():
            assert consumer.watermarks(topic) == ends
