"""Producers of client libraries at their defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from compat_tests.bench import clients
from compat_tests.bench.rounds import Measure, Row
from compat_tests.bench.sides import Side, Sides

METRICS = ("mb_per_s", "cpu_s_per_gb", "client_cpu_s_per_gb")
SIDES = ("kafka", "kafka-flush", "file", "object")


class Work:
    """So many records of one size through one library."""

    def __init__(self, client: clients.Client, value_bytes: int, count: int) -> None:
        self.client, self.value_bytes, self.count = client, value_bytes, count

    def measure(self, side: Side, scale: float) -> dict[str, float]:
        with side.topic() as topic:
            count = max(1_000, int(self.count * scale))
            return clients.measured(side, self.client, topic, self.value_bytes, count)

    @contextmanager
    def contenders(self, sides: Sides) -> Iterator[Mapping[str, Measure]]:
        found = sides.named(*SIDES)
        yield {name: partial(self.measure, side, sides.scale) for name, side in found.items()}


def row(title: str, client: clients.Client, value_bytes: int, count: int) -> Row:
    return Row(title, METRICS, Work(client, value_bytes, count).contenders)


ROWS: Mapping[str, Row] = {
    "java": row("Java's producer, records of 1,000 B", clients.java_produce, 1_000, 600_000),
    "aiokafka": row("aiokafka's producer, 1,000 B", clients.aiokafka_produce, 1_000, 100_000),
    "librdkafka": row("librdkafka's producer, 1,000 B", clients.librdkafka_produce, 1_000, 400_000),
    "librdkafka-100b": row(
        "librdkafka's producer, records of 100 B", clients.librdkafka_produce, 100, 1_000_000
    ),
}
