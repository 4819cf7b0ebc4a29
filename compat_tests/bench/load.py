"""Loads made with confluent-kafka (librdkafka), the client most of the field stands on."""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)

from compat_tests.bench.report import percentile

DELIVERY_TIMEOUT_S = 120.0


class Rate(NamedTuple):
    records_per_s: float
    mb_per_s: float
    seconds: float


class Latency(NamedTuple):
    p50_ms: float
    p99_ms: float
    p999_ms: float


def produce(
    bootstrap: str, topic: str, value_bytes: int, records_count: int, **settings: Any
) -> Rate:
    """Send as fast as the client takes it; the time ends with the last acknowledgement."""
    producer = Producer({"bootstrap.servers": bootstrap, **settings})
    producer.list_topics(topic, timeout=10)  # creation is not part of the measurement
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    value = os.urandom(value_bytes)
    begun = time.perf_counter()
    for _ in range(records_count):
        while True:
            try:
                producer.produce(topic, value, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
    left_count = producer.flush(DELIVERY_TIMEOUT_S)
    seconds = time.perf_counter() - begun
    if failed or left_count:
        raise RuntimeError(
            f"{left_count} records not acknowledged, {len(failed)} failed: {failed[:3]}"
        )
    return Rate(records_count / seconds, records_count * value_bytes / 1e6 / seconds, seconds)


def consume(bootstrap: str, topic: str, records_count: int, **settings: Any) -> Rate:
    """Read a topic of one partition from its beginning, in batches, until all have come."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            **settings,
        }
    )
    # A consumer that has not heard of its topic yet waits for half a second before it asks again.
    consumer.list_topics(topic, timeout=10)
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    got_count = got_bytes = 0
    begun = time.perf_counter()
    while got_count < records_count:
        # Asked for more than will come, it would wait for the rest of its second.
        for message in consumer.consume(min(10_000, records_count - got_count), timeout=1.0):
            if message.error():
                raise RuntimeError(str(message.error()))
            got_count += 1
            got_bytes += len(message.value())
        if time.perf_counter() - begun > DELIVERY_TIMEOUT_S:
            raise RuntimeError(f"{got_count} of {records_count} records came")
    seconds = time.perf_counter() - begun
    consumer.close()
    return Rate(got_count / seconds, got_bytes / 1e6 / seconds, seconds)


def acked_latency(
    bootstrap: str, topic: str, value_bytes: int, records_count: int, **settings: Any
) -> Latency:
    """One record at a time, each sent when the one before is acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, **settings})
    producer.list_topics(topic, timeout=10)
    value = os.urandom(value_bytes)
    took_ms = []
    for _ in range(records_count):
        begun = time.perf_counter()
        producer.produce(topic, value)
        if producer.flush(DELIVERY_TIMEOUT_S):
            raise RuntimeError("a record was not acknowledged")
        took_ms.append((time.perf_counter() - begun) * 1000)
    return latency_of(took_ms)


def latency_of(took_ms: list[float]) -> Latency:
    ordered = sorted(took_ms)
    return Latency(*(percentile(ordered, share) for share in (0.5, 0.99, 0.999)))
