"""A consumer that lags behind many blocks of one record each, and what others notice of it."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from compat_tests.bench import load
from compat_tests.bench.broker import gateway
from compat_tests.bench.report import heading, line
from compat_tests.bench.target import Target, measured
from compat_tests.bench.watched import Pauses, read_pauses

BLOCKS_COUNT = 20_000
ACKS_COUNT = 3_000
RECORD_BYTES = 100
OLD_TOPIC, OTHER_TOPIC = "lagging-old", "lagging-other"
# A reader that starts again must not wait for the answer to what it asked at the end.
READER = {"fetch.queue.backoff.ms": 10, "fetch.wait.max.ms": 10}


def bench_lagging(name: str, target: Target, blocks_count: int) -> None:
    """Writes the blocks, restarts the gateway, and reads them while another client produces."""
    acks_count = min(ACKS_COUNT, blocks_count)
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "pauses"
        flags = {"environ": target.environ, "notes": notes}
        with gateway(f"{target.data}-lagging", target.mode, *target.flags, **flags) as broker:
            written = measured(
                load.acked_latency, broker.bootstrap, OLD_TOPIC, RECORD_BYTES, blocks_count
            )
        heading(f"{name}: {blocks_count:,} blocks of one record, written one after the other")
        _report("ack", written, read_pauses(notes))
        with gateway(f"{target.data}-lagging", target.mode, *target.flags, **flags) as broker:
            acks = (broker.bootstrap, OTHER_TOPIC, RECORD_BYTES, acks_count)
            alone = measured(load.acked_latency, *acks)
            with _Busy():
                crowded = measured(load.acked_latency, *acks)
            with _Lagging(broker.bootstrap, blocks_count) as lagging:
                beside = measured(load.acked_latency, *acks)
            first_ms, rates = lagging.result()
        heading(f"{name}: one consumer of these blocks after a restart, and the acks of another")
        line("ack alone", f"p50 {alone.p50_ms:.2f} ms", f"p99 {alone.p99_ms:.2f} ms")
        line(
            "ack beside busy strangers",
            f"p50 {crowded.p50_ms:.2f} ms",
            f"p99 {crowded.p99_ms:.2f} ms",
        )
        line("  p99, times that alone", f"{crowded.p99_ms / alone.p99_ms:.2f}")
        _report("ack beside the reader", beside, read_pauses(notes))
        line("  p99, times that alone", f"{beside.p99_ms / alone.p99_ms:.2f}")
        line("first record", f"{first_ms:.1f} ms")
        line("reader", f"{rates[0]:,.0f} rec/s", f"again: {max(rates):,.0f} rec/s at most")


def _report(what: str, acks: load.Latency, pauses: Pauses) -> None:
    line(
        what,
        f"p50 {acks.p50_ms:.2f} ms",
        f"p99 {acks.p99_ms:.2f} ms",
        f"loop p99 {pauses.late_p99_ms:.1f} ms",
        f"at most {pauses.late_max_ms:.1f} ms",
        f"gc at most {pauses.collection_max_ms:.1f} ms",
    )


class _Busy:
    """As many processes as a librdkafka reader has busy threads, which never ask the gateway for
    anything: on two processors they alone make others wait, and what is more is the gateway's.
    """

    _COUNT = 2

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._processes = [
            context.Process(target=_spin, args=(self._stop,)) for _ in range(self._COUNT)
        ]

    def __enter__(self) -> None:
        for process in self._processes:
            process.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for process in self._processes:
            process.join()


class _Lagging:
    """A reader in a process of its own: from the beginning to the end, until this is left."""

    def __init__(self, bootstrap: str, records_count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Manager().Event()
        self._pool = ProcessPoolExecutor(1, mp_context=context)
        self._pool.submit(os.getpid).result()  # the process is up
        self._work = self._pool.submit(_read, bootstrap, records_count, self._stop)

    def __enter__(self) -> _Lagging:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()

    def result(self) -> tuple[float, list[float]]:
        """Milliseconds to the first record, and the records a second of every round."""
        return self._work.result()


def _spin(stop: Event) -> None:
    while not stop.is_set():
        for _ in range(10_000):
            pass


def _read(bootstrap: str, records_count: int, stop: threading.Event) -> tuple[float, list[float]]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "lagging",
            "enable.auto.commit": False,
            **READER,
        }
    )
    consumer.list_topics(OLD_TOPIC, timeout=10)
    first_ms = 0.0
    rates: list[float] = []
    while not rates or not stop.is_set():
        begun_s = time.perf_counter()
        consumer.assign([TopicPartition(OLD_TOPIC, 0, OFFSET_BEGINNING)])
        got_count = 0
        while got_count < records_count:
            for message in consumer.consume(1_000 if first_ms else 1, timeout=0.2):
                if message.error():
                    raise RuntimeError(str(message.error()))
                got_count += 1
                if not first_ms:
                    first_ms = (time.perf_counter() - begun_s) * 1000
            if time.perf_counter() - begun_s > load.DELIVERY_TIMEOUT_S:
                raise RuntimeError(f"{got_count} of {records_count} records came")
        rates.append(got_count / (time.perf_counter() - begun_s))
    consumer.close()
    return first_ms, rates
