"""What is asked of both brokers: named functions of one side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from compat_tests.oracle.side import Side

T = TypeVar("T")
Run = Callable[[Side], None]


@dataclass(frozen=True)
class Script:
    """`name` goes from the large to the small: `produce: a wrong checksum`."""

    name: str
    run: Run
    newest: bool = False
    """Asks what came after Kafka 3.9; the newest Kafka answers."""


SCRIPTS: dict[str, Script] = {}


def add(name: str, run: Run, *, newest: bool = False) -> None:
    """One more script."""
    assert name not in SCRIPTS, name
    SCRIPTS[name] = Script(name, run, newest)


def script(name: str, *, newest: bool = False) -> Callable[[Run], Run]:
    """Make this function a script."""

    def keep(run: Run) -> Run:
        add(name, run, newest=newest)
        return run

    return keep


def each(
    name: str, values: Iterable[T], *, newest: bool = False
) -> Callable[[Callable[[Side, T], None]], object]:
    """A script for every value; `{}` in the name stands for it."""

    def keep(run: Callable[[Side, T], None]) -> object:
        for value in values:
            asked = lambda side, value=value: run(side, value)  # type: ignore[misc]  # noqa: E731
            add(name.format(value), asked, newest=newest)
        return run

    return keep
