"""Consumers from the beginning of a topic: what was just written, and more than caches hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from compat_tests.bench import clients
from compat_tests.bench.rounds import Measure, Row
from compat_tests.bench.sender import Load, fill
from compat_tests.bench.sides import Side, Sides

METRICS = ("mb_per_s", "cpu_s_per_gb", "client_cpu_s_per_gb")
SIDES = ("kafka", "file", "object")
LIBRARIES = {"librdkafka": clients.librdkafka_consume, "java": clients.java_consume}


class Reading:
    """Of data that are written once, before the rounds; both libraries."""

    def __init__(self, values: list[bytes], total_bytes: int, partitions: int = 1) -> None:
        self.load = Load(values, partitions, connections=4, in_flight=4)
        self.total_bytes = total_bytes

    @contextmanager
    def contenders(self, client: clients.Client, sides: Sides) -> Iterator[Mapping[str, Measure]]:
        requests = max(4, int(self.total_bytes * sides.scale) // self.load.batch_bytes // 4 * 4)
        found = sides.named(*SIDES)
        with ExitStack() as stack:
            yield {
                name: partial(
                    self._measure, client, side, self._filled(stack, side, requests), requests
                )
                for name, side in found.items()
            }

    def _filled(self, stack: ExitStack, side: Side, requests: int) -> str:
        topic = stack.enter_context(side.topic(self.load.partitions))
        fill(side, self.load._replace(requests=requests), topic)
        return topic

    def _measure(
        self, client: clients.Client, side: Side, topic: str, requests: int
    ) -> dict[str, float]:
        count = requests * len(self.load.values)
        more = (self.load.partitions,) if client is clients.librdkafka_consume else ()
        return clients.measured(side, client, topic, len(self.load.values[0]), count, *more)


READINGS: Mapping[str, tuple[str, Reading]] = {
    "100b": ("100 B in batches of 16 KB", Reading([b"x" * 100] * 150, 300_000_000)),
    "1k": ("1,000 B in batches of 16 KB", Reading([b"x" * 1_000] * 16, 1_000_000_000)),
    "1m": ("1 MB, a batch each", Reading([b"x" * 999_000], 1_500_000_000)),
    "small": ("100 B, a batch each", Reading([b"x" * 100], 10_000_000)),
    "tail": ("1,000 B just written", Reading([b"x" * 1_000] * 16, 48_000_000)),
    "100p": (
        "1,000 B just written to 100 partitions",
        Reading([b"x" * 1_000] * 16, 48_000_000, partitions=100),
    ),
}
ROWS: Mapping[str, Row] = {
    f"consume-{name}-{library}": Row(
        f"{library} consumes records of {title}", METRICS, partial(reading.contenders, client)
    )
    for name, (title, reading) in READINGS.items()
    for library, client in LIBRARIES.items()
}
