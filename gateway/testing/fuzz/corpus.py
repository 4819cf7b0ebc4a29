"""Inputs that are tried at every test run: a text file per target, one input a line.

A line is a name and the input in hex. Names begin with what the input is: `seed-` made by our own
encoders, `found-` by the fuzzer, because it goes where no seed goes, `bug-` that once failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from gateway.testing.fuzz.target import Target

FOLDER = Path(__file__).with_name("corpus")
SEED, FOUND, BUG = "seed-", "found-", "bug-"
_EMPTY = "-"  # hex of an input without bytes


def read_corpus(target_name: str, folder: Path = FOLDER) -> dict[str, bytes]:
    """Name -> input; nothing where there is no file yet."""
    path = folder / f"{target_name}.txt"
    if not path.exists():
        return {}
    rows = (line.split(" ") for line in path.read_text(encoding="ascii").splitlines())
    return {name: b"" if digits == _EMPTY else bytes.fromhex(digits) for name, digits in rows}


def write_corpus(target_name: str, inputs: dict[str, bytes], folder: Path = FOLDER) -> None:
    order = {SEED: 0, FOUND: 1, BUG: 2}
    rows = sorted(inputs.items(), key=lambda row: (order[row[0].partition("-")[0] + "-"], row))
    lines = [f"{name} {data.hex() or _EMPTY}\n" for name, data in rows]
    (folder / f"{target_name}.txt").write_text("".join(lines), encoding="ascii")


def with_seeds(target: Target[object], inputs: dict[str, bytes]) -> dict[str, bytes]:
    """`inputs` with the seeds that the encoders make today."""
    kept = {name: data for name, data in inputs.items() if not name.startswith(SEED)}
    return {SEED + name: data for name, data in target.seeds()} | kept


def with_found(
    inputs: dict[str, bytes], found: Iterable[bytes], bytes_max: int
) -> dict[str, bytes]:
    """`inputs` with as many of `found`, shortest first, as fit `bytes_max` in all."""
    kept = {name: data for name, data in inputs.items() if not name.startswith(FOUND)}
    known, left_bytes = set(kept.values()), bytes_max
    for data in sorted(set(found) - known, key=len):
        left_bytes -= len(data)
        if left_bytes < 0:
            break
        kept[FOUND + hashlib.sha256(data).hexdigest()[:8]] = data
    return kept
