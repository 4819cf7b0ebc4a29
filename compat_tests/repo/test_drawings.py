"""Each drawing is what its text gives, is shown somewhere, and has its text inside its bounds."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from compat_tests.repo.drawings import FOLDER, render
from compat_tests.repo.drawings.svg import CHAR_PX
from compat_tests.repo.files import ROOT, read

SOURCES = sorted(FOLDER.glob("*.txt"))
_SVG = "{http://www.w3.org/2000/svg}"


def test_every_drawing_has_a_text() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {path.stem for path in SOURCES}
    assert {"house", "produce", "fetch", "after_the_tail", "fencing"} <= {p.stem for p in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_drawing_is_what_its_text_gives(source: Path) -> None:
    drawn = render(source.read_text(encoding="utf-8"))
    assert source.with_suffix(".svg").read_text(encoding="utf-8") == drawn, (
        "run python -m compat_tests.repo.drawings --write"
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_all_text_is_inside(source: Path) -> None:
    picture = ElementTree.fromstring(source.with_suffix(".svg").read_text(encoding="utf-8"))
    width, height = float(picture.get("width", "0")), float(picture.get("height", "0"))
    texts = picture.findall(f"{_SVG}text")
    assert texts
    for text in texts:
        said = text.text or ""
        wide = len(said) * CHAR_PX
        left = float(text.get("x", "0")) - (wide / 2 if text.get("text-anchor") else 0)
        assert 0 <= left <= left + wide <= width + CHAR_PX, said
        assert 0 < float(text.get("y", "0")) < height, said


def test_every_drawing_is_shown_with_words_for_those_who_do_not_see_it() -> None:
    shown = dict(re.findall(r"!\[([^]]*)\]\(docs/drawings/(\w+)\.svg\)", read("ARCHITECTURE.md")))
    assert set(shown.values()) == {path.stem for path in SOURCES}
    assert all(shown)


def test_a_change_of_the_text_would_be_noticed() -> None:
    text = (ROOT / "docs/drawings/fencing.txt").read_text(encoding="utf-8")
    assert render(text) != render(text.replace("acknowledged", "told"))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind 'pie'"):
        render("kind: pie\ntitle: x\n")
