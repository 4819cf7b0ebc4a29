"""Whole clients: what their calls return is compared, not what they send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from compat_tests.oracle.script import script
from compat_tests.oracle.side import Side
from compat_tests.support.deadline import wait_until

CALL_TIMEOUT_S = 20.0


def outcome(call: Callable[[], Any]) -> Any:
    """What it returned, or the name of the error it raised."""
    try:
        return call()
    except KafkaException as error:
        return error.args[0].name()


def results(futures: dict[Any, Any], told: Callable[[Any], Any] = lambda value: value) -> list[Any]:
    """Of all futures of an admin call, in the order they were asked for."""
    return [outcome(lambda f=future: told(f.result(CALL_TIMEOUT_S))) for future in futures.values()]


@contextmanager
def consuming(side: Side, group: str, **settings: Any) -> Iterator[Consumer]:
    config = {"bootstrap.servers": side.bootstrap, "group.id": group, **settings}
    consumer = Consumer({"auto.offset.reset": "earliest", "enable.auto.commit": False, **config})
    try:
        yield consumer
    finally:
        consumer.close()


@script("confluent-kafka: topics, partitions, settings, records, groups")
def admin(side: Side) -> None:
    client = AdminClient({"bootstrap.servers": side.bootstrap})
    topic, other = side.new_name(), side.new_name()
    side.note("create", results(client.create_topics([NewTopic(topic, 2), NewTopic("a b", 1)])))
    side.note("create again", results(client.create_topics([NewTopic(topic, 2)])))
    wait_until(lambda: topic in client.list_topics(timeout=10).topics, what="the topic")
    side.note("grow", results(client.create_partitions([NewPartitions(topic, 3)])))
    side.note("grow nothing", results(client.create_partitions([NewPartitions(other, 3)])))
    wait_until(lambda: len(partitions(client, topic)) == 3, what="three partitions")
    side.note("partitions", partitions(client, topic))
    settings(side, client, topic)
    records(side, client, topic)
    side.note("delete", results(client.delete_topics([topic, other])))


def partitions(client: AdminClient, topic: str) -> list[Any]:
    found = client.list_topics(topic, timeout=10).topics[topic].partitions
    return [[index, part.leader, part.replicas, part.isrs] for index, part in sorted(found.items())]


def settings(side: Side, client: AdminClient, topic: str) -> None:
    def resource(value: str) -> ConfigResource:
        entry = ConfigEntry("retention.ms", value, incremental_operation=AlterConfigOpType.SET)
        return ConfigResource("topic", topic, incremental_configs=[entry])

    def told(entries: dict[str, Any]) -> list[Any]:
        entry = entries["retention.ms"]
        return [entry.value, entry.source, entry.is_read_only, entry.is_default]

    side.note("bad setting", results(client.incremental_alter_configs([resource("x")])))
    side.note("good setting", results(client.incremental_alter_configs([resource("5000")])))
    side.settle()
    described = client.describe_configs([ConfigResource("topic", topic)])
    side.note("setting", results(described, told))


def records(side: Side, client: AdminClient, topic: str) -> None:
    producer = Producer({"bootstrap.servers": side.bootstrap, "enable.idempotence": True})
    told: list[Any] = []
    for number in range(5):
        producer.produce(
            topic,
            f"v{number}",
            partition=0,
            timestamp=1_000 + number,
            on_delivery=lambda error, message: told.append([str(error), message.offset()]),
        )
    side.note("unsent", producer.flush(CALL_TIMEOUT_S))
    side.note("delivered", told)
    side.note("deleted", results(client.delete_records([TopicPartition(topic, 0, 2)])) != [])
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.for_timestamp(1_003)):
        listed = client.list_offsets({TopicPartition(topic, 0): spec})
        side.note("offset", results(listed, lambda found: found.offset))
    group = side.new_name()
    with consuming(side, group) as consumer:
        consumer.subscribe([topic])
        values: list[Any] = []
        wait_until(lambda: take(consumer, values) >= 3, what="three records", timeout_s=40)
        side.note("values", values)
        committed = consumer.commit(asynchronous=False)
        side.note("committed", sorted([p.partition, p.offset] for p in committed))
        asked = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        side.note("stored", [p.offset for p in consumer.committed(asked, timeout=10)])
        side.note("ends", list(consumer.get_watermark_offsets(asked[0], timeout=10)))


def take(consumer: Consumer, values: list[Any]) -> int:
    message = consumer.poll(1.0)
    if message is not None and message.error() is None:
        values.append([message.offset(), message.value().decode(), list(message.timestamp())])
    return len(values)
