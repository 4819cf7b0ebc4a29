"""Start-up, memory, throughput and latency, each beside the limit measured in the same run.

Every load runs in a process of its own, so that a client shares no interpreter with anything else;
on a machine with two cores they still share the cores, which is part of the figure. Throughput is
measured in rounds, the raw limit in each of them, because a virtual machine's disk and memory do
not stand still: the median round counts, all are shown.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compat_tests.bench import distant, lagging, load, reading, startup, workers
from compat_tests.bench.broker import Running, gateway
from compat_tests.bench.raw import Raw
from compat_tests.bench.report import heading, line
from compat_tests.bench.target import (
    BUCKET,
    MB,
    BucketTarget,
    FolderTarget,
    Target,
    measured,
)
from wal_core.testing.s3_server import S3Server

START_RUNS = 3
# value bytes, records, settings: default batching for small records, full 1 MB batches for large.
LOADS: tuple[tuple[str, int, int, dict[str, Any]], ...] = (
    ("100 B records", 100, 1_000_000, {}),
    ("1 KB records", 1_000, 400_000, {}),
    ("1 MB batches", 100_000, 8_000, {"linger.ms": 20, "batch.size": MB}),
)
READING_BYTES = 1_500_000_000
RAW_BLOCK_BYTES = (16_384, 131_072, MB)
# librdkafka stops fetching for a second once 100,000 records wait in its queue. A broker that fills
# the queue faster than Python empties it makes the client idle: this shows what was waiting.
NO_PAUSES = {"fetch.queue.backoff.ms": 10}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where data go (default: a temporary folder)")
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer records")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each throughput")
    parser.add_argument("--reading", action="store_true", help="also old data, tails and starts")
    parser.add_argument(
        "--distant", action="store_true", help="a distant store instead of all else"
    )
    parser.add_argument(
        "--workers", action="store_true", help="two workers beside one instead of all else"
    )
    parser.add_argument(
        "--modes", default="file", help="of file, object (a folder), s3 (a local server)"
    )
    options = parser.parse_args()
    if options.distant:
        distant.bench_ticks()
        distant.bench_scattered()
        return
    for mode in options.modes.split(","):
        if options.workers:
            workers.bench_workers(mode, options.rounds)
            continue
        if mode == "s3":
            with S3Server() as server:
                server.make_bucket(BUCKET)
                bench_target(mode, BucketTarget(server.environ()), options)
            continue
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
        try:
            bench_target(mode, FolderTarget(mode, folder), options)
        finally:
            shutil.rmtree(folder)


def bench_target(name: str, target: Target, options: argparse.Namespace) -> None:
    scale = options.scale * target.scale
    heading(f"{name}: exec to first accepted connection, idle memory")
    kind = target.data if "://" in target.data else "folder"
    startup.starts(target.mode, kind, START_RUNS, target.environ)
    heading(f"{name}: throughput of confluent-kafka, one producer, one partition, acks=all")
    with gateway(target.data, target.mode, *target.flags, environ=target.environ) as broker:
        for load_name, value_bytes, count, settings in LOADS:
            load_of = (load_name, value_bytes, int(count * scale), settings)
            bench_load(broker, target, load_of, options.rounds)
        bench_latency(broker, target, int(2_000 * scale))
        line("memory after the runs", f"{broker.memory_mb():.0f} MB")
    if options.reading:
        reading.bench_reading(name, target, int(READING_BYTES * scale))
        reading.bench_starts(name, target)
        lagging.bench_lagging(name, target, int(lagging.BLOCKS_COUNT * scale))


def bench_load(
    broker: Running, target: Target, of: tuple[str, int, int, dict[str, Any]], rounds: int
) -> None:
    """Raw, produce, consume, in turn; each round in a topic of its own."""
    name, value_bytes, count, settings = of
    produced, consumed, eager, raws = [], [], [], []
    cpus, read_cpus, eager_cpus = [], [], []
    for number in range(rounds):
        topic = f"bench-{value_bytes}-{number}"
        raws.append(target.limit(count * value_bytes).mb_per_s)
        rate, cpu = _with_cpu(broker, load.produce, topic, value_bytes, count, **settings)
        produced.append(rate)
        cpus.append(cpu)
        rate, cpu = _with_cpu(broker, load.consume, topic, count)
        consumed.append(rate)
        read_cpus.append(cpu)
        rate, cpu = _with_cpu(broker, load.consume, topic, count, **NO_PAUSES)
        eager.append(rate)
        eager_cpus.append(cpu)
    line(f"{target.limit_name}, {name}", _median_mb(raws), _all(raws))
    _report(f"produce {name}", produced, cpus)
    ratios = [p.mb_per_s / raw for p, raw in zip(produced, raws, strict=True)]
    line("  of raw", f"{statistics.median(ratios):.2f}", _all(ratios, 2))
    _report(f"consume {name}", consumed, read_cpus)
    _report("  without the client's pauses", eager, eager_cpus)


def _with_cpu(
    broker: Running, work: Callable[..., load.Rate], *args: Any, **settings: Any
) -> tuple[load.Rate, float]:
    """The rate, and the gateway's share of one core meanwhile."""
    before_s = broker.cpu_s()
    rate = measured(work, broker.bootstrap, *args, **settings)
    return rate, (broker.cpu_s() - before_s) / rate.seconds


def _report(what: str, rates: list[load.Rate], cpus: list[float]) -> None:
    per_s = statistics.median(rate.records_per_s for rate in rates)
    mb = [rate.mb_per_s for rate in rates]
    cpu = f"gateway CPU {statistics.median(cpus):.0%}"
    line(what, _median_mb(mb), _all(mb), f"{per_s:,.0f} rec/s", cpu)


def _median_mb(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} MB/s"


def _all(values: list[float], digits: int = 0) -> str:
    return "(" + " ".join(f"{value:.{digits}f}" for value in values) + ")"


def bench_latency(broker: Running, target: Target, count: int) -> None:
    heading(f"acked latency, one record in flight, beside {target.one_name}")
    for value_bytes in (100, 1_000, 100_000):
        raw_bytes = RAW_BLOCK_BYTES[0] if value_bytes < RAW_BLOCK_BYTES[0] else RAW_BLOCK_BYTES[1]
        raw = target.one(raw_bytes, count)
        topic = f"latency-{value_bytes}"
        got = measured(load.acked_latency, broker.bootstrap, topic, value_bytes, count)
        line(f"{value_bytes:,} B record", *_percentiles(got))
        line(f"  raw, {raw_bytes:,} B blocks", *_percentiles(raw))


def _percentiles(of: load.Latency | Raw) -> tuple[str, str, str]:
    return f"p50 {of.p50_ms:.2f} ms", f"p99 {of.p99_ms:.2f} ms", f"p999 {of.p999_ms:.2f} ms"


if __name__ == "__main__":
    main()
