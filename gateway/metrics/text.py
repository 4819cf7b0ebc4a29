"""Samples as the text that Prometheus reads, made in pieces: it can be a thousand lines.

The only module that loads prometheus_client, which takes a tenth of a second: the server loads it
before it serves, and only where metrics are wanted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import PROCESS_COLLECTOR, core, generate_latest

from gateway.fairness.slices import Slices
from gateway.metrics.table import METRICS, Metric
from wal_core import Histogram

if TYPE_CHECKING:
    from gateway.metrics.table import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _One:
    """A registry of one family or collector, as the library's formatter asks of it."""

    def __init__(self, *families: Any) -> None:
        self._families = families

    def collect(self) -> Iterable[Any]:
        return self._families


async def text_of(samples: Iterable[Sample]) -> AsyncIterator[bytes]:
    """In the order of the table; then what the library knows of the process."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    slices = Slices()
    for name, metric in METRICS.items():
        yield generate_latest(_One(_family(metric, by_name.get(name, []))))
        if slices.is_over:
            await slices.pause()
    yield generate_latest(_One(*PROCESS_COLLECTOR.collect()))


def _family(metric: Metric, samples: Iterable[Sample]) -> Any:
    kind: Any = {
        "counter": core.CounterMetricFamily,
        "gauge": core.GaugeMetricFamily,
        "histogram": core.HistogramMetricFamily,
    }[metric.kind]
    family = kind(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        value = sample.value
        if isinstance(value, Histogram):
            family.add_metric(sample.labels, _buckets(value), value.total)
        else:
            family.add_metric(sample.labels, float(value))
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Each with all below it."""
    rows: list[tuple[str, float]] = []
    count = 0
    for bound, more in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        count += more
        rows.append((str(bound), count))
    return rows
