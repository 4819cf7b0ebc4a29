"""Draws what docs/drawings describes: `--write`, or `--check` whether that was done."""

import argparse
import sys

from compat_tests.repo.drawings import FOLDER, render


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m compat_tests.repo.drawings")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="draw all")
    action.add_argument("--check", action="store_true", help="fail if one is out of date")
    options = parser.parse_args()
    stale = []
    for source in sorted(FOLDER.glob("*.txt")):
        svg, target = render(source.read_text(encoding="utf-8")), source.with_suffix(".svg")
        if options.write:
            target.write_text(svg, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != svg:
            stale.append(target.name)
    if stale:
        print(f"out of date: {', '.join(stale)}; run python -m compat_tests.repo.drawings --write")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
