"""ARCHITECTURE.md names what there is: rooms, hops, files, tests of promises."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.repo.files import ROOT, read, repository_files

PAGE = read("ARCHITECTURE.md")
DOCUMENTS = sorted(
    str(path.relative_to(ROOT)) for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md")
)


def section(heading: str) -> str:
    return re.split(r"^##", PAGE.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def hops() -> Iterator[tuple[str, str]]:
    for heading in ("### The hops of a produce", "### The hops of a fetch"):
        found = re.findall(
            r"^\| `([\w.]+)` \| `([\w/.]+)` \| .+ \|$", section(heading), re.MULTILINE
        )
        assert len(found) > 10, heading
        yield from found


def names(path: Path) -> set[str]:
    """Functions, classes and their methods."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    found.add(f"{node.name}.{inner.name}")
    return found


@pytest.mark.parametrize(("function", "file"), list(hops()))
def test_every_hop_is_where_it_is_said_to_be(function: str, file: str) -> None:
    assert function in names(ROOT / file)


def test_a_hop_that_is_elsewhere_would_be_noticed() -> None:
    there = names(ROOT / "gateway/broker/partition.py")
    assert "Partition.append" in there
    assert not {"append", "Partition.appended", "Log.append"} & there


def rooms(package: str) -> set[str]:
    """Folders of a package with code in them, and modules beside them, but for the plainest."""
    folder = ROOT / package
    folders = {
        f"{path.name}/"
        for path in folder.iterdir()
        if path.is_dir() and path.name != "tests" and any(path.glob("*.py"))
    }
    return folders | {path.name for path in folder.glob("*.py") if path.name not in PLAIN[package]}


# What a reader expects in any package.
PLAIN = {
    "gateway": {"__init__.py", "__main__.py"},
    "wal_core": {"__init__.py", "clock.py", "config.py", "errors.py", "types.py"},
}


@pytest.mark.parametrize("package", PLAIN)
def test_the_table_of_rooms_is_the_tree(package: str) -> None:
    table = PAGE.partition(f"Inside `{package}`, top to bottom")[2].partition("\n\n")[2]
    firsts = re.findall(r"^\|(.*?)\|", table.partition("\n\n")[0], re.MULTILINE)
    named = [name for cell in firsts for name in re.findall(r"`([\w./]+)`", cell)]
    assert sorted(named) == sorted(rooms(package))


def test_the_drawing_shows_the_rooms() -> None:
    drawn = set(
        re.findall(
            r"(?:^|\| |and )([\w.]+/?)(?=:| and)", read("docs/drawings/house.txt"), re.MULTILINE
        )
    )
    for package in PLAIN:
        assert rooms(package) - {"testing/", "tenure.py"} <= drawn


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    """By their path or the end of it; x.py is any."""
    paths = [str(path.relative_to(ROOT)) for path in repository_files()]
    for name in set(re.findall(r"`([\w./-]+/?[\w.-]+\.(?:py|md|txt|svg|toml))`", read(document))):
        if name not in ("x.py", "tests/test_x.py"):
            assert any(path == name or path.endswith(f"/{name}") for path in paths), name
