"""The store goes away under load and comes back: nobody notices but by the clock."""

import os
import signal

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)

from compat_tests.support.deadline import pause, wait_until
from compat_tests.support.gateway import Gateway
from wal_core.testing.s3_server import S3Server

OUTAGE_S = 4.0
FLAGS = ("--store-timeout-ms", "1s")
BATCH_COUNT = 200


@pytest.mark.slow
def test_a_store_that_hangs_for_a_while_costs_time_and_nothing_else() -> None:
    acked: list[tuple[int, bytes]] = []
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)
        else:
            acked.append((message.offset(), message.value()))

    with S3Server() as server:
        server.make_bucket("bucket")
        place = "s3://bucket/outage"
        with Gateway(place, mode="s3", options=FLAGS, environ=server.environ()) as gateway:
            producer = Producer(
                {
                    "bootstrap.servers": gateway.bootstrap,
                    "enable.idempotence": True,
                    # Shorter than the outage: the client gives up waiting, and sends again.
                    "request.timeout.ms": 2_000,
                }
            )

            def send() -> None:
                for _ in range(BATCH_COUNT):
                    producer.produce("t", b"%d" % send.count, on_delivery=delivered)
                    send.count += 1
                producer.poll(0.01)

            send.count = 0  # type: ignore[attr-defined]
            send()
            assert producer.flush(30) == 0
            before_count = len(acked)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                for _ in range(int(OUTAGE_S / 0.2)):
                    send()
                    pause(0.2)
                assert len(acked) == before_count  # nothing is acknowledged that is not stored
            finally:
                os.kill(server.pid, signal.SIGCONT)
            assert producer.flush(60) == 0
            send()
            assert producer.flush(30) == 0
            assert failed == []
            assert sorted(acked) == [(n, b"%d" % n) for n in range(len(acked))]
            assert read_all(gateway.bootstrap, len(acked)) == sorted(acked)
            wait_until(
                lambda: any("the store took it" in line for line in gateway.log),
                timeout_s=5,
                what="a word in the log that the store is back",
            )
            assert gateway.stop() == 0
            assert gateway.tracebacks_count == 0


def read_all(bootstrap: str, count: int) -> list[tuple[int, bytes]]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    consumer.list_topics("t", timeout=10)
    consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
    found: list[tuple[int, bytes]] = []

    def read() -> bool:
        rows = consumer.consume(count - len(found), timeout=0.5)
        found.extend((message.offset(), message.value()) for message in rows)
        return len(found) >= count

    wait_until(read, timeout_s=30, what=f"{count} records")
    consumer.close()
    return found
