"""The mistakes still fit the sources, and the tool that makes them tells who noticed.

What they say about the tests is `make teeth`'s business, which takes minutes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import ANY

import pytest

from gateway.testing.teeth import __main__ as teeth
from gateway.testing.teeth.mutation import Mutation, parse, read_all
from gateway.testing.teeth.tree import ROOT, Run, Tree

MUTATIONS = read_all()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[m.name.replace(" ", "-") for m in MUTATIONS])
def test_a_mistake_fits_the_sources_as_they_are(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    changed = mutation.applied(text)
    assert changed != text
    compile(changed, mutation.file, "exec")
    assert re.fullmatch(r"I([1-9]|10)", mutation.promise)


@pytest.mark.parametrize("test", sorted({test for m in MUTATIONS for test in m.caught_by}))
def test_whoever_should_notice_exists(test: str) -> None:
    file, _, name = test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_there_are_enough_and_each_has_its_name() -> None:
    assert len(MUTATIONS) >= 15
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


# --- the tool ------------------------------------------------------------------------------------

ONE = """
# why it is here
[adds wrongly]
breaks: I2
in: sums.py
 def add(a, b):
-    return a + b
+    return a - b
caught by: test_sums.py::test_add
"""
TESTS = """
import pytest, sums

@pytest.mark.parametrize("b", [0, 1])
def test_add(b):
    assert sums.add(1, b) == 1 + b

def test_nothing():
    pass
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    (folder / "test_sums.py").write_text(TESTS)
    return folder


def a_tree(sources: Path) -> Tree:
    folder = sources.parent / "tree"
    folder.mkdir()
    return Tree(folder, sources, ["sums.py", "test_sums.py"])


def test_a_mistake_is_read() -> None:
    (mutation,) = parse(ONE)
    assert mutation == Mutation(
        "adds wrongly",
        "I2",
        "sums.py",
        "def add(a, b):\n    return a + b\n",
        "def add(a, b):\n    return a - b\n",
        ("test_sums.py::test_add",),
    )


@pytest.mark.parametrize(
    "broken",
    [
        ONE.replace("caught by: ", "noticed by: "),
        ONE.replace("breaks: I2\n", ""),
        ONE.replace("caught by: test_sums.py::test_add\n", ""),
        ONE + "in: other.py\n",
    ],
)
def test_a_mistake_that_is_written_wrongly_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r"a mistake|needs"):
        list(parse(broken))


@pytest.mark.parametrize("text", ["def add(a, b):\n    return 0\n", "x"])
def test_a_mistake_without_its_place_is_refused(text: str) -> None:
    (mutation,) = parse(ONE)
    with pytest.raises(ValueError, match="0 places"):
        mutation.applied(text)
    with pytest.raises(ValueError, match="2 places"):
        mutation.applied(2 * mutation.old)


@pytest.mark.slow
def test_who_notices_and_who_does_not(sources: Path) -> None:
    (mutation,) = parse(ONE + "caught by: test_sums.py::test_nothing\n")
    tree = a_tree(sources)
    verdict = teeth._judge(mutation, tree, everything=False)
    assert verdict.caught == ("test_sums.py::test_add",)
    assert verdict.silent == ("test_sums.py::test_nothing",)
    assert not verdict.fine
    assert tree.test(mutation.caught_by) == Run(frozenset(), ANY, completed=True)  # undone


@pytest.mark.slow
def test_a_test_that_cannot_run_catches_nothing(sources: Path) -> None:
    (mutation,) = parse(ONE.replace("+    return a - b", "+    return a -"))
    verdict = teeth._judge(mutation, a_tree(sources), everything=False)
    assert verdict.problem
    assert not verdict.fine


class FakeTree:
    """Notices whatever it is told to."""

    failed: frozenset[str] = frozenset()

    def __init__(self, folder: Path) -> None:
        self.wrong = False

    @contextmanager
    def mutated(self, _: Mutation) -> Iterator[None]:
        self.wrong = True
        yield
        self.wrong = False

    def test(self, tests: Sequence[str]) -> Run:
        return Run(frozenset(tests) if self.wrong else self.failed, "their output", completed=True)


def test_all_are_judged_with_healthy_tests_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(teeth, "Tree", FakeTree)
    mutations = list(parse(ONE + ONE.replace("adds wrongly", "adds wrongly again")))
    (tmp_path / "a").mkdir()
    verdicts = asyncio.run(teeth.judged(mutations, tmp_path / "a", 2, everything=False))
    assert [verdict.mutation for verdict in verdicts] == mutations
    assert all(verdict.fine for verdict in verdicts)
    assert capsys.readouterr().out.count("caught     I2  adds wrongly") == 2
    FakeTree.failed = frozenset(mutations[0].caught_by)
    (tmp_path / "b").mkdir()
    with pytest.raises(SystemExit, match="without any mistake:\ntheir output"):
        asyncio.run(teeth.judged(mutations, tmp_path / "b", 1, everything=False))
