"""Produce requests from C: small ones, at a steady rate, in large batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from compat_tests.bench import device
from compat_tests.bench.device import MB
from compat_tests.bench.isolated import isolated
from compat_tests.bench.rounds import Measure, Row
from compat_tests.bench.sender import Load, send
from compat_tests.bench.sides import Side, Sides

RECORD = [b"x" * 100]
SMALL = Load(RECORD, partitions=2, connections=64)
LONE = Load(RECORD)
STEADY = Load(RECORD, seconds=5.0, rate=1_000)
BATCHES_16K = Load([b"x" * 100] * 150, connections=4, in_flight=2)
BATCHES_1M = Load([b"x" * 100_000] * 10, connections=4, in_flight=2, seconds=1.5)
PACED_S = 0.02
PACED = Load(RECORD, rate=1 / PACED_S)
PACED_BYTES = 300  # about what the object of one such record has
PUTS_IN_FLIGHT = 8


def sent(side: Side, load: Load, scale: float) -> dict[str, float]:
    """One measurement."""
    load = load._replace(seconds=load.seconds * scale)
    return send(side, load).figures(load)


@contextmanager
def of_all(load: Load, *names: str, sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """The same load on each."""
    found = sides.named(*names)
    yield {name: partial(sent, side, load, sides.scale) for name, side in found.items()}


def row(title: str, metrics: tuple[str, ...], load: Load, *names: str) -> Row:
    return Row(title, metrics, lambda sides: of_all(load, *names, sides=sides))


@contextmanager
def _beside_device(
    sides: Sides, load: Load, write: Callable[[int, float], dict[str, float]]
) -> Iterator[Mapping[str, Measure]]:
    found = sides.named("file", "kafka", "kafka-flush")
    with device.prewritten(sides.folder, device.DIRECT_FILE_BYTES) as file:
        yield {
            "device": partial(write, file, load.seconds * sides.scale),
            **{name: partial(sent, side, load, sides.scale) for name, side in found.items()},
        }


lone = partial(_beside_device, load=LONE, write=device.small_writes)
"""Beside a durable write of the device."""
large = partial(_beside_device, load=BATCHES_1M, write=device.direct_writes)
"""Beside large writes of the device."""


@contextmanager
def objects(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """Beside plain PUTs of that size."""
    seconds = BATCHES_1M.seconds * sides.scale
    puts = partial(isolated, device.puts, sides.s3_environ(), MB, seconds, PUTS_IN_FLIGHT)
    load = BATCHES_1M._replace(connections=PUTS_IN_FLIGHT)
    yield {"puts": puts, "object": partial(sent, sides.get("object"), load, sides.scale)}


@contextmanager
def paced(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """Beside one PUT as often."""
    seconds = PACED.seconds * sides.scale
    puts = partial(isolated, device.puts, sides.s3_environ(), PACED_BYTES, seconds, 1, PACED_S)
    yield {"one PUT": puts, "object": partial(sent, sides.get("object"), PACED, sides.scale)}


SMALL_METRICS = ("requests_per_s", "requests_per_cpu_s", "cpu_us_per_request", "p50_ms", "p99_ms")
BYTES_METRICS = ("mb_per_s", "cpu_s_per_gb", "p50_ms", "p99_ms")
WAITS = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")

ROWS: Mapping[str, Row] = {
    "small": row(
        "64 connections, one in flight on each, a record of 100 B a request",
        SMALL_METRICS,
        SMALL,
        *("kafka", "kafka-flush", "file", "file-2", "file-pure", "object", "object-2"),
    ),
    "lone": Row(
        "1 connection, 1 in flight, a record of 100 B, beside a durable 4 KiB write", WAITS, lone
    ),
    "open-loop": row(
        "1,000 requests a second of a record of 100 B, sent when due",
        (*WAITS, "cpu_us_per_request"),
        STEADY,
        *("kafka", "kafka-flush", "file", "object"),
    ),
    "batches-16k": row(
        "batches of 150 records of 100 B, 4 connections, 2 in flight on each",
        BYTES_METRICS,
        BATCHES_16K,
        *("kafka", "kafka-flush", "file", "file-pure", "object"),
    ),
    "batches-1m": Row(
        "batches of 1 MB, 4 connections, 2 in flight, beside 4 writes of 4 MiB in flight",
        BYTES_METRICS,
        large,
    ),
    "objects-1m": Row(
        "batches of 1 MB, 8 connections, 2 in flight, beside 8 PUTs in flight",
        BYTES_METRICS,
        objects,
    ),
    "paced": Row(
        "a record of 100 B every 20 ms in a bucket, beside one PUT every 20 ms", WAITS, paced
    ),
}
