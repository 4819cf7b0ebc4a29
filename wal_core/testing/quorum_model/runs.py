"""What is explored, and which run shows that a rule is needed.

Each run looks at one part with all its orders of steps; some begin after a *prelude*, steps that
lead to where it becomes interesting.
"""

from __future__ import annotations

from wal_core.testing.quorum_model.rules import Bounds, Rule

_TAIL = Bounds(terms=(1, 2, 3))
_SHORT_TAIL = _TAIL._replace(blocks_max=1)
_EQUAL_TERMS = Bounds(terms=(1, 2, 2))
_ROLL = Bounds(rolls_max=1)
_LOST = Bounds(lost_max=1)

# Two have a0, one of them loses its disk, and D is asked to come instead.
_ENSEMBLE = Bounds(rolls_max=1, lost_max=1, spares_count=1, changes_max=1)
_NEWCOMER = _ENSEMBLE._replace(
    prelude=("a appends a0", "A takes a0 of a", "C takes a0 of a", "C loses everything"),
)

# Segment 1 is written by A, B and D. Then somebody loses a disk.
_CHANGED = _ENSEMBLE._replace(
    prelude=(
        "a appends a0",
        "A takes a0 of a",
        "B takes a0 of a",
        "D joins for a",
        "a completes segment 0, D for C",
        "A takes the final of a, 1 blocks in segment 0",
        "B takes the final of a, 1 blocks in segment 0: chosen",
    ),
)

# b has decided on what a has written to A, and c has the same term.
_PROMISED_TWICE = _EQUAL_TERMS._replace(
    prelude=(
        "a appends a0",
        "A takes a0 of a",
        "A promises b",
        "B promises b",
        "b decides on ('a0',), the same ensemble",
    ),
)

_UPLOAD = Bounds(blocks_max=1, rolls_max=1, uploads=True)
_UPLOAD_TAIL = Bounds(uploads=True)

RUNS = {
    "tail": _TAIL,
    "start": Bounds(owned=False, rolls_max=1),
    "equal terms": _EQUAL_TERMS,
    "roll": _ROLL._replace(blocks_max=3),
    "lost disk": _LOST._replace(terms=(1, 2, 3), blocks_max=1),
    "newcomer": _NEWCOMER._replace(blocks_max=3),
    "changed ensemble": _CHANGED,
    "upload": _UPLOAD,
    "upload of a tail": _UPLOAD_TAIL,
}
"""Seconds each; `make check` runs them all."""

LONG_RUNS = {
    "tail, 3 blocks": _TAIL._replace(blocks_max=3),
    "tail of four writers": Bounds(terms=(1, 2, 3, 4), blocks_max=1),
    "start of three writers": Bounds(terms=(1, 2, 3), owned=False),
    "equal terms, 3 blocks": _EQUAL_TERMS._replace(blocks_max=3),
    "lost disk, 2 blocks": _LOST._replace(terms=(1, 2, 3)),
    "roll of three writers": _ROLL._replace(terms=(1, 2, 3)),
    "newcomer of three writers": _NEWCOMER._replace(terms=(1, 2, 3)),
    "ensemble": _ENSEMBLE,
    "upload, 2 blocks": _UPLOAD._replace(blocks_max=2),
    "upload, lost disk": _UPLOAD._replace(lost_max=1),
}
"""Minutes, and a gigabyte or two of memory: `make model`."""

BREAKS: dict[Rule, Bounds] = {
    Rule.UNKNOWN_IS_SILENT: _LOST,
    Rule.BIRTH: _ENSEMBLE,
    Rule.PROMISE_ABOVE: _PROMISED_TWICE,
    Rule.PROMISE_TELLS: Bounds(),
    Rule.APPEND_PROMISED: Bounds(),
    Rule.APPEND_DENSE: Bounds(),
    Rule.APPEND_DESPITE_FINAL: _SHORT_TAIL,
    Rule.FINAL_PROMISED: _SHORT_TAIL,
    Rule.PROMISE_STORED: _EQUAL_TERMS,
    Rule.BLOCK_STORED: Bounds(),
    Rule.FINAL_STORED: Bounds(),
    Rule.FINAL_WITH_DATA: Bounds(),
    Rule.CONFIRM_AT_TWO: Bounds(),
    Rule.ROLL_WHEN_CHOSEN: _ROLL,
    Rule.JOIN_FIRST: _ENSEMBLE,
    Rule.FINAL_NAMES_NEXT: _CHANGED,
    Rule.READ_CONFIRMED: Bounds(),
    Rule.FINAL_IS_NOT_CONFIRMED: Bounds(),
    Rule.TWO_PROMISES: Bounds(),
    Rule.FINAL_AT_TWO: Bounds(),
    Rule.END_OF_ALL: Bounds(),
    Rule.NOTHING_IS_ZERO: Bounds(),
    Rule.FINAL_AGAIN: Bounds(),
    Rule.HIGHEST_FINAL: _SHORT_TAIL,
    Rule.CHOOSE_AGAIN: _SHORT_TAIL,
    Rule.END_IS_FINAL: Bounds(),
    Rule.OWN_FENCE: Bounds(),
    Rule.MANIFEST_LAST: _SHORT_TAIL,
    Rule.BEGIN_AGAIN: _UPLOAD,
    Rule.UPLOAD_CONFIRMED: _UPLOAD,
    Rule.UPLOAD_COMPARE: _UPLOAD_TAIL,
    Rule.FOOTER_WHEN_CHOSEN: _UPLOAD,
    Rule.POINTER_WHEN_UPLOADED: _UPLOAD,
    Rule.POINTER_NAMES_ENSEMBLE: _CHANGED._replace(uploads=True, lost_max=0),
    Rule.TRIM_BEHIND_POINTER: _UPLOAD,
}
"""Where breaking a rule shows."""
