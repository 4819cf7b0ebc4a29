"""Shapes of a drawing, as SVG; sizes in pixels. Knows nothing of what is drawn."""

import textwrap
from collections.abc import Sequence
from html import escape

TEXT_PX = 13
LINE_PX = 17
CHAR_PX = 7.4  # of a usual character at that size; only line breaks depend on it
INK, SOFT, LINE, WARN = "#1f2933", "#52606d", "#829ab1", "#b42318"
FILLS = ("#ffffff", "#eef4fa", "#dbe8f5")


class Svg:
    """Collects shapes; `text()` is the file."""

    def __init__(self, title: str, width: int) -> None:
        self.title = title
        self.width = width
        self.height = 0
        self._shapes: list[str] = []

    def _grow(self, y: float) -> None:
        self.height = max(self.height, int(y) + 1)

    def box(self, x: float, y: float, width: float, height: float, shade: int = 0) -> None:
        """A box with round corners."""
        self._shapes.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="5" '
            f'fill="{FILLS[shade]}" stroke="{LINE}"/>'
        )
        self._grow(y + height)

    def bar(self, x: float, y: float, width: float, height: float, ink: str) -> None:
        """A filled box without an edge."""
        self._shapes.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{max(width, 1):.0f}" height="{height:.0f}" '
            f'fill="{ink}"/>'
        )
        self._grow(y + height)

    def curve(self, points: Sequence[tuple[float, float]], ink: str) -> None:
        """Straight from point to point, each of them marked."""
        way = "L".join(f"{x:.0f} {y:.0f}" for x, y in points)
        self._shapes.append(f'<path d="M{way}" stroke="{ink}" stroke-width="2"/>')
        for x, y in points:
            self._shapes.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{ink}"/>')
            self._grow(y + 3)

    def patch(self, x: float, y: float, width: float, height: float) -> None:
        """White: what text lies on, where lines cross it."""
        self._shapes.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" '
            f'fill="{FILLS[0]}"/>'
        )

    def label(
        self,
        x: float,
        y: float,
        text: str,
        *,
        bold: bool = False,
        middle: bool = False,
        ink: str = INK,
    ) -> None:
        """One line of text; `y` is its base line."""
        weight = ' font-weight="bold"' if bold else ""
        anchor = ' text-anchor="middle"' if middle else ""
        self._shapes.append(
            f'<text x="{x:.0f}" y="{y:.0f}" fill="{ink}"{weight}{anchor}>{escape(text)}</text>'
        )
        self._grow(y + 4)

    def line(self, x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False) -> None:
        """A thin line without heads."""
        dash = ' stroke-dasharray="3 4"' if dashed else ""
        self._shapes.append(
            f'<path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" stroke="{LINE}"{dash}/>'
        )
        self._grow(max(y1, y2))

    def arrow(
        self, x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False, ink: str = INK
    ) -> None:
        """A straight arrow, level or upright."""
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self._shapes.append(
            f'<path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" stroke="{ink}"{dash}/>'
        )
        if y1 == y2:
            back = x2 - 9 if x2 > x1 else x2 + 9
            head = f"M{x2:.0f} {y2:.0f}L{back:.0f} {y2 - 4:.0f}L{back:.0f} {y2 + 4:.0f}Z"
        else:
            back = y2 - 9 if y2 > y1 else y2 + 9
            head = f"M{x2:.0f} {y2:.0f}L{x2 - 4:.0f} {back:.0f}L{x2 + 4:.0f} {back:.0f}Z"
        self._shapes.append(f'<path d="{head}" fill="{ink}" stroke="none"/>')
        self._grow(max(y1, y2) + 4)

    def cross(self, x: float, y: float) -> None:
        """What did not arrive."""
        for side in (-1, 1):
            self._shapes.append(
                f'<path d="M{x - 5:.0f} {y - 5 * side:.0f}L{x + 5:.0f} {y + 5 * side:.0f}" '
                f'stroke="{WARN}" stroke-width="2"/>'
            )

    def text(self) -> str:
        height = self.height + 16
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height}" '
            f'width="{self.width}" height="{height}" font-family="Helvetica, Arial, sans-serif" '
            f'font-size="{TEXT_PX}" fill="none">'
        )
        ground = f'<rect width="{self.width}" height="{height}" fill="#ffffff"/>'
        rows = [head, f"<title>{escape(self.title)}</title>", ground, *self._shapes, "</svg>"]
        return "\n".join(rows) + "\n"


def wrapped(text: str, width: float) -> list[str]:
    """The lines that `text` takes in `width` pixels."""
    return textwrap.wrap(text, max(8, int(width / CHAR_PX)), break_long_words=False)


def text_px(text: str) -> float:
    return len(text) * CHAR_PX
