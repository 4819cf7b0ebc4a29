"""`python -m protocol.codegen [--extract [--jar PATH]] [--check]`."""

# The layer contract keeps pathlib out of `protocol`, so paths are strings here.
# ruff: noqa: PTH100, PTH110, PTH118, PTH119, PTH120, PTH123, PTH208

import argparse
import os
import sys

from protocol.codegen.emit import emit_index, emit_module
from protocol.codegen.extract import extract_table
from protocol.codegen.table import parse_tables

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(ROOT, "schema_table.txt")
RECORDS_TABLE = os.path.join(ROOT, "schema_records.txt")
MESSAGES = os.path.join(ROOT, "messages")


def read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def generate() -> dict[str, str]:
    """Path -> text of every generated file."""
    modules = parse_tables(read(TABLE), read(RECORDS_TABLE))
    files = {os.path.join(MESSAGES, f"{m.name}.py"): emit_module(m) for m in modules}
    files[os.path.join(MESSAGES, "__init__.py")] = emit_index(modules)
    return files


def stale() -> list[str]:
    """Names of generated files that are missing, out of date, or no longer generated."""
    files = generate()
    names = [os.path.basename(path) for path, text in files.items() if read(path) != text]
    present = [name for name in os.listdir(MESSAGES) if name.endswith(".py")]
    return names + [name for name in present if os.path.join(MESSAGES, name) not in files]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m protocol.codegen", description=__doc__)
    parser.add_argument("--extract", action="store_true", help="rebuild schema_table.txt first")
    parser.add_argument("--jar", help="kafka-clients, for messages that no Python package defines")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    options = parser.parse_args()
    if options.check:
        old = stale()
        for name in old:
            sys.stderr.write(f"protocol/messages/{name} is out of date: make it anew\n")
        return 1 if old else 0
    if options.extract:
        table = extract_table(read(TABLE), options.jar)
        with open(TABLE, "w", encoding="utf-8") as file:
            file.write(table)
    for path, text in generate().items():
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
