"""The README's table of served APIs, derived from the handler table.

`python -m compat_tests.repo.matrix` prints it, `--write` puts it into README.md, `--check` fails
when the README says something else.
"""

import argparse
import sys
from itertools import zip_longest
from pathlib import Path

from gateway.api import API_TABLE

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- matrix:begin -->", "<!-- matrix:end -->"


def table() -> str:
    """Markdown: two APIs a row, each column in the order of the handler table."""
    cells = [
        f"{api.name} | {int(api.key)} | {api.min_version} to {api.max_version}"
        for api in API_TABLE.values()
    ]
    half = (len(cells) + 1) // 2
    rows = ["| API | key | versions | API | key | versions |", "|---|---:|---|---|---:|---|"]
    for left, right in zip_longest(cells[:half], cells[half:], fillvalue=" | | "):
        rows.append(f"| {left} | {right} |")
    return "\n".join(rows)


def replaced(text: str) -> str:
    """The README with a current table between the marks."""
    head, _, rest = text.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"README.md needs the marks {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m compat_tests.repo.matrix", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--check", action="store_true", help="fail if README.md differs")
    options = parser.parse_args(args)
    text = README.read_text(encoding="utf-8")
    if options.check and replaced(text) != text:
        print("README.md is out of date: run python -m compat_tests.repo.matrix --write")
        return 1
    if options.write:
        README.write_text(replaced(text), encoding="utf-8")
    elif not options.check:
        print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
