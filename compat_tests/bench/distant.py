"""A store that takes its time: ticks as a Milvus sends them, and readers scattered over a log."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from compat_tests.bench import load
from compat_tests.bench.broker import gateway
from compat_tests.bench.report import heading, line
from compat_tests.bench.target import BUCKET, MB, BucketTarget, FolderTarget
from compat_tests.milvus.test_workload import PRODUCER_24, PRODUCER_26, SCANNER
from compat_tests.proxies.rules import Fault, Rule
from compat_tests.proxies.s3 import S3Proxy
from compat_tests.support.client import LIBRARIES
from compat_tests.support.deadline import now_s, seeded
from wal_core.testing.s3_server import S3Server

DELAY_S = (0.03, 0.04)
TICKS_S = 15.0
TOPICS_COUNT = 16
PUTS_COUNT = 100
TICK_BLOCK_BYTES = 2_000
CLIENTS = (
    ("librdkafka-1.9", "as Milvus 2.4", PRODUCER_24),
    ("librdkafka-1.9", "as docs/milvus.md", PRODUCER_26),
    ("confluent-kafka", "as Milvus 2.4", PRODUCER_24),
)
READERS_COUNT = 60
LOG_BYTES = 200 * MB
VALUE_BYTES = 10_000


def bench_ticks() -> None:
    """Rounds of one small record to each of sixteen topics, beside single PUTs of such blocks."""
    heading(f"ticks to {TOPICS_COUNT} topics, a store of 30 to 40 ms (aim: p50 at most 1.5 PUTs)")
    with S3Server() as server, S3Proxy(server.endpoint) as proxy:
        server.make_bucket(BUCKET)
        proxy.rules = [Rule(Fault.LATENCY, method="PUT", delay_s=DELAY_S)]
        ways = {server.endpoint: proxy.endpoint}
        target = BucketTarget({k: ways.get(v, v) for k, v in server.environ().items()})
        with gateway(target.data, target.mode, environ=target.environ) as broker:
            for library, how, settings in CLIENTS:
                put = target.one(TICK_BLOCK_BYTES, PUTS_COUNT)
                seen = _ticks(library, broker.bootstrap, settings, how)
                line(
                    f"{library}, {how}",
                    f"p50 {seen['round_p50_ms']:.1f} ms",
                    f"p99 {seen['round_p99_ms']:.1f} ms",
                    f"one PUT {put.p50_ms:.1f} ms",
                    f"{seen['round_p50_ms'] / put.p50_ms:.2f} PUTs",
                )


def _ticks(
    library: str, bootstrap: str, settings: Mapping[str, object], how: str
) -> dict[str, float]:
    arguments = {
        "bootstrap": bootstrap,
        "topics": [f"{library}-{how.replace('/', '-').split()[-1]}-{n}" for n in range(16)],
        "producer": dict(settings),
        "consumer": SCANNER,
        "tick_ms": 200,
        "writers_count": 0,
        "insert_bytes": 0,
        "readers": 1,
        "seconds": TICKS_S,
    }
    with subprocess.Popen(
        [*LIBRARIES[library].other_script("milvus_stack.py"), json.dumps(arguments)],
        stdin=subprocess.PIPE,  # it stays open: a line or the end of it would stop the load
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        *_, last = process.stdout
    seen: dict[str, float] = json.loads(last)
    if seen["errors"]:
        raise RuntimeError(str(seen["errors"]))
    return seen


def bench_scattered() -> None:
    """What is read from the store, when many readers are scattered over one log after a restart."""
    heading(f"{READERS_COUNT} readers scattered over {LOG_BYTES // MB} MB, object mode")
    count = LOG_BYTES // VALUE_BYTES
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        target = FolderTarget("object", Path(folder))
        with gateway(target.data, target.mode) as broker:
            load.produce(broker.bootstrap, "scattered", VALUE_BYTES, count)
        with gateway(target.data, target.mode) as broker:
            before_bytes = broker.process.io_counters().read_chars
            begun_s = now_s()
            starts = [seeded(n).randrange(count) for n in range(READERS_COUNT)]
            readers = [
                threading.Thread(target=_read, args=(broker.bootstrap, start, count))
                for start in starts
            ]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            took_s = now_s() - begun_s
            read_bytes = broker.process.io_counters().read_chars - before_bytes
    delivered_bytes = sum(count - start for start in starts) * VALUE_BYTES
    line(
        "delivered", f"{delivered_bytes / MB:,.0f} MB", f"{delivered_bytes / MB / took_s:,.0f} MB/s"
    )
    line("read from the store", f"{read_bytes / LOG_BYTES:.2f} times the log (aim 2)")


def _read(bootstrap: str, start: int, end: int) -> None:
    group = f"scattered-{start}-{os.getpid()}"
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition("scattered", 0, start)])
    while start < end:
        for message in consumer.consume(min(500, end - start), 1.0):
            if message.error():
                raise RuntimeError(str(message.error()))
            start += 1
    consumer.close()
