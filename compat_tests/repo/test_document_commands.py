"""Every command in the documents is run, from top to bottom, as it stands."""

import sys
from collections.abc import Iterator

import pytest

from compat_tests.repo.commands import shell_lines
from compat_tests.repo.files import ROOT, read
from compat_tests.repo.stage import Stage

pytestmark = pytest.mark.xdist_group("stage")  # made once

# CONTRIBUTING and ARCHITECTURE are for those who have the checkout: `make` and pytest.
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work(stage: Stage, page: str) -> None:
    said = [stage.run(line.text) for line in shell_lines(read(page)) if not line.reason]
    if page == "README.md":
        assert said[0].startswith("greetings partition 0 offset ")
        assert said[1] == "hello\n"
        assert '"value": "{\\"total\\": 12}"' in said[-2]


def test_the_fixture_of_the_readme_works(stage: Stage) -> None:
    section = read("README.md").partition("## Test your code with it")[2].partition("\n## ")[0]
    code = section.partition("```python\n")[2].partition("```")[0]
    (stage.folder / "test_orders.py").write_text(code)
    said = stage.run(f"{sys.executable} -m pytest -q -p no:cacheprovider test_orders.py")
    assert "1 passed" in said


def test_a_command_that_fails_is_noticed(stage: Stage) -> None:
    with pytest.raises(AssertionError, match="unheard-of"):
        stage.run("woodpecker-gateway topics describe unheard-of")
    with pytest.raises(AssertionError, match="is a file"):
        stage.run("woodpecker-gateway serve --data .venv/bin/woodpecker-gateway")
