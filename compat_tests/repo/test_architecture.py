"""ARCHITECTURE.md names what there is: rooms, hops, files, tests of promises."""

import ast
import itertools
import re
import tomllib
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


def table(package: str) -> list[str]:
    """The rooms that ARCHITECTURE's table of a package names, from top to bottom."""
    rows = PAGE.partition(f"Inside `{package}`, top to bottom")[2].partition("\n\n")[2]
    cells = re.findall(r"^\|(.*?)\|", rows.partition("\n\n")[0], re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([\w./]+)`", cell)]


def drawn(package: str) -> list[list[str]]:
    """The rows of rooms that the drawing shows."""
    lines = read("docs/drawings/house.txt").partition(f"[{package}/ ")[2].splitlines()[1:]
    rows = itertools.takewhile(lambda line: line[0] not in "[=", lines)
    return [re.findall(r"(?:^|\| |and )([\w.]+/?)(?=:| and)", row) for row in rows]


def storeys(package: str) -> dict[str, int]:
    """Of each room, how far down its import contract puts it."""
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c.get("containers") == [package])
    return {name.strip(): at for at, row in enumerate(layers) for name in row.split("|")}


@pytest.mark.parametrize("package", PLAIN)
def test_the_table_of_rooms_is_the_tree(package: str) -> None:
    assert sorted(table(package)) == sorted(rooms(package))


@pytest.mark.parametrize("package", PLAIN)
def test_the_drawing_shows_the_rooms(package: str) -> None:
    assert {name for row in drawn(package) for name in row} == rooms(package) - {"testing/"}


@pytest.mark.parametrize("package", ["gateway", "wal_core", "protocol"])
def test_what_is_drawn_above_may_use_what_is_below_and_not_the_other_way(package: str) -> None:
    depths = storeys(package)
    rows = [[depths[re.sub(r"/|\.py", "", name)] for name in row] for row in drawn(package)]
    assert len(rows) >= 4
    for upper, lower in itertools.pairwise(rows):
        assert max(upper) < min(lower)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    """By their path or the end of it; x.py is any."""
    paths = [str(path.relative_to(ROOT)) for path in repository_files()]
    for name in set(re.findall(r"`([\w./-]+/?[\w.-]+\.(?:py|md|txt|svg|toml))`", read(document))):
        if name not in ("x.py", "tests/test_x.py"):
            assert any(path == name or path.endswith(f"/{name}") for path in paths), name
