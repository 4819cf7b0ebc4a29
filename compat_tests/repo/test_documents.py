"""Documents say what is so: commands exist, the matrix is current, the examples run."""

import ast
import re
import subprocess
import sys

import click
import pytest

from compat_tests.conftest import Broker
from compat_tests.repo import matrix
from compat_tests.repo.commands import check, parse, shell_lines
from compat_tests.repo.files import ROOT, read, repository_files

DOCUMENTS = sorted(
    str(path.relative_to(ROOT)) for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md")
)
README_LINES_MAX_COUNT = 200
_LINK = re.compile(r"\]\((?!https?://)([^)#]*)(#[^)]*)?\)")


def test_the_readme_goes_in_the_order_of_a_first_visit() -> None:
    headings = re.findall(r"^## (.*)", read("README.md"), re.MULTILINE)
    assert headings == [
        "Run",
        "Try",
        "Use it from Python",
        "Test your code with it",
        "Connect your own client",
        "Test",
        "What works",
        "What does not work yet",
        "Documents",
    ]
    assert re.findall(r"^```(python|java|go)$", read("README.md"), re.MULTILINE) == ["python"] * 2
    assert re.findall(r"^```(java|go)$", read("docs/clients.md"), re.MULTILINE) == ["java", "go"]
    assert len(read("README.md").splitlines()) <= README_LINES_MAX_COUNT


def test_the_readme_names_every_page() -> None:
    named = re.findall(
        r"^\| \[(.*?)\]", read("README.md").partition("## Documents")[2], re.MULTILINE
    )
    assert sorted(named) == sorted({*DOCUMENTS} - {"README.md"})


def test_the_matrix_is_the_handler_table() -> None:
    assert matrix.replaced(read("README.md")) == read("README.md"), (
        "run python -m compat_tests.repo.matrix --write"
    )


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="matrix:begin"):
        matrix.replaced("no marks here")


def anchors(markdown: str) -> set[str]:
    """What `#...` in a link to this text may be."""
    return {
        "#" + re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)", markdown, re.MULTILINE)
    }


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target, anchor in _LINK.findall(read(document)):
        page = (ROOT / document).parent / target if target else ROOT / document
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8")), anchor


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_documents_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    for line in shell_lines(read(document)):
        check(line.text, targets)
    named = re.findall(r"`make ([a-z-]+)[ `]", read(document))
    assert set(named) <= targets


@pytest.mark.parametrize("wrong", [["serve", "--lsten", "x"], ["topics", "make"], ["srve"]])
def test_a_command_that_does_not_exist_would_be_noticed(wrong: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(wrong)


@pytest.mark.parametrize(
    "wrong", ["make nothing", "kafka-topics.sh --create --tpoic x", "rm -r data", "woodpecker x"]
)
def test_a_line_that_cannot_be_meant_would_be_noticed(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        check(wrong, {"run", "test"})


@pytest.mark.storage_blind("the example runs")
def test_the_python_example_of_the_readme_runs(memory_broker: Broker) -> None:
    example = re.search(r"^```python\n(.*?)^```", read("README.md"), re.MULTILINE | re.DOTALL)
    assert example is not None
    code = example[1].replace("127.0.0.1:9092", memory_broker.bootstrap)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stderr
    assert "b'python' b'hello from Python'" in done.stdout


def logged() -> set[str]:
    """The events that the gateway logs."""
    events = set()
    for path in repository_files(ROOT / "gateway"):
        parts = set(path.relative_to(ROOT).parts)
        if path.suffix == ".py" and not {"tests", "testing"} & parts:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "log_event":
                    assert isinstance(node.args[2], ast.Constant), (path, node.lineno)
                    events.add(str(node.args[2].value))
    return events


def test_every_event_has_a_row_that_says_what_to_do() -> None:
    page = read("docs/operations.md")
    told = {
        event
        for cell in re.findall(
            r"^\| (`[^|]*`) \| (?:info|warning|error|debug) \|", page, re.MULTILINE
        )
        for event in re.findall(r"`(.+?)`", cell)
    }
    assert logged() <= told, "name it in docs/operations.md, What to watch"
    of_the_log = set(re.findall(r"`(.+?)`", page.partition("| sentence |")[2].partition("\n\n")[0]))
    assert told - of_the_log <= logged()


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
