"""The one way to measure: contenders of a row, one right after the other, in alternating order.

A machine's disk and cores do not stand still, so figures of two runs say little about each other.
Each round measures every contender of a row once, the next round in the opposite order; what counts
is the median of the ratios of each round. The contender that others are compared with is measured
twice a round, before and after the others: how far it is from itself is the noise, and the mean of
both is what the others are compared with.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

from compat_tests.bench.figures import AGAIN, Figures, Result, Rounds, rounded
from compat_tests.bench.sides import Sides

Measure = Callable[[], Figures]


class Row(NamedTuple):
    """What can be measured by name."""

    title: str
    metrics: tuple[str, ...]
    """Those that are shown; what the row is about comes first."""
    contenders: Callable[[Sides], AbstractContextManager[Mapping[str, Measure]]]
    """Prepares what all of them need; the first is what others are compared with."""


class Plan(NamedTuple):
    """How to measure rows."""

    rounds: int
    warm_rounds: int
    """Go before and do not count: a JVM compiles what it has seen for a while."""
    only: frozenset[str]
    """Contenders to measure; none: all."""
    made: str


def run(row: Row, sides: Sides, plan: Plan) -> Result:
    """All rounds of a row; raises what a measurement raises."""
    found: Rounds = {}
    with row.contenders(sides) as offered:
        contenders = {name: of for name, of in offered.items() if name in (plan.only or offered)}
        reference = next(iter(contenders))
        noisy = {**contenders, reference + AGAIN: contenders[reference]}
        for _, measure in in_turn(contenders, plan.warm_rounds):
            measure()
        for name, measure in in_turn(noisy, plan.rounds):
            # What others left to be written is not for this one to wait for.
            os.sync()
            for metric, value in measure().items():
                found.setdefault(name, {}).setdefault(metric, []).append(rounded(value))
    return Result(row.title, reference, {name: found[name] for name in noisy}, plan.made)


def in_turn(contenders: Mapping[str, Measure], rounds: int) -> Iterator[tuple[str, Measure]]:
    """Each once a round, every second round backwards."""
    for number in range(rounds):
        order = list(contenders.items())
        yield from reversed(order) if number % 2 else order
