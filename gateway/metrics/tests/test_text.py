"""The text is what Prometheus's own parser reads, and is made in pieces."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.fairness.slices import Slices
from gateway.metrics.collecting import Sample
from gateway.metrics.table import METRICS
from gateway.metrics.text import text_of
from wal_core import Histogram


def histogram(*values: float) -> Histogram:
    made = Histogram((0.5, 1.0))
    for value in values:
        made.add(value)
    return made


async def test_a_histogram_is_cumulative_and_a_counter_a_counter() -> None:
    samples = [
        Sample("woodpecker_request_seconds", histogram(0.25, 0.75, 7.0), ("Produce",)),
        Sample("woodpecker_request_errors_total", 3, ("Produce", "UNKNOWN_SERVER_ERROR")),
        Sample("woodpecker_ready", True),
    ]
    text = b"".join([piece async for piece in text_of(samples)]).decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    seconds = found["woodpecker_request_seconds"]
    assert seconds.type == "histogram"
    assert [(s.labels.get("le"), s.value) for s in seconds.samples] == [
        ("0.5", 1),
        ("1.0", 2),
        ("+Inf", 3),
        (None, 3),
        (None, 8.0),
    ]
    errors = found["woodpecker_request_errors"]
    assert (errors.type, errors.samples[0].value) == ("counter", 3)
    assert found["woodpecker_ready"].samples[0].value == 1


async def test_others_have_the_loop_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slices, "is_over", True)
    turns_count = 0

    async def another() -> None:
        nonlocal turns_count
        while True:
            turns_count += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(another())
    pieces = [piece async for piece in text_of([])]
    task.cancel()
    assert len(pieces) == len(METRICS) + 1
    assert turns_count >= len(METRICS)
