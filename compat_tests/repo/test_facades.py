"""Who stands on protocol and wal_core names what they offer, not the modules inside: the names of
the packages themselves, and the messages, which are a module each."""

import ast

import pytest

from compat_tests.repo.files import ROOT

OFFERED = ("protocol.messages.",)


def past_the_facade(source: str) -> list[str]:
    """Modules inside protocol and wal_core that a source names."""
    named = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named.append(node.module or "")
    return [
        name
        for name in named
        if name.startswith(("protocol.", "wal_core.")) and not name.startswith(OFFERED)
    ]


def test_the_gateway_names_facades() -> None:
    found = {}
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        if {"tests", "testing"} & set(path.relative_to(ROOT).parts):
            continue  # which may look inside
        if names := past_the_facade(path.read_text()):
            found[path.relative_to(ROOT).as_posix()] = names
    assert found == {}


@pytest.mark.parametrize(
    "line", ["from protocol.error_codes import ErrorCode", "import wal_core.log as log"]
)
def test_a_breach_would_be_noticed(line: str) -> None:
    assert past_the_facade(line)
    assert not past_the_facade("from protocol import ErrorCode\nimport protocol.messages.fetch")
