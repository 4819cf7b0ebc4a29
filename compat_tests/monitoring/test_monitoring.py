"""A real gateway under a little load: its metrics, its probes, and every query of the dashboard and
the alerts against them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.monitoring.scrape import (
    Samples,
    Selector,
    get,
    labels_in,
    matching,
    samples_in,
    selectors_in,
)
from compat_tests.repo.files import ROOT
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, fetch, produce
from gateway.metrics.table import METRICS
from wal_core.testing.ports import free_ports

DASHBOARD = json.loads((ROOT / "docker" / "grafana" / "woodpecker-gateway.json").read_text())
ALERTS = (ROOT / "docker" / "grafana" / "alerts.yaml").read_text().splitlines()
PANELS = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
]
RULES = [line.partition("expr: ")[2] for line in ALERTS if "expr: " in line]


@pytest.fixture(scope="module", params=["file", "object"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of the metrics of a gateway that has served a little of everything."""
    (chosen,) = free_ports(1)
    folder = tmp_path_factory.mktemp("monitored")
    options = ("--metrics-listen", f"127.0.0.1:{chosen}")
    with Gateway(str(folder), mode=request.param, options=options).start() as gateway:
        wire = Connection(gateway.bootstrap)
        create_topic(wire, "orders")
        produce(wire, "orders", build([b"a" * 1_000]))
        fetch(wire, "orders", 0)
        produce(wire, "missing", build([b"a"]))
        wire.close()
        yield chosen


@pytest.fixture(scope="module")
def samples(port: int) -> Samples:
    status, text = get(port, "/metrics")
    assert status == 200
    return samples_in(text)


def test_it_shows_the_table_and_the_process(samples: Samples) -> None:
    names = set(samples)
    for metric in METRICS.values():
        if metric.name.startswith("woodpecker_logstore_"):
            continue  # of a process that is one, by tests of its own page
        wanted = f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name
        assert wanted in names
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= names


def test_probes_are_answered(port: int) -> None:
    assert get(port, "/livez") == (200, "ok\n")
    assert get(port, "/readyz") == (200, "ok\n")
    assert get(port, "/elsewhere")[0] == 404


@pytest.mark.parametrize(("title", "query", "legend"), PANELS)
def test_every_panel_finds_what_it_asks_for(
    title: str, query: str, legend: str, samples: Samples
) -> None:
    _check(query.replace("$__rate_interval", "1m"), legend, samples)


@pytest.mark.parametrize("query", RULES)
def test_every_alert_asks_for_what_there_is(query: str, samples: Samples) -> None:
    _check(query, "", samples)


def _check(query: str, legend: str, samples: Samples) -> None:
    selectors = [
        # What did not go wrong here: the codes of servers' errors.
        Selector(name, [m for m in matchers if m[0] != "code"])
        for name, matchers in selectors_in(query)
    ]
    assert selectors
    for selector in selectors:
        found = matching(selector, samples)
        assert found, f"nothing matches {selector}"
        is_whole = len(selectors) > 1 and not selector.matchers
        for label in labels_in(query, "" if is_whole else legend):
            assert all(label in labels for labels in found), (selector, label)


def test_a_query_for_what_is_not_there_is_noticed(samples: Samples) -> None:
    for query in (
        "sum by (api) (rate(woodpecker_request_second_count[1m]))",
        "sum by (apis) (rate(woodpecker_request_seconds_count[1m]))",
        'sum by (api) (rate(woodpecker_request_seconds_count{api="Nothing"}[1m]))',
    ):
        with pytest.raises(AssertionError):
            _check(query, "", samples)


def test_the_files_that_the_page_names_are_there() -> None:
    for name in ("docker/grafana/woodpecker-gateway.json", "docker/grafana/alerts.yaml"):
        assert Path(ROOT / name).is_file()
        assert name in (ROOT / "docs" / "monitoring.md").read_text()
