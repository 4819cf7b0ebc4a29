"""`python -m compat_tests.bench.page`: docs/speed.md and its pictures from docs/speed/figures.json.

`make bench ARGS="--noted docs/speed/figures.json --rows ..."` puts rows of this machine there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from compat_tests.bench import figures, report
from compat_tests.bench.figures import AGAIN, Result, Spread
from compat_tests.bench.goals import AT_LEAST, GOALS
from compat_tests.bench.pictures import SHARES, bars, curves
from compat_tests.bench.rows import ROWS
from compat_tests.card.__main__ import replaced

DOCS = Path(__file__).parents[2] / "docs"
PAGE, FOLDER = DOCS / "speed.md", DOCS / "speed"
BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
RATES = {
    "small": "64 connections, 100 B a request",
    "batches-16k": "batches of 16 KB",
    "batches-1m": "batches of 1 MB",
    "java": "Java's producer, 1,000 B",
    "aiokafka": "aiokafka's producer, 1,000 B",
    "librdkafka": "librdkafka's producer, 1,000 B",
    "consume-100b-librdkafka": "librdkafka consumes 100 B",
    "consume-1k-librdkafka": "librdkafka consumes 1,000 B",
    "consume-1k-java": "Java consumes 1,000 B",
    "consume-small-java": "Java consumes lone records",
    "consume-100p-java": "Java consumes 100 partitions",
}


def pictures(results: Mapping[str, Result]) -> dict[str, str]:
    """File names and what is in them."""
    drawn = {"rates": bars(results, "mb_per_s", RATES, "Throughput beside Apache Kafka's")}
    if "open-loop" in results:
        title = "1,000 requests a second, sent when due: how long they took"
        drawn["waits"] = curves(results["open-loop"], title)
    return {f"{name}.svg": svg.text() for name, svg in drawn.items()}


def content(results: Mapping[str, Result]) -> str:
    """What stands between the marks of the page."""
    return "\n".join([*_aims(results), "", *_tables(results)])


def _aims(results: Mapping[str, Result]) -> Iterator[str]:
    yield "| aim | bound | median (least to most) | reached |"
    yield "|---|---|---|---|"
    for goal in GOALS:
        seen = goal.seen(results)
        if seen is None:
            continue
        times = "x " if goal.reference else ""
        sign = "≥" if goal.way == AT_LEAST else "≤"
        mark = "yes" if goal.reached(seen) else "**no**"
        yield f"| {goal.words} | {sign} {times}{goal.bound:g} | {report.shown(seen)} | {mark} |"


def _tables(results: Mapping[str, Result]) -> Iterator[str]:
    for name, row in ROWS.items():
        if name not in results:
            continue
        result = results[name]
        yield f"### {name}\n\n{row.title} ({result.made}).\n"
        metrics = [m for m in row.metrics if any(m in each for each in result.rounds.values())]
        yield f"| | {' | '.join(_headed(metric) for metric in metrics)} |"
        yield "|---|" + "---|" * len(metrics)
        for who in result.rounds:
            cells = [_cell(result, who, metric) for metric in metrics]
            yield f"| {who} | {' | '.join(cells)} |"
        yield ""


def _headed(metric: str) -> str:
    shares = {name: share for share, name in SHARES.items()}
    return f"{shares[metric]}, ms" if metric in shares else metric.replace("_", " ")


def _cell(result: Result, who: str, metric: str) -> str:
    value = result.value(who, metric)
    if value is None:
        return ""
    ratio = result.ratio(who, metric)
    if ratio is None or who == result.reference:
        return report.number(value.median)
    kind = "noise " if who.endswith(AGAIN) else "x "
    return f"{report.number(value.median)}, {kind}{_brief(ratio)}"


def _brief(of: Spread) -> str:
    return f"{of.median:.2f} ({of.least:.2f} to {of.most:.2f})"


def text(page: str, results: Mapping[str, Result]) -> str:
    """The page with these figures."""
    return replaced(page, content(results), BEGIN, END)


def main() -> None:
    results = figures.read(FOLDER / "figures.json")
    PAGE.write_text(text(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    for name, drawn in pictures(results).items():
        (FOLDER / name).write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
