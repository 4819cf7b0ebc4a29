"""Fields are written by their owner: nobody reaches into another object to change it."""

import ast
import re
from collections.abc import Iterator

import pytest

from compat_tests.repo.files import ROOT
from compat_tests.repo.test_circles import modules

SHARED = re.compile(r"^(.*\.)?_?(streams?|chain|contents|roll|waiting|tail|active)(\[.*\])?\.\w+$")
"""What several parts of an open log hold: read by all of them, written by its own methods."""
OWN = ("self", "cls")


def written(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every field of another object that is assigned to."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Assign():
                targets = node.targets
            case ast.AugAssign() | ast.AnnAssign():
                targets = [node.target]
            case _:
                continue
        for target in (inner for outer in targets for inner in ast.walk(outer)):
            if not isinstance(target, ast.Attribute) or not isinstance(target.ctx, ast.Store):
                continue
            if not (isinstance(target.value, ast.Name) and target.value.id in OWN):
                yield node.lineno, ast.unparse(target)


def test_what_a_log_shares_is_written_by_its_owner_alone() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for name, path in modules(ROOT).items()
        if name.startswith("wal_core.")
        for line, text in written(path.read_text())
        if SHARED.match(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "stream.end = 3",
        "self._contents.streams[7].start += 1",
        "a, chain.links = 1, ()",
        "self.tail.bytes_count = 0",
    ],
)
def test_a_breach_would_be_noticed(source: str) -> None:
    (found,) = written(source)
    assert SHARED.match(found[1])
