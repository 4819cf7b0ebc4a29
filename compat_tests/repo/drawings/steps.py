"""Kind `steps`: who tells whom what, from top to bottom.

`lanes: A | B | C` names the columns. Then one step a line: `A -> B: text` (`-->` an answer, `-x`
one that is refused), `A: text` (what A does meanwhile), `== text` (a line across).
"""

import re

from compat_tests.repo.drawings.svg import (
    INK,
    LINE_PX,
    SOFT,
    WARN,
    Svg,
    text_px,
    wrapped,
)

_STEP = re.compile(r"(.+?) (-->|->|-x) (.+?): (.+)")
LANE_PX = 176
HEAD_PX = 30
NOTE_PX = LANE_PX + 60


def draw(title: str, lines: list[str]) -> Svg:
    first, *steps = lines
    lanes = [name.strip() for name in first.removeprefix("lanes:").split("|")]
    svg = Svg(title, 20 + LANE_PX * len(lanes))
    at = {name: 10 + LANE_PX * (i + 0.5) for i, name in enumerate(lanes)}
    svg.label(svg.width / 2, 24, title, bold=True, middle=True)
    top = 40.0
    ends = top + HEAD_PX + sum(_height(step, at, svg.width) for step in steps) + 8
    for x in at.values():
        svg.line(x, top + HEAD_PX, x, ends, dashed=True)
    for name, x in at.items():
        svg.box(x - LANE_PX / 2 + 6, top, LANE_PX - 12, HEAD_PX, shade=2)
        svg.label(x, top + 20, name, bold=True, middle=True)
    y = top + HEAD_PX
    for step in steps:
        _draw_step(svg, step, at, y)
        y += _height(step, at, svg.width)
    return svg


def _span(step: str, at: dict[str, float], width: int) -> tuple[list[str], float]:
    """The lines of a step's text, and how wide they may be."""
    told = _STEP.fullmatch(step)
    if told is not None:
        room = abs(at[told[3]] - at[told[1]]) - 14
        return wrapped(told[4], max(room, LANE_PX - 14)), room
    if step.startswith("== "):
        return wrapped(step[3:], width - 60), width - 60
    return wrapped(step.partition(": ")[2], NOTE_PX - 16), NOTE_PX


def _height(step: str, at: dict[str, float], width: int) -> float:
    count = len(_span(step, at, width)[0])
    return LINE_PX * count + (18 if _STEP.fullmatch(step) else 20)


def _draw_step(svg: Svg, step: str, at: dict[str, float], y: float) -> None:
    texts, _ = _span(step, at, svg.width)
    told = _STEP.fullmatch(step)
    if told is not None:
        _draw_arrow(svg, told, texts, at, y)
    elif step.startswith("== "):
        middle = y + 10 + LINE_PX * len(texts) / 2
        svg.line(10, middle, svg.width - 10, middle)
        for i, text in enumerate(texts):
            wide = text_px(text) + 20
            svg.box((svg.width - wide) / 2, y + 8 + LINE_PX * i, wide, LINE_PX + 4, shade=1)
            svg.label(svg.width / 2, y + 22 + LINE_PX * i, text, middle=True, ink=SOFT)
    else:
        name = step.partition(": ")[0]
        wide = min(NOTE_PX, max(map(text_px, texts)) + 20)
        left = min(max(at[name] - wide / 2, 6), svg.width - wide - 6)
        svg.box(left, y + 7, wide, LINE_PX * len(texts) + 8)
        for i, text in enumerate(texts):
            svg.label(left + 9, y + 23 + LINE_PX * i, text)


def _draw_arrow(
    svg: Svg, told: re.Match[str], texts: list[str], at: dict[str, float], y: float
) -> None:
    begin, end = at[told[1]], at[told[3]]
    level = y + 10 + LINE_PX * len(texts)
    is_refused = told[2] == "-x"
    ink = WARN if is_refused else INK
    svg.arrow(begin, level, end, level, dashed=told[2] == "-->", ink=ink)
    if is_refused:
        svg.cross(end - 18 if end > begin else end + 18, level)
    for i, text in enumerate(texts):
        base = level - 5 - LINE_PX * (len(texts) - 1 - i)
        if abs(end - begin) > LANE_PX:  # it goes across other lanes
            svg.patch((begin + end - text_px(text)) / 2, base - 12, text_px(text), LINE_PX - 2)
        svg.label((begin + end) / 2, base, text, middle=True, ink=ink)
