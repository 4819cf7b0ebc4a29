"""No module needs one that needs it, imports that only types are for included."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from compat_tests.repo.files import ROOT

PACKAGES = ("gateway", "protocol", "wal_core")


def modules(root: Path) -> dict[str, Path]:
    """By dotted name, without tests and what they run on."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if not {"tests", "testing"} & set(parts):
                found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(name: str, source: str, known: Mapping[str, object]) -> set[str]:
    """The modules that one names anywhere in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & known.keys()
            if not inner <= known.keys():
                found.add(node.module)
    return found & known.keys() - {name}


def circles(needs: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which can be reached from each other one."""

    def reached(start: str) -> Iterator[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            for name in needs[ahead.pop()] - seen:
                seen.add(name)
                ahead.append(name)
                yield name

    far = {name: set(reached(name)) for name in needs}
    groups = {frozenset(o for o in far[name] if name in far[o]) for name in needs}
    return sorted(sorted(group) for group in groups if group)


def test_there_are_no_circles() -> None:
    known = modules(ROOT)
    needs = {name: imported(name, path.read_text(), known) for name, path in known.items()}
    assert circles(needs) == []


def test_a_circle_would_be_noticed() -> None:
    sources = {
        "a.b": "def f():\n    from a import c",
        "a.c": "if TYPE_CHECKING:\n    import a.d",
        "a.d": "from a.b import f",
        "a.e": "import a.b",
    }
    needs = {name: imported(name, source, sources) for name, source in sources.items()}
    assert circles(needs) == [["a.b", "a.c", "a.d"]]
