"""Documents say what is so: commands exist, the matrix is current, the examples run."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from compat_tests.conftest import Broker
from compat_tests.repo import matrix
from compat_tests.repo.commands import our_arguments, parse, shell_lines
from compat_tests.repo.files import ROOT, read
from compat_tests.support.gateway import Remote

DOCUMENTS = sorted(
    str(path.relative_to(ROOT)) for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md")
)
_LINK = re.compile(r"\]\((?!https?://)([^)#]*)(#[^)]*)?\)")


def test_the_readme_goes_in_the_order_of_a_first_visit() -> None:
    headings = re.findall(r"^## (.*)", read("README.md"), re.MULTILINE)
    assert headings == [
        "Run",
        "Try",
        "Test",
        "Connect your own client",
        "What works",
        "What does not yet",
    ]
    languages = re.findall(r"^```(python|java|go)$", read("README.md"), re.MULTILINE)
    assert languages == ["python", "java", "go"]


def test_the_matrix_is_the_handler_table() -> None:
    assert matrix.replaced(read("README.md")) == read("README.md"), (
        "run python -m compat_tests.repo.matrix --write"
    )


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="matrix:begin"):
        matrix.replaced("no marks here")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = read(document)
    anchors = {
        "#" + re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)", text, re.MULTILINE)
    }
    for target, anchor in _LINK.findall(text):
        assert not target or ((ROOT / document).parent / target).exists(), target
        assert target or anchor in anchors, anchor


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_documents_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for line in shell_lines(read(document)):
        arguments = our_arguments(line)
        if arguments is not None:
            parse(arguments)
        if line.startswith("make "):
            assert line.split()[1] in targets, line
    named = re.findall(r"`make ([a-z]+)[ `]", read(document))
    assert set(named) <= targets


@pytest.mark.parametrize("wrong", [["serve", "--lsten", "x"], ["topics", "make"], ["srve"]])
def test_a_command_that_does_not_exist_would_be_noticed(wrong: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(wrong)


def test_the_first_commands_of_the_readme_work(memory_broker: Broker, tmp_path: Path) -> None:
    """`Try`, from top to bottom, as it stands; only the address differs."""
    if isinstance(memory_broker, Remote):
        pytest.skip("runs the commands against a broker of its own only")
    section = read("README.md").partition("## Try")[2].partition("\n## ")[0]
    said = []
    for line in shell_lines(section):
        program = f"{sys.executable} -m gateway"
        command = line.replace(".venv/bin/woodpecker-gateway", program)
        command += f" --bootstrap {memory_broker.bootstrap}"
        if line.endswith("--from-beginning"):
            command += " --max-messages 1"  # a reader stops it with Ctrl-C
        done = subprocess.run(
            ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, (line, done.stderr)
        said.append(done.stdout)
    assert said[0].startswith("greetings partition 0 offset ")
    assert said[1] == "hello\n"
    assert '"value": "{\\"total\\": 12}"' in said[-2]


def test_the_python_example_of_the_readme_runs(memory_broker: Broker) -> None:
    example = re.search(r"^```python\n(.*?)^```", read("README.md"), re.MULTILINE | re.DOTALL)
    assert example is not None
    code = example[1].replace("127.0.0.1:9092", memory_broker.bootstrap)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stderr
    assert "b'python' b'hello from Python'" in done.stdout


def test_every_promise_names_tests_that_exist() -> None:
    """ARCHITECTURE.md, "What we promise": a row for each of I1 to I10, each with tests."""
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| (I\d+) \|.*\|(.*)\|$", page, re.MULTILINE)
    assert [number for number, _ in rows] == [f"I{number}" for number in range(1, 11)]
    for number, tests in rows:
        paths = re.findall(r"`((?:wal_core|gateway|compat_tests)/[\w/.]+)`", tests)
        assert paths, number
        for path in paths:
            assert (ROOT / path).exists(), (number, path)
