"""What client libraries do at their defaults: librdkafka, Java's own perf tools, aiokafka.

Each runs in a process of its own and notes what it used of the processors.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import subprocess
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)

from compat_tests.bench.isolated import isolated
from compat_tests.bench.sides import CRITICAL, Side
from compat_tests.support.java import classpath, java
from compat_tests.support.kafka import TOOLS_4

MB = 1_000_000
TIMEOUT_S = 120.0
# As Kafka's own scripts start its tools.
JAVA_FLAGS = ("-Xmx512M", "-server", "-Djava.awt.headless=true")
PRODUCE_PERF = "org.apache.kafka.tools.ProducerPerformance"
CONSUME_PERF = "org.apache.kafka.tools.ConsumerPerformance"
# librdkafka stops fetching for a second once 100,000 records wait in its queue. A broker that fills
# the queue faster than Python empties it would be measured asleep.
NO_PAUSES = {"fetch.queue.backoff.ms": 10}
Timed = tuple[float, float]
"""Seconds on the clock, and of the client's processors."""
Client = Callable[..., Timed]
"""Of an address, a topic, the bytes of a value, how many."""


def measured(
    side: Side, client: Client, topic: str, value_bytes: int, count: int, *more: Any
) -> dict[str, float]:
    """`count` records through a client: rates, and what they cost the broker and the client."""
    before_s = side.running.cpu_s()
    seconds, client_s = client(side.bootstrap, topic, value_bytes, count, *more)
    used_s = side.running.cpu_s() - before_s
    gb = count * value_bytes / 1e9
    return {
        "records_per_s": count / seconds,
        "mb_per_s": gb * 1_000 / seconds,
        "cpu_s_per_gb": used_s / gb,
        "client_cpu_s_per_gb": client_s / gb,
    }


def java_produce(bootstrap: str, topic: str, value_bytes: int, count: int) -> Timed:
    """Kafka's ProducerPerformance without a limit."""
    words = ("--topic", topic, "--num-records", str(count), "--record-size", str(value_bytes))
    words += ("--throughput", "-1", "--producer-props", f"bootstrap.servers={bootstrap}")
    said, client_s = _tool(PRODUCE_PERF, *words)
    last = said.strip().splitlines()[-1]
    per_s = re.search(r"([\d.]+) records/sec", last)
    if per_s is None or not last.startswith(f"{count} records sent"):
        raise RuntimeError(said)
    return count / float(per_s[1]), client_s


def java_consume(bootstrap: str, topic: str, value_bytes: int, count: int) -> Timed:
    """Kafka's ConsumerPerformance from the beginning; the time is that of fetching."""
    words = ("--bootstrap-server", bootstrap, "--topic", topic, "--messages", str(count))
    said, client_s = _tool(CONSUME_PERF, *words, "--timeout", "60000")
    cells = said.strip().splitlines()[-1].split(",")
    got, fetching_ms = int(cells[4]), float(cells[7])
    if got < count:
        raise RuntimeError(said)
    return fetching_ms / 1_000 * count / got, client_s


def _tool(main: str, *words: str) -> tuple[str, float]:
    """What it prints, and the CPU seconds it used."""
    jars = classpath(
        *(f"org.apache.kafka:{name}:{TOOLS_4}" for name in ("kafka_2.13", "kafka-tools"))
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [java(), *JAVA_FLAGS, "-cp", jars, main, *words],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout, used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime


def librdkafka_produce(bootstrap: str, topic: str, value_bytes: int, count: int) -> Timed:
    return isolated(_librdkafka_produce, bootstrap, topic, value_bytes, count)


def _librdkafka_produce(bootstrap: str, topic: str, value_bytes: int, count: int) -> Timed:
    """As fast as the client takes it; the time ends with the last acknowledgement."""
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": CRITICAL})
    producer.list_topics(topic, timeout=10)
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    value = os.urandom(value_bytes)
    begun_s = time.perf_counter()
    for _ in range(count):
        while True:
            try:
                producer.produce(topic, value, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
    left_count = producer.flush(TIMEOUT_S)
    seconds = time.perf_counter() - begun_s
    if failed or left_count:
        raise RuntimeError(f"{left_count} not acknowledged, {len(failed)} failed: {failed[:3]}")
    return seconds, time.process_time()


def librdkafka_consume(
    bootstrap: str, topic: str, value_bytes: int, count: int, partitions: int = 1
) -> Timed:
    return isolated(_librdkafka_consume, bootstrap, topic, value_bytes, count, partitions)


def _librdkafka_consume(
    bootstrap: str, topic: str, value_bytes: int, count: int, partitions: int
) -> Timed:
    """All partitions of a topic from the beginning, in batches, until all records have come."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "log_level": CRITICAL,
            **NO_PAUSES,
        }
    )
    # A consumer that has not heard of its topic yet waits for half a second before it asks again.
    consumer.list_topics(topic, timeout=10)
    consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in range(partitions)])
    got_count = 0
    begun_s = time.perf_counter()
    while got_count < count:
        # Asked for more than will come, it would wait for the rest of its second.
        messages = consumer.consume(min(10_000, count - got_count), timeout=1.0)
        if failed := [message.error() for message in messages if message.error()]:
            raise RuntimeError(str(failed[0]))
        got_count += len(messages)
        if time.perf_counter() - begun_s > TIMEOUT_S:
            raise RuntimeError(f"{got_count} of {count} records came")
    seconds = time.perf_counter() - begun_s
    consumer.close()
    return seconds, time.process_time()


def aiokafka_produce(bootstrap: str, topic: str, value_bytes: int, count: int) -> Timed:
    return isolated(_aiokafka_produce, bootstrap, topic, value_bytes, count)


def _aiokafka_produce(bootstrap: str, topic: str, value_bytes: int, count: int) -> Timed:
    return asyncio.run(_aiokafka(bootstrap, topic, value_bytes, count))


async def _aiokafka(bootstrap: str, topic: str, value_bytes: int, count: int) -> Timed:
    """`send` for each record, and then all that are not acknowledged yet."""
    from aiokafka import AIOKafkaProducer

    value = os.urandom(value_bytes)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.partitions_for(topic)
        begun_s = time.perf_counter()
        futures = [await producer.send(topic, value) for _ in range(count)]
        await asyncio.gather(*futures)
        return time.perf_counter() - begun_s, time.process_time()
