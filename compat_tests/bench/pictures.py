"""Figures as pictures: bars beside Kafka's, and curves of waits."""

from __future__ import annotations

import math
from collections.abc import Mapping

from compat_tests.bench.figures import Result
from compat_tests.bench.report import number
from compat_tests.repo.drawings.svg import SOFT, Svg

INKS = {
    "kafka": "#52606d",
    "kafka-flush": "#b8c4ce",
    "file": "#0b69a3",
    "file-2": "#47a3f3",
    "object": "#d9822b",
}
NAMES = {
    "kafka": "Kafka",
    "kafka-flush": "Kafka, flush each append",
    "file": "file mode",
    "file-2": "file mode, 2 workers",
    "object": "object mode, S3 server",
}
SHARES = {"p50": "p50_ms", "p90": "p90_ms", "p99": "p99_ms", "p99.9": "p999_ms", "max": "max_ms"}
BAR_PX, LEFT_PX, WIDTH_PX = 16, 270, 760


def bars(results: Mapping[str, Result], metric: str, rows: Mapping[str, str], title: str) -> Svg:
    """A group a row: how many times Kafka's each contender is, Kafka at 1."""
    svg = Svg(title, WIDTH_PX)
    svg.label(12, 24, title, bold=True)
    ratios = {
        name: {
            who: spread.median
            for who in INKS
            if who != "kafka" and (spread := results[name].ratio(who, metric, "kafka"))
        }
        for name in rows
        if name in results
    }
    most = max((value for each in ratios.values() for value in each.values()), default=1.0)
    px = (WIDTH_PX - LEFT_PX - 90) / max(most, 1.0)
    top = y = 56.0
    for name, each in ratios.items():
        svg.label(12, y + 12, rows[name])
        for who, value in each.items():
            svg.bar(LEFT_PX, y, value * px, BAR_PX - 3, INKS[who])
            svg.label(LEFT_PX + value * px + 6, y + 11, number(value), ink=SOFT)
            y += BAR_PX
        y += 10
    svg.line(LEFT_PX + px, top - 6, LEFT_PX + px, y - 6, dashed=True)
    svg.label(LEFT_PX + px - 16, top - 12, "Kafka")
    _legend(svg, [who for who in INKS if any(who in each for each in ratios.values())], y + 8)
    return svg


def curves(result: Result, title: str) -> Svg:
    """A curve a contender: the wait below which a share of requests stays, on a log scale."""
    svg = Svg(title, WIDTH_PX)
    svg.label(12, 24, title, bold=True)
    lines = {
        who: [of.median for metric in SHARES.values() if (of := result.value(who, metric))]
        for who in INKS
        if who in result.rounds
    }
    values = [value for line in lines.values() for value in line]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    left, right, top, bottom = 80, WIDTH_PX - 40, 50, 330

    def at(value: float) -> float:
        return bottom - (math.log10(value) - low) / (high - low) * (bottom - top)

    xs = [left + n * (right - left) / (len(SHARES) - 1) for n in range(len(SHARES))]
    for power in range(low, high + 1):
        svg.line(left, at(10**power), right, at(10**power), dashed=True)
        svg.label(12, at(10**power) + 4, f"{number(10**power)} ms", ink=SOFT)
    for x, share in zip(xs, SHARES, strict=True):
        svg.label(x, bottom + 18, share, middle=True, ink=SOFT)
    for who, line in lines.items():
        svg.curve([(x, at(value)) for x, value in zip(xs, line, strict=True)], INKS[who])
    _legend(svg, list(lines), bottom + 36)
    return svg


def _legend(svg: Svg, contenders: list[str], y: float) -> None:
    x = 12.0
    for who in contenders:
        svg.bar(x, y, 12, 12, INKS[who])
        svg.label(x + 18, y + 11, NAMES[who])
        x += 34 + 7.4 * len(NAMES[who])
