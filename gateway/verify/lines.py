"""One line of a history: its fields, and reading it. Source: HISTORY.md.

Strict on purpose: a misspelt field would quietly turn a check off, so it is refused. Knows single
lines only; what belongs together across lines is load.py's.
"""

from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

VERSION = 1
Value: TypeAlias = int | str
Process: TypeAlias = int | str


class Unreadable(Exception):
    """The history is not one: on which line, and what was expected there."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)
        self.line = line
        self.problem = problem


class Send(Struct, array_like=True, tag="send", forbid_unknown_fields=True, gc=False):
    """`["send", key, value]`, or `["send", key, [offset, value]]` once the offset is told."""

    key: str
    what: int | str | tuple[int | None, int | str]


class Poll(Struct, array_like=True, tag="poll", forbid_unknown_fields=True):
    """`["poll"]`, or `["poll", {key: [[offset, value], ...]}]` with what it returned."""

    records: dict[str, list[tuple[int, int | str]]] = {}


class Observed(Struct, forbid_unknown_fields=True, gc=False):
    """What a reply said about a key beside the records. Ends are exclusive."""

    high_watermark: int | None = None
    log_start: int | None = None
    log_end: int | None = None
    last_stable: int | None = None
    leader_epoch: int | None = None


MicroOps: TypeAlias = list[Send | Poll | str]
Positions: TypeAlias = dict[str, int | None]


class OpLine(Struct, tag_field="type", forbid_unknown_fields=True, kw_only=True):
    """What the four kinds of line about an operation share."""

    process: int | str
    f: str
    time_ms: float
    value: MicroOps | Positions | None = None
    op: int | None = None
    # What the client promised or asked for: read from the invoke line.
    idempotent: bool = False
    acks: int = -1
    max_in_flight: int | None = None
    batch: bool = False
    isolation: str | None = None
    final: bool = False
    fresh: bool = False
    rebalances: bool = False
    connection: int | str | None = None
    group: str | None = None
    # What came back: read from the completing line.
    observed: dict[str, Observed] | None = None
    error: str | None = None
    note: Any = None


class Invoke(OpLine, tag="invoke"):
    """An operation begins."""


class Ok(OpLine, tag="ok"):
    """It happened."""


class Fail(OpLine, tag="fail"):
    """It did not happen and never will."""


class Info(OpLine, tag="info"):
    """Nobody knows: it may have happened, or may still."""


class HistoryLine(Struct, tag_field="type", tag="history", forbid_unknown_fields=True):
    """The first line."""

    version: int
    isolation: str | None = None
    note: Any = None


class EventLine(Struct, tag_field="type", tag="event", forbid_unknown_fields=True):
    """Something that happened to the system: crash, restart, taken_over, outage, ..."""

    event: str
    time_ms: float
    node: int | str | None = None
    note: Any = None


class PutLine(Struct, tag_field="type", tag="put", forbid_unknown_fields=True):
    """An object was created in the store, told by the store itself."""

    key: str
    time_ms: float
    writer: int | str | None = None
    note: Any = None


class BucketLine(Struct, tag_field="type", tag="bucket", forbid_unknown_fields=True):
    """The objects that are there, and those that should be."""

    listed: list[str]
    named: list[str]
    time_ms: float
    note: Any = None


Completion: TypeAlias = Ok | Fail | Info
Line: TypeAlias = Invoke | Ok | Fail | Info | HistoryLine | EventLine | PutLine | BucketLine

_DECODER = msgspec.json.Decoder(Line)


def decode_line(raw: bytes, number: int) -> Line:
    """Read line `number` (from 1); raises Unreadable."""
    try:
        line: Line = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        said = "expected a JSON object, the line is empty" if not raw.strip() else str(e)
        raise Unreadable(number, said) from e
    return line
