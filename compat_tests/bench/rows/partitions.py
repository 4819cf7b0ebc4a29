"""What many partitions cost, and how long a broker with ten thousand topics stands still."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from compat_tests.bench.rounds import Measure, Row
from compat_tests.bench.rows.produce import STEADY, sent
from compat_tests.bench.sender import Load, send
from compat_tests.bench.sides import Side, Sides, kafka
from compat_tests.bench.watched import read_pauses

COUNTS = (1, 1_000, 10_000)
TOPICS_COUNT = 10_000
SPREAD = Load([b"x" * 1_000], connections=16, in_flight=4)
METRICS = ("requests_per_s", "cpu_us_per_request", "memory_mb")
_GC_PAUSE = re.compile(r"Pause .* ([\d.]+)ms$", re.MULTILINE)


def _spread(side: Side, topic: str, partitions: int, scale: float) -> dict[str, float]:
    load = SPREAD._replace(partitions=partitions, seconds=SPREAD.seconds * scale)
    figures = send(side, load, topic).figures(load)
    return {**figures, "memory_mb": side.running.memory_mb()}


@contextmanager
def partitions(name: str, sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """The same requests to one partition, and in turn to each of many."""
    side = sides.get(name)
    counts = sorted({sides.sized(count) for count in COUNTS})
    with ExitStack() as stack:
        topics = {count: stack.enter_context(side.topic(count)) for count in counts}
        yield {
            f"{name}, {count:,}": partial(_spread, side, topic, count, sides.scale)
            for count, topic in topics.items()
        }


@contextmanager
def pauses(sides: Sides) -> Iterator[Mapping[str, Measure]]:
    """A process of its own a round: a gateway tells its pauses when it ends. Kafka's are those of
    its collector; its threads have no loop."""
    numbers = itertools.count()
    topics = sides.sized(TOPICS_COUNT)

    def of_gateway() -> dict[str, float]:
        number = next(numbers)
        notes = sides.folder / f"pauses-{number}"
        with sides.serve(f"file-pauses-{number}", notes=notes) as running:
            found = _loaded(Side("file", running), topics, sides.scale)
        told = read_pauses(notes)
        return {**found, "gc_max_ms": told.collection_max_ms, "loop_max_ms": told.late_max_ms}

    def of_kafka() -> dict[str, float]:
        folder = sides.folder / f"pauses-kafka-{next(numbers)}"
        with kafka(folder) as running:
            found = _loaded(Side("kafka", running), topics, sides.scale)
            paused_ms = map(float, _GC_PAUSE.findall((folder / "gc.log").read_text()))
        return {**found, "gc_max_ms": max(paused_ms, default=0.0)}

    yield {"kafka": of_kafka, "file": of_gateway}


def _loaded(side: Side, topics: int, scale: float) -> dict[str, float]:
    side.new_topics(topics)
    figures = sent(side, STEADY, scale)
    return {**figures, "memory_mb": side.running.memory_mb()}


ROWS: Mapping[str, Row] = {
    **{
        f"partitions-{name}": Row(
            f"records of 1,000 B, a request each, to one partition and to many: {name}",
            METRICS,
            partial(partitions, name),
        )
        for name in ("file", "kafka")
    },
    "pauses": Row(
        f"pauses with {TOPICS_COUNT:,} topics, at 1,000 requests a second",
        ("gc_max_ms", "loop_max_ms", "p99_ms", "p999_ms", "max_ms", "memory_mb"),
        pauses,
    ),
}
