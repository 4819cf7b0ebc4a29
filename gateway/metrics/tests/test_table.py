"""The table of metrics is sound, and the page about monitoring lists the same."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.metrics.table import METRICS

PAGE = Path(__file__).parents[3] / "docs" / "monitoring.md"


def test_the_page_lists_every_metric_as_it_is() -> None:
    rows = re.findall(
        r"^\| `(woodpecker_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M
    )
    said = [(name, kind, re.findall(r"`(\w+)`", labels), text) for name, kind, labels, text in rows]
    assert said == [(m.name, m.kind, list(m.labels), m.help) for m in METRICS.values()]


def test_names_say_units_and_kinds() -> None:
    for metric in METRICS.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        if metric.kind == "histogram":
            assert metric.name.endswith(("_seconds", "_bytes")), metric


def test_no_label_grows_with_what_clients_do() -> None:
    labels = {label for metric in METRICS.values() for label in metric.labels}
    assert labels <= {"api", "code", "log", "kind", "budget", "cache", "generation", "version"}
