"""What may differ from Apache Kafka, and why: the rows of `allowed.toml`, here and in `java`.

A row names scripts and paths (`*` stands for anything), and may name what stands there on either
side. `python -m compat_tests.oracle.allowed --write` writes `docs/differences.md` from the rows.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compat_tests.oracle.differences import Difference

ROOT = Path(__file__).parents[2]
ROWS = Path(__file__).with_name("allowed.toml")
JAVA_ROWS = ROOT / "compat_tests" / "java" / "allowed.toml"
PAGE = ROOT / "docs" / "differences.md"
INTRODUCTION = """\
# Differences from Kafka

The same requests go to Apache Kafka and to the gateway in each test run, in every version that is
served, right ones and wrong ones, and what comes back is compared, field by field. This page lists
all that differs. It is written from the list that the comparison allows; a difference that is not
here fails the run, and so does one that is here and is none any more.

Not compared are texts for people, which say the same in other words, and what belongs to one
machine or one run: addresses, ids, times, sizes on disk.
"""


@dataclass(frozen=True)
class Row:
    """One difference that is meant, and where it shows."""

    title: str
    reason: str
    scripts: tuple[str, ...]
    paths: tuple[str, ...]
    kafka: str = "*"
    gateway: str = "*"
    soon: bool = False
    """It is being built: the row may stay for a while when nothing needs it any more."""

    def covers(self, script: str, difference: Difference) -> bool:
        return (
            self.concerns(script)
            and _matches(difference.path, self.paths)
            and _matches(difference.kafka, (self.kafka,))
            and _matches(difference.gateway, (self.gateway,))
        )

    def concerns(self, script: str) -> bool:
        return _matches(script, self.scripts)


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(_pattern(pattern).fullmatch(text) for pattern in patterns)


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


@dataclass
class Ledger:
    """What was compared in this run, and which rows were needed for it."""

    rows: Sequence[Row]
    ran: set[str] = field(default_factory=set)
    _used: set[int] = field(default_factory=set)

    def judge(self, script: str, differences: Iterable[Difference]) -> list[Difference]:
        """Those that no row allows."""
        self.ran.add(script)
        left = []
        for difference in differences:
            covering = [n for n, row in enumerate(self.rows) if row.covers(script, difference)]
            self._used.update(covering)
            if not covering:
                left.append(difference)
        return left

    def stale(self, scripts: Iterable[str]) -> list[Row]:
        """Rows whose scripts all ran and that nothing needed."""
        return [
            row
            for number, row in enumerate(self.rows)
            if number not in self._used
            and not row.soon
            and all(script in self.ran for script in scripts if row.concerns(script))
        ]


def load(path: Path = ROWS) -> list[Row]:
    """All rows, in the order of the file."""
    sections = tomllib.loads(path.read_text(encoding="utf-8")).get("difference", [])
    return [
        Row(**{key: tuple(v) if isinstance(v, list) else v for key, v in section.items()})
        for section in sections
    ]


def all_rows() -> list[Row]:
    """Of every comparison."""
    return [*load(), *load(JAVA_ROWS)]


def page(rows: Iterable[Row]) -> str:
    """The text of `docs/differences.md`; rows with one title share a line."""
    reasons: dict[str, str] = {}
    for row in rows:
        reasons.setdefault(row.title, " ".join(row.reason.split()))
    lines = [f"| {title} | {reason} |" for title, reason in reasons.items()]
    return "\n".join([INTRODUCTION, "| what | how, and why |", "|---|---|", *lines]) + "\n"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--write", action="store_true", help="write the page, do not print it")
    if arguments.parse_args().write:
        PAGE.write_text(page(all_rows()), encoding="utf-8")
    else:
        print(page(all_rows()))
