"""Kind `chain`: what becomes of what, in rows of boxes.

A row is one line: `name: words > what happens > name: words`; `# text` heads a row.
"""

from compat_tests.repo.drawings.svg import LINE_PX, SOFT, Svg, wrapped

WIDTH = 980
GAP_PX = 126


def draw(title: str, lines: list[str]) -> Svg:
    svg = Svg(title, WIDTH)
    svg.label(WIDTH / 2, 24, title, bold=True, middle=True)
    y = 40.0
    for line in lines:
        if line.startswith("# "):
            svg.label(10, y + 18, line[2:], ink=SOFT)
            y += 28
        else:
            y += _draw_row(svg, [part.strip() for part in line.split(" > ")], y) + 14
    return svg


def _draw_row(svg: Svg, parts: list[str], y: float) -> float:
    boxes = [part.partition(": ") for part in parts[::2]]
    width = (WIDTH - 20 - GAP_PX * (len(boxes) - 1)) / len(boxes)
    names = [wrapped(name, width - 26) for name, _, _ in boxes]
    words = [wrapped(said, width - 18) for _, _, said in boxes]
    labels = [wrapped(part, GAP_PX - 8) for part in parts[1::2]]
    lines = max(len(name) + len(said) for name, said in zip(names, words, strict=True))
    level = y + 12 + LINE_PX * max(map(len, labels), default=0)  # of the arrows
    tall = max(LINE_PX * lines + 14, level - y + 12)
    for i, name in enumerate(names):
        x = 10 + i * (width + GAP_PX)
        svg.box(x, y, width, tall, shade=1)
        for j, text in enumerate((*name, *words[i])):
            svg.label(x + 9, y + 19 + LINE_PX * j, text, bold=j < len(name))
        if i:
            svg.arrow(x - GAP_PX + 4, level, x - 4, level)
            for j, text in enumerate(labels[i - 1]):
                base = level - 6 - LINE_PX * (len(labels[i - 1]) - 1 - j)
                svg.label(x - GAP_PX / 2, base, text, middle=True, ink=SOFT)
    return tall
