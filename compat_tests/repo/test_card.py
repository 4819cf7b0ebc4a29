"""The report card's page knows the clients and the features that the tests know."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

from compat_tests.card.__main__ import FAILED, NONE, PASSED, cell, replaced, table, written
from compat_tests.card.features import FEATURES
from compat_tests.repo.files import ROOT, read
from compat_tests.support.client import LIBRARIES

PAGE = "docs/report-card.md"


def rows() -> list[list[str]]:
    return [
        [item.strip() for item in line.strip("|").split("|")]
        for line in read(PAGE).splitlines()
        if line.startswith("| ")
    ]


def test_the_page_has_every_client_and_every_feature() -> None:
    head, *clients = rows()
    assert head[2:] == list(FEATURES)
    assert [row[0] for row in clients] == list(LIBRARIES)


def test_the_page_tells_of_no_failure_and_of_the_pinned_versions() -> None:
    _, *clients = rows()
    assert FAILED not in {item for row in clients for item in row}
    versions = {row[0]: row[1] for row in clients}
    modules = re.findall(r"^\t(\S+) v(\S+)$", read("compat_tests/workers/go/go.mod"), re.MULTILINE)
    packages = json.loads(read("compat_tests/workers/node/package.json"))["dependencies"]
    pinned = {module.rpartition("/")[2]: version for module, version in modules}
    pinned |= {name.removeprefix("@").partition("/")[0]: it for name, it in packages.items()}
    locked = tomllib.loads(read("compat_tests/workers/rust/Cargo.lock"))["package"]
    pinned |= {crate["name"]: crate["version"] for crate in locked}
    for client in ("franz-go", "sarama", "kafka-go", "kafkajs", "platformatic"):
        assert versions[client].endswith(pinned[client]), (client, "run make report-card")
    assert f"rdkafka {pinned['rdkafka']} " in versions["rdkafka"], "run make report-card"


def test_the_page_is_of_a_run_of_all_clients() -> None:
    _, *clients = rows()
    for name, version, *seen in clients:
        assert seen[0] == PASSED, f"{name} {version} produced nothing: run make report-card, whole"


def test_every_feature_stands_for_tests_that_exist() -> None:
    there = {
        node.name
        for path in (ROOT / "compat_tests" / "clients").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert {test for tests in FEATURES.values() for test in tests} <= there


def test_a_feature_is_there_when_all_its_tests_passed() -> None:
    seen = {"one": ["passed", "passed"], "two": ["passed", "failed"]}
    assert cell(seen, ("one", "three")) == PASSED
    assert cell(seen, ("one", "two")) == FAILED
    assert cell(seen, ("three",)) == NONE


def test_what_a_run_left_becomes_the_table(tmp_path: Path) -> None:
    test = next(iter(FEATURES.values()))[0]
    name = tmp_path / "new" / "card.json"
    written(name, [("sarama", test, "passed"), ("sarama", test, "failed")], {"sarama": "sarama 1"})
    noted = json.loads(name.read_text())
    (line,) = re.findall(
        r"^\| sarama .*", table(noted["outcomes"], noted["versions"]), re.MULTILINE
    )
    assert line.startswith(f"| sarama | sarama 1 | {FAILED} |")


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="card:begin"):
        replaced("no marks here", "")
