"""Mistakes as text: what they break, which lines they change, which tests must notice.

A file of them is read by people like a diff. A mistake is

    [its name]
    breaks: I1                      (an invariant, as ARCHITECTURE.md numbers them)
    in: wal_core/log.py
     a line that stays              (enough of them to make the place the only one)
    -a line that goes
    +a line that comes
    caught by: path::test           (an id of pytest without parameters; the quickest first)

Lines of the source stand behind a space, - or +; a # in the first column begins a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("mistakes")


class Mutation(NamedTuple):
    """`old` stands in `file` once; every test of `caught_by` fails with `new` in its place."""

    name: str
    promise: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]

    def applied(self, text: str) -> str:
        """`text` with the mistake in it; ValueError unless there is one place for it."""
        place = re.compile("^" + re.escape(self.old), re.MULTILINE)
        count = len(place.findall(text))
        if count != 1:
            raise ValueError(
                f"[{self.name}]: {count} places in {self.file}, expected 1; if the sources have "
                f"changed, make the same mistake in the new ones ({FOLDER.name}/*.txt)"
            )
        return place.sub(lambda _: self.new, text)


def read_all(folder: Path = FOLDER) -> list[Mutation]:
    """The mistakes of every file, in order."""
    return [
        mutation
        for path in sorted(folder.glob("*.txt"))
        for mutation in parse(path.read_text(encoding="utf-8"))
    ]


def parse(text: str) -> Iterator[Mutation]:
    """Raises ValueError for a line that is none of the above."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("[") and lines:
            yield _parse_one(lines)
            lines = []
        if line and not line.startswith("#"):
            lines.append(line)
    if lines:
        yield _parse_one(lines)


def _parse_one(lines: list[str]) -> Mutation:
    fields: dict[str, list[str]] = {"breaks": [], "in": [], "caught by": []}
    old, new = [], []
    for line in lines[1:]:
        word, colon, value = line.partition(": ")
        if line[0] in " -+":
            if line[0] != "+":
                old.append(line[1:] + "\n")
            if line[0] != "-":
                new.append(line[1:] + "\n")
        elif colon and word in fields:
            fields[word].append(value)
        else:
            raise ValueError(f"not a line of a mistake: {line!r}")
    name = lines[0].removeprefix("[").removesuffix("]")
    if len(fields["breaks"]) != 1 or len(fields["in"]) != 1 or not fields["caught by"]:
        raise ValueError(f"[{name}] needs one line `breaks`, one `in`, and some `caught by`")
    (promise,), (file,) = fields["breaks"], fields["in"]
    return Mutation(name, promise, file, "".join(old), "".join(new), tuple(fields["caught by"]))
