"""From the text of a drawing to its SVG."""

from collections.abc import Callable, Mapping
from pathlib import Path

from compat_tests.repo.drawings import chain, house, steps
from compat_tests.repo.drawings.svg import Svg

FOLDER = Path(__file__).parents[3] / "docs" / "drawings"
_KINDS: Mapping[str, Callable[[str, list[str]], Svg]] = {
    "chain": chain.draw,
    "house": house.draw,
    "steps": steps.draw,
}


def render(text: str) -> str:
    """The SVG of a drawing's text; raises ValueError for a kind that there is not."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kind, title = lines[0].removeprefix("kind: "), lines[1].removeprefix("title: ")
    if kind not in _KINDS:
        raise ValueError(f"kind {kind!r}, expected one of {', '.join(_KINDS)}")
    return _KINDS[kind](title, lines[2:]).text()
