"""House rules that no linter knows: sizes, paths of one machine, registries, stale output."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.repo.files import ROOT, read, repository_files

FILE_LINES_MAX_COUNT = 500
TEST_FILE_LINES_MAX_COUNT = 800  # cases are read one by one
FUNCTION_LINES_MAX_COUNT = 70
LINE_CHARS_MAX_COUNT = 130  # documents; ruff holds code to 100
GENERATED = ROOT / "protocol" / "messages"
# Folders that exist on one machine only, written so that this file does not contain them.
_MACHINE_PATH = re.compile(
    r"(?<![\w.$~>-])/(?:"
    + "|".join(["work", "root", "home/\\w+", "Users/\\w+"])
    + r")(?:/|\b(?!\w))"
)
_TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".lock", ".typed", ""}


def texts() -> Iterator[tuple[Path, str]]:
    for path in repository_files():
        if path.suffix in _TEXT:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def code() -> Iterator[tuple[Path, str]]:
    for name, text in texts():
        if name.suffix == ".py" and GENERATED not in (ROOT / name).parents:
            yield name, text


def test_no_path_of_one_machine() -> None:
    found = [
        f"{name}: {line.strip()}"
        for name, text in texts()
        for line in text.splitlines()
        if _MACHINE_PATH.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "lock",
    [
        "requirements.lock",
        "requirements-etcd.lock",
        "requirements-dev.lock",
        "requirements-fuzz.lock",
    ],
)
def test_locks_pin_with_hashes_and_name_no_registry(lock: str) -> None:
    text = read(lock)
    assert "://" not in text
    assert "index-url" not in text
    pins = re.findall(r"^[a-z0-9._-]+(?:\[[a-z,]+\])?==\S+", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert len(pins) == len(lines) > 0
    assert len(re.findall(r"--hash=sha256:", text)) >= len(pins)


def test_every_dependency_is_locked() -> None:
    project = read("pyproject.toml")
    block = project.partition("dependencies = [")[2].partition("]")[0]
    for name in re.findall(r'"([a-z0-9-]+)', block):
        assert f"\n{name}==" in "\n" + read("requirements.lock"), name


def test_files_and_functions_have_bounds() -> None:
    too_long = []
    for name, text in code():
        count = len(text.splitlines())
        is_test = name.name.startswith("test_")
        if count > (TEST_FILE_LINES_MAX_COUNT if is_test else FILE_LINES_MAX_COUNT):
            too_long.append(f"{name}: {count} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX_COUNT:
                    too_long.append(f"{name}: {node.name} has {length} lines")
    assert not too_long, "\n".join(too_long)


def _prose(markdown: str) -> str:
    """The text with examples emptied: those keep the line ends they need. Numbers of lines stay."""
    return re.sub(
        r"^```.*?^```",
        lambda block: "\n" * block[0].count("\n"),
        markdown,
        flags=re.MULTILINE | re.DOTALL,
    )


def test_documents_have_lines_one_can_read() -> None:
    long = [
        f"{name}:{number}"
        for name, text in texts()
        if name.suffix == ".md"
        for number, line in enumerate(_prose(text).splitlines(), 1)
        if len(line) > LINE_CHARS_MAX_COUNT and not line.startswith("|")
    ]
    assert not long, "\n".join(long)


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(name)
        for name, text in code()
        if text.strip() and "tests" not in name.parts and not name.name.startswith("test_")
        if ast.get_docstring(ast.parse(text)) is None
    ]
    assert not silent, "\n".join(silent)


def test_generated_code_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "protocol.codegen", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_typed_packages_say_so() -> None:
    for package in ("gateway", "protocol", "wal_core"):
        assert (ROOT / package / "py.typed").exists()
