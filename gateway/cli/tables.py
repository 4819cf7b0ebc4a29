"""Rows for people: columns that stand below each other."""

from collections.abc import Sequence

import click


def show_table(rows: Sequence[Sequence[object]]) -> None:
    """Columns under a heading, numbers to the right."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = [
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
