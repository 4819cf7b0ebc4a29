"""What a check is: a row with a name, a rule, and one function that finds what breaks the rule."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from gateway.verify.model import History, KeyHistory


class Finding(NamedTuple):
    """One anomaly: where, what, and the lines that show it together."""

    key: str
    message: str
    lines: tuple[int, ...]


class Check(NamedTuple):
    """A row of the table.

    `subjects` counts what there is to check; at 0 the rule was not checked at all, and the report
    says so, with `needs`. Findings of an `allowed` rule are told, but make no history bad.
    """

    name: str
    rule: str
    severity: Literal["error", "allowed"]
    needs: str
    subjects: Callable[[History], int]
    find: Callable[[History], Iterator[Finding]]


def per_key(
    find: Callable[[KeyHistory], Iterator[Finding]],
) -> Callable[[History], Iterator[Finding]]:
    """A check that looks at one key at a time."""

    def of_all(history: History) -> Iterator[Finding]:
        for key in history.keys.values():
            yield from find(key)

    return of_all
