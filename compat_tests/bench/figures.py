"""What the rounds of a row gave: values by contender and metric, paired round by round.

A metric's name ends in its unit. Of rates (`..._per_s`) more is better, of all others less.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Figures = Mapping[str, float]
"""Of one contender in one round, by metric."""
Rounds = dict[str, dict[str, list[float]]]
"""Of a row: contender, metric, a value each round."""
AGAIN = " again"
"""Behind the name of the contender that is measured twice a round: the noise."""


_NUMBERS = re.compile(r"\[[-+\d.e,\s]+\]")


class Spread(NamedTuple):
    """Of one figure over all rounds."""

    median: float
    least: float
    most: float


class Result(NamedTuple):
    """A row that was run."""

    title: str
    reference: str
    """The contender that the others are compared with, "" if there is none."""
    rounds: Rounds
    made: str
    """When, of which commit, and how much others had to do on the machine then."""

    def value(self, contender: str, metric: str) -> Spread | None:
        return spread(self.rounds.get(contender, {}).get(metric, ()))

    def ratio(self, contender: str, metric: str, reference: str = "") -> Spread | None:
        """Of each round's pair; who was measured twice a round, before and after the others, counts
        with the mean of both, so that what the machine changes from one measurement to the next
        cancels out. None where one of both was not measured."""
        compared = reference or self.reference
        if contender.endswith(AGAIN):
            others: Sequence[float] = self.rounds.get(compared, {}).get(metric, ())
        else:
            others = self._each_round(compared, metric)
        pairs = zip(self._each_round(contender, metric), others, strict=False)
        return spread([a / b for a, b in pairs if b > 0])

    def _each_round(self, who: str, metric: str) -> Sequence[float]:
        once = self.rounds.get(who, {}).get(metric, ())
        again = self.rounds.get(who + AGAIN, {}).get(metric)
        return once if again is None else [(a + b) / 2 for a, b in zip(once, again, strict=True)]


def spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def read(path: Path) -> dict[str, Result]:
    """The rows in a file; none where there is no file."""
    if not path.exists():
        return {}
    told: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return {name: Result(**row) for name, row in told.items()}


def write(path: Path, rows: Mapping[str, Result]) -> None:
    """A line a metric, so that a change of one figure is a small one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: row._asdict() for name, row in rows.items()}, indent=1)
    path.write_text(_short_lists(text), encoding="utf-8")


def _short_lists(text: str) -> str:
    """Lists of numbers in one line each."""
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[0][1:-1].split())}]", text) + "\n"


def rounded(value: float) -> float:
    """To four digits: more is noise."""
    return float(f"{value:.4g}")
