"""What a port of metrics says, and what queries in PromQL ask of it."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

_SELECTOR = re.compile(r"\b((?:woodpecker|process)_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_BY = re.compile(r"\bby \(([^)]*)\)")
_LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
GIVEN_BY_PROMETHEUS = {"instance", "job"}

Samples = dict[str, list[dict[str, str]]]


class Selector(NamedTuple):
    """Of a query: a name, and what its labels have to match."""

    name: str
    matchers: list[tuple[str, str, str]]


def get(port: int, path: str, timeout_s: float = 20) -> tuple[int, str]:
    try:
        url = f"http://127.0.0.1:{port}{path}"
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def values_in(text: str, name: str, label: str) -> dict[str, float]:
    """Of one metric, by one of its labels."""
    return {
        sample.labels[label]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def samples_in(text: str) -> Samples:
    """Labels of every sample, by name."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def selectors_in(query: str) -> Iterator[Selector]:
    without_by = _BY.sub("", query)
    for name, inner in _SELECTOR.findall(without_by):
        yield Selector(name, _MATCHER.findall(inner))


def labels_in(query: str, legend: str = "") -> set[str]:
    """Labels that a query groups by, and its legend shows."""
    grouped = {label.strip() for labels in _BY.findall(query) for label in labels.split(",")}
    return (grouped | set(_LEGEND.findall(legend))) - GIVEN_BY_PROMETHEUS


def matching(selector: Selector, samples: Samples) -> list[dict[str, str]]:
    return [
        labels
        for labels in samples.get(selector.name, [])
        if all(
            label in GIVEN_BY_PROMETHEUS or _matches(labels.get(label, ""), operator, value)
            for label, operator, value in selector.matchers
        )
    ]


def _matches(value: str, operator: str, wanted: str) -> bool:
    is_same = re.fullmatch(wanted, value) is not None if "~" in operator else value == wanted
    return is_same != operator.startswith("!")
