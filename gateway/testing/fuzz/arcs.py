"""Which inputs of many are worth keeping: a small set that goes everywhere the whole set goes.

An arc is a step from one line of our sources to the next. Slow (every line calls back), which does
not matter for some hundred inputs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from gateway.testing.fuzz.target import Target

_ROOT = str(Path(__file__).parents[3])

Arcs: TypeAlias = set[tuple[str, int, int]]


def worth_keeping(
    target: Target[object], inputs: Iterable[bytes], known: Iterable[bytes]
) -> list[bytes]:
    """Those of `inputs` that go where no shorter one goes, nor any of `known`."""
    reached: Arcs = set()
    for data in known:
        reached |= arcs_of(target, data)
    kept = []
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        new = arcs_of(target, data) - reached
        if new:
            kept.append(data)
            reached |= new
    return kept


def arcs_of(target: Target[object], data: bytes) -> Arcs:
    """The arcs that this input takes through our sources."""
    arcs: Arcs = set()
    last_lines: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _: object) -> object:
        file = frame.f_code.co_filename
        if not file.startswith(_ROOT):
            return None
        line = frame.f_lineno
        arcs.add((file, last_lines.get(frame, 0), line))
        last_lines[frame] = line
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        target.run(data)
    finally:
        sys.settrace(before)
    return arcs
