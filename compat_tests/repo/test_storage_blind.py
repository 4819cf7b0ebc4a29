"""The mark `storage_blind` is honest: a test that storage could fail runs in every mode."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.repo.files import ROOT, repository_files

MARK = "storage_blind"
FOLDERS = ("wire", "clients", "milvus")
MODES = {"file", "object", "s3"}
# What reads records or positions back, and what gives a test a place to store: none of it is blind.
STORED = {
    "delete_records", "fetch_batches", "list_offset", "offsets_for_times", "own_gateway",
    "partition_size", "read_all", "values_of", "watermarks",
}  # fmt: skip


def marked(node: ast.AST, names: set[str]) -> bool:
    """It is, or calls, the mark itself or a name that stands for it."""
    target = node.func if isinstance(node, ast.Call) else node
    if isinstance(target, ast.Attribute):
        return target.attr == MARK
    return isinstance(target, ast.Name) and target.id in names


def blind_tests(text: str) -> Iterator[ast.FunctionDef]:
    """The tests of a module that bear the mark, or all of them where the module does."""
    module = ast.parse(text)
    names = {
        target.id
        for node in module.body
        if isinstance(node, ast.Assign) and marked(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in module.body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        if "pytestmark" in names or any(marked(d, names) for d in node.decorator_list):
            yield node


def faults_of(text: str) -> list[str]:
    """What blind tests use that they may not, and what others use that is for blind ones."""
    blind = {node.name: node for node in blind_tests(text)}
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        arguments = {argument.arg for argument in node.args.args}
        if node.name not in blind:
            found += [f"{node.name}: {name}" for name in arguments & {"memory_broker"}]
            continue
        used = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
        used |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        found += [f"{node.name}: {name}" for name in sorted((used | arguments) & STORED)]
    return found


def test_blind_tests_read_nothing_back_and_no_others_are_spared_a_mode() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in repository_files(ROOT / "compat_tests")
        if re.fullmatch(r"test_\w+\.py", path.name) and path != Path(__file__)
        for fault in faults_of(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "pytestmark = pytest.mark.storage_blind('x')\ndef test_a(wire):\n fetch_batches(wire)",
        "@pytest.mark.storage_blind('x')\ndef test_a(client):\n client.read_all('t', 1)",
        "_m = pytest.mark.storage_blind('x')\n@_m\ndef test_a(own_gateway): ...",
        "def test_a(memory_broker): ...",
    ],
)
def test_a_test_that_is_not_blind_would_be_noticed(text: str) -> None:
    assert len(faults_of(text)) == 1


def test_every_other_test_runs_in_every_mode() -> None:
    """As collected: a test has one mode, memory, or all that were asked for."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "--modes", ",".join(MODES)]
        + [f"compat_tests/{folder}" for folder in FOLDERS],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    modes = defaultdict(set)
    for file, name, parameters in re.findall(r"^(\S+)::(\w+)\[(.*)\]$", done.stdout, re.MULTILINE):
        modes[file, name] |= (MODES | {"memory"}) & set(parameters.split("-"))
    asked = {key: found for key, found in modes.items() if found}
    assert len(asked) > 100
    assert [key for key, found in asked.items() if found not in (MODES, {"memory"})] == []
    in_memory = {file for (file, _), found in asked.items() if found == {"memory"}}
    assert f"compat_tests/{FOLDERS[0]}/test_fetch.py" not in in_memory
