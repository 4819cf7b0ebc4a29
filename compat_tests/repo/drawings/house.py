"""Kind `house`: packages and their rooms; what stands above may use what stands below.

`[name/ 2] words` begins a package of that weight beside those before it, `==` a new storey. The
lines behind a package are its rows of rooms: `room: words | room: words`.
"""

import re
from dataclasses import dataclass, field

from compat_tests.repo.drawings.svg import LINE_PX, SOFT, Svg, wrapped

WIDTH = 980
_PACKAGE = re.compile(r"\[(\S+) (\d+)\] (.*)")


@dataclass
class _Package:
    name: str
    weight: int
    words: str
    rows: list[list[tuple[str, str]]] = field(default_factory=list)


def draw(title: str, lines: list[str]) -> Svg:
    svg = Svg(title, WIDTH)
    svg.label(WIDTH / 2, 24, title, bold=True, middle=True)
    y = 40.0
    for storey in _storeys(lines):
        room = WIDTH - 20 - 10 * (len(storey) - 1)
        widths = [room * p.weight / sum(q.weight for q in storey) for p in storey]
        tall = max(_height(p, w) for p, w in zip(storey, widths, strict=True))
        x = 10.0
        for package, width in zip(storey, widths, strict=True):
            _draw_package(svg, package, x, y, width, tall)
            x += width + 10
        y += tall + 12
    return svg


def _storeys(lines: list[str]) -> list[list[_Package]]:
    storeys: list[list[_Package]] = [[]]
    for line in lines:
        head = _PACKAGE.fullmatch(line)
        if line == "==":
            storeys.append([])
        elif head is not None:
            storeys[-1].append(_Package(head[1], int(head[2]), head[3]))
        else:
            rooms = (room.partition(": ") for room in line.split(" | "))
            storeys[-1][-1].rows.append([(name.strip(), words) for name, _, words in rooms])
    return storeys


def _row_height(row: list[tuple[str, str]], width: float) -> float:
    each = (width - 16 - 8 * (len(row) - 1)) / len(row)
    return LINE_PX * (1 + max(len(wrapped(words, each - 14)) for _, words in row)) + 12


def _height(package: _Package, width: float) -> float:
    head = LINE_PX * (1 + len(wrapped(package.words, width - 20))) + 12
    return head + sum(_row_height(row, width) + 8 for row in package.rows)


def _draw_package(
    svg: Svg, package: _Package, x: float, y: float, width: float, tall: float
) -> None:
    svg.box(x, y, width, tall, shade=1)
    svg.label(x + 10, y + 19, package.name, bold=True)
    words = wrapped(package.words, width - 20)
    for i, text in enumerate(words):
        svg.label(x + 10, y + 19 + LINE_PX * (i + 1), text, ink=SOFT)
    y += LINE_PX * (1 + len(words)) + 12
    for row in package.rows:
        each = (width - 16 - 8 * (len(row) - 1)) / len(row)
        height = _row_height(row, width)
        for i, (name, said) in enumerate(row):
            left = x + 8 + i * (each + 8)
            svg.box(left, y, each, height)
            svg.label(left + 7, y + 17, name, bold=True)
            for j, text in enumerate(wrapped(said, each - 14)):
                svg.label(left + 7, y + 17 + LINE_PX * (j + 1), text)
        y += height + 8
