"""Numbers to lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compat_tests.bench.figures import AGAIN, Result, Spread


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of an ascending sequence lies below; nearest rank."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def line(what: str, *cells: str) -> None:
    print(f"  {what:<34}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def table(result: Result, metrics: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """Metric, contender, its median and spread, and how many times the reference's that is."""
    for metric in metrics:
        for contender in result.rounds:
            value = result.value(contender, metric)
            if value is None:
                continue
            ratio = result.ratio(contender, metric)
            if contender == result.reference or ratio is None:
                times = ""
            elif contender.endswith(AGAIN):
                times = f"noise {shown(ratio)}"
            else:
                times = f"x {shown(ratio)}"
            yield metric, contender, shown(value), times


def tell(result: Result, metrics: Sequence[str]) -> None:
    """The table of one row."""
    heading(result.title)
    last = ""
    for metric, contender, value, times in table(result, metrics):
        if metric != last:
            print(f"  {metric}")
            last = metric
        print(f"    {contender:<22}{value:>34}    {times}", flush=True)


def shown(of: Spread) -> str:
    """The median, and the least and the most of all rounds."""
    return f"{number(of.median)} ({number(of.least)} to {number(of.most)})"


def number(value: float) -> str:
    """Three digits, or all in front of the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
