"""Consumers of librdkafka that others are measured beside, or that measure themselves."""

from __future__ import annotations

import multiprocessing
import os
import struct
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, Producer, TopicPartition

from compat_tests.bench.clients import NO_PAUSES
from compat_tests.bench.sides import CRITICAL

TAIL_PER_S = 100
PATIENCE_S = 30


class Background:
    """So many processes that do the same until this is left; all have begun when it is entered."""

    def __init__(self, count: int, work: Callable[..., None], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._begun = [context.Event() for _ in range(count)]
        self._processes = [
            context.Process(target=work, args=(begun, self._stop, *args)) for begun in self._begun
        ]

    def __enter__(self) -> Background:
        for process in self._processes:
            process.start()
        for begun in self._begun:
            if not begun.wait(PATIENCE_S):
                raise RuntimeError("what was to run beside did not begin")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for process in self._processes:
            process.join()
        if any(process.exitcode for process in self._processes):
            raise RuntimeError("what ran beside has failed, see above")


def spin(begun: Event, stop: Event) -> None:
    """Takes a core."""
    begun.set()
    while not stop.is_set():
        for _ in range(10_000):
            pass


def read_on(begun: Event, stop: Event, bootstrap: str, topic: str, count: int) -> None:
    """Reads a topic from the beginning to the end, over and over."""
    consumer = _consumer(bootstrap, "readers")
    got_count = count
    while not stop.is_set():
        if got_count >= count:
            consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
            got_count = 0
        for message in consumer.consume(1_000, timeout=0.2):
            if message.error():
                raise RuntimeError(str(message.error()))
            got_count += 1
            begun.set()
    consumer.close()


def read_from(bootstrap: str, topic: str, start: int, end: int) -> None:
    """Reads a topic from one offset to another."""
    consumer = _consumer(bootstrap, f"readers-{start}")
    consumer.assign([TopicPartition(topic, 0, start)])
    while start < end:
        for message in consumer.consume(min(500, end - start), 1.0):
            if message.error():
                raise RuntimeError(str(message.error()))
            start += 1
    consumer.close()


def tail_waits_ms(bootstrap: str, topic: str, seconds: float) -> list[float]:
    """Records at a steady rate; each from when it was due to the hands of a consumer."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": CRITICAL})
    producer.produce(topic, bytes(8), partition=0)
    producer.flush(10)
    consumer = _consumer(bootstrap, "tail")
    consumer.assign([TopicPartition(topic, 0, OFFSET_END)])
    consumer.poll(1.0)
    took_ms: list[float] = []
    padding = os.urandom(1_000)
    most, sent_count = max(1, int(seconds * TAIL_PER_S)), 0
    begun_s = time.perf_counter()
    while len(took_ms) < most:
        now_s = time.perf_counter()
        due_s = begun_s + sent_count / TAIL_PER_S
        if sent_count < most and due_s <= now_s:
            producer.produce(topic, struct.pack("<d", due_s) + padding, partition=0)
            sent_count += 1
            producer.poll(0)
        message = consumer.poll(0.001)
        if message is not None and not message.error():
            (sent_s,) = struct.unpack_from("<d", message.value())
            took_ms.append((time.perf_counter() - sent_s) * 1_000)
        if now_s > begun_s + seconds + PATIENCE_S:
            raise RuntimeError(f"{len(took_ms)} of {sent_count} records came")
    consumer.close()
    return took_ms


def _consumer(bootstrap: str, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "log_level": CRITICAL,
            # A reader that starts again must not wait for the answer to what it asked at the end.
            "fetch.wait.max.ms": 10,
            **NO_PAUSES,
        }
    )
