"""A store that takes its time: ticks as a Milvus sends them, and readers scattered over a log."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from compat_tests.bench import device
from compat_tests.bench.isolated import isolated
from compat_tests.bench.readers import read_from
from compat_tests.bench.rounds import Measure, Row
from compat_tests.bench.sender import Load, fill
from compat_tests.bench.sides import Side, Sides
from compat_tests.milvus.test_workload import PRODUCER_24, PRODUCER_26, SCANNER
from compat_tests.proxies.rules import Fault, Rule
from compat_tests.proxies.s3 import S3Proxy
from compat_tests.support.client import LIBRARIES
from compat_tests.support.deadline import now_s, seeded

DELAY_S = (0.03, 0.04)
TICKS_S = 15.0
TOPICS_COUNT = 16
TICK_BLOCK_BYTES = 2_000
CLIENTS = (
    ("confluent-kafka", "as Milvus 2.4", PRODUCER_24),
    ("librdkafka-1.9", "as Milvus 2.4", PRODUCER_24),
    ("librdkafka-1.9", "as in docs/milvus.md", PRODUCER_26),
)
READERS_COUNT = 60
LOG_BYTES = 200_000_000
VALUES = [b"x" * 10_000] * 10


@contextmanager
def ticks(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """Rounds of one small record to each of sixteen topics, beside single PUTs of such blocks."""
    direct = sides.s3_environ()
    endpoint = direct["AWS_ENDPOINT_URL"]
    seconds = TICKS_S * sides.scale
    with S3Proxy(endpoint) as proxy:
        proxy.rules = [Rule(Fault.LATENCY, method="PUT", delay_s=DELAY_S)]
        environ = {**direct, "AWS_ENDPOINT_URL": proxy.endpoint}
        with sides.serve("object-distant", environ=environ) as running:
            side = Side("object-distant", running)
            puts = partial(isolated, device.puts, environ, TICK_BLOCK_BYTES, seconds, 1)
            found: dict[str, Measure] = {"one PUT": puts}
            for library, how, settings in CLIENTS:
                found[f"{library}, {how}"] = partial(ticked, library, side, settings, seconds)
            yield found


def ticked(
    library: str, side: Side, settings: Mapping[str, object], seconds: float
) -> dict[str, float]:
    arguments = {
        "bootstrap": side.bootstrap,
        "topics": side.new_topics(TOPICS_COUNT),
        "producer": dict(settings),
        "consumer": SCANNER,
        "tick_ms": 200,
        "writers_count": 0,
        "insert_bytes": 0,
        "readers": 1,
        "seconds": max(1.0, seconds),
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
    seen = json.loads(last)
    if seen["errors"]:
        raise RuntimeError(str(seen["errors"]))
    return {"p50_ms": seen["round_p50_ms"], "p99_ms": seen["round_p99_ms"]}


@contextmanager
def scattered(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """What is read from the store, when many readers are scattered over one log after a restart."""
    requests = max(10, int(LOG_BYTES * sides.scale) // (len(VALUES) * len(VALUES[0])))
    with sides.serve("folder-scattered") as running:
        side = Side("scattered", running)
        topic = side.new_topic()
        fill(side, Load(VALUES, in_flight=4, requests=requests), topic)
    yield {"folder": partial(_scattered, sides, topic, requests * len(VALUES))}


def _scattered(sides: Sides, topic: str, count: int) -> dict[str, float]:
    starts = [seeded(n).randrange(count) for n in range(READERS_COUNT)]
    with sides.serve("folder-scattered") as running:
        before_bytes = running.process.io_counters().read_chars
        begun_s = now_s()
        readers = [
            threading.Thread(target=read_from, args=(running.bootstrap, topic, start, count))
            for start in starts
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        took_s = now_s() - begun_s
        read_bytes = running.process.io_counters().read_chars - before_bytes
    value_bytes = len(VALUES[0])
    delivered = sum(count - start for start in starts) * value_bytes
    return {"mb_per_s": delivered / 1e6 / took_s, "times_the_log": read_bytes / count / value_bytes}


ROWS: Mapping[str, Row] = {
    "ticks": Row(
        f"a small record to each of {TOPICS_COUNT} topics, a bucket of 30 to 40 ms",
        ("p50_ms", "p99_ms"),
        ticks,
    ),
    "scattered": Row(
        f"{READERS_COUNT} readers scattered over a log of 200 MB after a restart, object mode",
        ("mb_per_s", "times_the_log"),
        scattered,
    ),
}
