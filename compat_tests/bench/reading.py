"""Catch-up reads beside plain reads of the same objects; the tail's latency during a backfill; how
long a start takes behind many blocks."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import struct
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, Producer, TopicPartition

from compat_tests.bench import load
from compat_tests.bench.broker import gateway
from compat_tests.bench.raw import Raw, summary
from compat_tests.bench.report import heading, line
from compat_tests.bench.target import BUCKET, MB, BucketTarget, Target, measured

GETS_IN_FLIGHT_COUNT = 8
OLD_TOPIC, TAIL_TOPIC = "reading-old", "reading-tail"
RECORD_BYTES = 100_000
TAIL_PER_S = 100
TAIL_S = 10.0
EAGER = {"fetch.queue.backoff.ms": 10}
START_BLOCKS = (10, 1_000, 10_000)


def bench_reading(name: str, target: Target, total_bytes: int) -> None:
    """Old data through a gateway that has just started, so that none of it is in memory."""
    flags = {"environ": target.environ}
    count = total_bytes // RECORD_BYTES
    with gateway(target.data, target.mode, *target.flags, **flags) as broker:
        _fill(broker.bootstrap, count)
    heading(f"{name}: catch-up read of {total_bytes / 1e6:.0f} MB after a restart")
    rates, raws = [], []
    for _ in range(3):
        with gateway(target.data, target.mode, *target.flags, **flags) as broker:
            rates.append(measured(load.consume, broker.bootstrap, OLD_TOPIC, count, **EAGER))
        raws.append(_raw_reads(target))
    line(
        "plain reads of the same objects", f"{statistics.median(r.mb_per_s for r in raws):.0f} MB/s"
    )
    line("catch-up", f"{statistics.median(r.mb_per_s for r in rates):.0f} MB/s")
    ratios = [rate.mb_per_s / raw.mb_per_s for rate, raw in zip(rates, raws, strict=True)]
    line(
        "  of plain reads", f"{statistics.median(ratios):.2f}", " ".join(f"{r:.2f}" for r in ratios)
    )
    bench_tail(name, target, count)


def _fill(bootstrap: str, count: int) -> None:
    settings = {"linger.ms": 20, "batch.size": MB}
    measured(load.produce, bootstrap, OLD_TOPIC, RECORD_BYTES, count, **settings)


def bench_tail(name: str, target: Target, count: int) -> None:
    """The tail's latency with and without a backfill, and beside that of another gateway.

    The other one shares machine and store, but nothing in the process: what the tail loses to it is
    the price of too few cores and a busy store; the rest is what one gateway's readers cost each
    other.
    """
    heading(f"{name}: end-to-end latency of {TAIL_PER_S} records of 1 KB a second")
    flags = {"environ": target.environ}
    with (
        gateway(target.data, target.mode, *target.flags, **flags) as broker,
        gateway(f"{target.data}-other", target.mode, *target.flags, **flags) as other,
    ):
        _fill(other.bootstrap, count)
        alone = measured(tail_latency, broker.bootstrap, TAIL_S)
        beside, rate = _tail_beside(broker.bootstrap, broker.bootstrap)
        beside_other, other_rate = _tail_beside(broker.bootstrap, other.bootstrap)
    for what, got in (
        ("alone", alone),
        (f"during a backfill, {rate:.0f} MB/s", beside),
        (f"during another's, {other_rate:.0f} MB/s", beside_other),
    ):
        line(
            what,
            f"p50 {got.p50_ms:.2f} ms",
            f"p99 {got.p99_ms:.2f} ms",
            f"p999 {got.p999_ms:.2f} ms",
        )
    line("  p99, times that alone", f"{beside.p99_ms / alone.p99_ms:.2f}")
    line("  p99, times that during another's", f"{beside.p99_ms / beside_other.p99_ms:.2f}")


def _tail_beside(bootstrap: str, backfilled: str) -> tuple[load.Latency, float]:
    """The tail's latency at one gateway during a backfill from one, and the backfill's MB/s."""
    with Backfill(backfilled, TAIL_S) as backfill:
        latency = measured(tail_latency, bootstrap, TAIL_S)
        return latency, backfill.result()


def bench_starts(name: str, target: Target) -> None:
    """A start after a kill, behind blocks of one record each."""
    heading(f"{name}: exec to first accepted connection after kill -9, behind N blocks")
    for blocks_count in START_BLOCKS:
        data = f"{target.data}-{blocks_count}"
        with gateway(data, target.mode, *target.flags, environ=target.environ) as broker:
            measured(load.acked_latency, broker.bootstrap, "starts", 100, blocks_count)
            broker.process.kill()
        took_ms = []
        for _ in range(3):
            with gateway(data, target.mode, *target.flags, environ=target.environ) as broker:
                took_ms.append(broker.started_s * 1000)
                broker.process.kill()
        line(f"{blocks_count:,} blocks", f"first {took_ms[0]:.0f} ms", f"then {took_ms[-1]:.0f} ms")


def tail_latency(bootstrap: str, seconds: float) -> load.Latency:
    """From produce() to the record in the hands of a consumer at the end of the log."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    producer.list_topics(TAIL_TOPIC, timeout=10)
    producer.produce(TAIL_TOPIC, bytes(8), partition=0)
    producer.flush(10)
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "tail", "enable.auto.commit": False}
    )
    consumer.list_topics(TAIL_TOPIC, timeout=10)
    consumer.assign([TopicPartition(TAIL_TOPIC, 0, OFFSET_END)])
    consumer.poll(1.0)
    took_ms: list[float] = []
    padding = os.urandom(1_000)
    sent_count = 0
    begun_s = time.perf_counter()
    while len(took_ms) < seconds * TAIL_PER_S:
        elapsed_s = time.perf_counter() - begun_s
        if sent_count < min(elapsed_s, seconds) * TAIL_PER_S:
            stamp = struct.pack("<d", time.perf_counter())
            producer.produce(TAIL_TOPIC, stamp + padding, partition=0)
            sent_count += 1
            producer.poll(0)
        message = consumer.poll(0.001)
        if message is not None and not message.error():
            (sent_s,) = struct.unpack_from("<d", message.value())
            took_ms.append((time.perf_counter() - sent_s) * 1000)
        if elapsed_s > seconds + 30:
            raise RuntimeError(f"{len(took_ms)} of {sent_count} records came")
    consumer.close()
    producer.flush(10)
    return load.latency_of(took_ms)


def read_again_and_again(bootstrap: str, seconds: float) -> float:
    """A reader from the beginning, over and over; returns MB/s."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "backfill",
            "enable.auto.commit": False,
            **EAGER,
        }
    )
    consumer.list_topics(OLD_TOPIC, timeout=10)
    beginning = [TopicPartition(OLD_TOPIC, 0, OFFSET_BEGINNING)]
    consumer.assign(beginning)
    _, end_offset = consumer.get_watermark_offsets(TopicPartition(OLD_TOPIC, 0))
    got_bytes = 0
    begun_s = time.perf_counter()
    while (took_s := time.perf_counter() - begun_s) < seconds:
        for message in consumer.consume(1_000, timeout=0.2):
            if message.error():
                continue
            got_bytes += len(message.value())
            if message.offset() == end_offset - 1:
                consumer.assign(beginning)
    consumer.close()
    return got_bytes / took_s / 1e6


class Backfill:
    """A reader in a process of its own, that has begun when this is entered."""

    def __init__(self, bootstrap: str, seconds: float) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        self._pool.submit(os.getpid).result()  # the process is up
        self._work = self._pool.submit(read_again_and_again, bootstrap, seconds + 3)

    def __enter__(self) -> Any:
        return self._work

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def _raw_reads(target: Target) -> Raw:
    if isinstance(target, BucketTarget):
        return measured(plain_gets, dict(target.environ))
    return measured(plain_file_reads, target.data)


def plain_gets(environ: Mapping[str, str]) -> Raw:
    """GETs of every block in the bucket by the library the gateway uses."""
    os.environ.update(environ)
    return asyncio.run(_plain_gets())


async def _plain_gets() -> Raw:
    import obstore
    from obstore.store import S3Store

    store = S3Store(BUCKET, prefix="data", client_options={"allow_http": True})
    rows = [
        row for row in await obstore.list(store, "logs").collect_async() if row["size"] > MB // 2
    ]
    took_s: list[float] = []
    total_bytes = 0
    left = iter(rows)

    async def worker() -> None:
        nonlocal total_bytes
        for row in left:
            begun = time.perf_counter()
            body = await (await obstore.get_async(store, row["path"])).bytes_async()
            took_s.append(time.perf_counter() - begun)
            total_bytes += len(body)

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(GETS_IN_FLIGHT_COUNT)))
    elapsed_s = time.perf_counter() - begun
    return summary(took_s, total_bytes // max(len(took_s), 1), elapsed_s)


def plain_file_reads(folder: str) -> Raw:
    """Every large file below the folder, in pieces of 1 MB."""
    took_s = []
    begun = time.perf_counter()
    for path in Path(folder).rglob("*"):
        if path.is_file() and path.stat().st_size > MB // 2:
            with path.open("rb", buffering=0) as file:
                while True:
                    at = time.perf_counter()
                    if len(file.read(MB)) < MB:
                        break
                    took_s.append(time.perf_counter() - at)
    return summary(took_s, MB, time.perf_counter() - begun)
