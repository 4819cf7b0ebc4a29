"""A history in memory: what was sent and read, by key, in tables that a check can walk.

Columns instead of an object per record, so that a million operations fit. A *row* is one sent value
of a key; a *reading* is an unbroken walk of one consumer over one key.
"""

from __future__ import annotations  # array[int] is a type for checkers only, before 3.12

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

from msgspec import Struct

from gateway.verify.lines import Observed, Process, Value

NEVER = sys.maxsize  # the line of what did not end

# What is known of a row. Aborted transactions count as FAILED.
UNKNOWN, ACKED, FAILED, UNPROMISED, NEVER_SENT = range(5)


class How(Struct, frozen=True):
    """What the client asked for; shared by the operations that asked for the same."""

    f: str
    idempotent: bool = False
    acks: int = -1
    max_in_flight: int | None = None
    batch: bool = False
    read_committed: bool = False
    final: bool = False
    fresh: bool = False
    rebalances: bool = False
    group: str | None = None

    @property
    def ordered(self) -> bool:
        """The client keeps the order of its sends, also when it repeats one."""
        return self.idempotent or self.max_in_flight == 1

    @property
    def is_txn(self) -> bool:
        return self.f == "txn"


class Op(Struct, gc=False):
    """One operation. Lines tell the order of events; the file is written in that order."""

    line: int
    process: Process
    how: How
    outcome: str = "info"
    end_line: int = NEVER
    end_ms: float = 0.0

    @property
    def last_line(self) -> int:
        """The line that tells most about it."""
        return self.line if self.end_line == NEVER else self.end_line


NOBODY = Op(0, "", How(""))  # "sent" what was never sent


class Reading:
    """Offsets that one consumer read from one key between two changes of its position.

    `start` is the offset it began at, None if unknown. Unless `continuous`, another consumer may
    have read in between two polls (a group rebalances), and only single polls are in order.
    """

    __slots__ = (
        "continuous",
        "final_at",
        "last_poll",
        "offsets",
        "ops",
        "process",
        "rows",
        "start",
        "start_ms",
    )

    def __init__(
        self, process: Process, start: int | None, start_ms: float, *, continuous: bool
    ) -> None:
        self.process = process
        self.start = start
        self.start_ms = start_ms
        self.continuous = continuous
        self.offsets = array("q")
        self.rows = array("q")
        self.ops: list[Op] = []
        self.final_at: int | None = None  # index of the first record of a final poll
        self.last_poll: Op | None = None

    def final_begin(self) -> int | None:
        """The offset its final polls began at; None if they read nothing from an unknown place."""
        if self.final_at is None:
            return None
        if self.final_at:
            return self.offsets[self.final_at - 1] + 1
        if self.start is not None or not self.offsets:
            return self.start
        return self.offsets[0]

    def breaks(self) -> list[int]:
        """Indexes of records whose offset is not the one before plus one."""
        return [i for i, (a, b) in enumerate(pairwise(self.offsets), 1) if b != a + 1]

    def steps(self, *, inside: bool) -> Iterator[tuple[Op, int, Op, int]]:
        """Every break as (operation, offset) before and after.

        `inside` one operation, or between two; the latter only where nobody else can have read in
        between. A known start counts as the offset before the first record.
        """
        if not inside and not self.continuous:
            return
        first = self.offsets[0] if self.offsets else self.start
        if not inside and self.start is not None and first is not None and first != self.start:
            yield self.ops[0], self.start - 1, self.ops[0], first
        for i in self.breaks():
            if (self.ops[i - 1] is self.ops[i]) == inside:
                yield self.ops[i - 1], self.offsets[i - 1], self.ops[i], self.offsets[i]


class Observation(Struct, gc=False):
    """What an operation was told about a key; `read_end` is behind the last offset it polled."""

    op: Op
    told: Observed
    read_end: int


class KeyHistory:
    """Everything about one key (a topic's partition)."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Rows, in the order of invocation.
        self.values: list[Value] = []
        self.offsets = array("q")  # -1: not told
        self.statuses = bytearray()
        self.ops: list[Op] = []
        self.row_of: dict[Value, int] = {}
        self.readings: list[Reading] = []
        self.observations: list[Observation] = []
        self.strangers: list[tuple[int, int, Op]] = []  # (offset, row, poll) of what nobody sent

    def new_row(self, value: Value, op: Op, status: int) -> int:
        row = len(self.values)
        self.row_of[value] = row
        self.values.append(value)
        self.offsets.append(-1)
        self.statuses.append(status)
        self.ops.append(op)
        return row

    def acks(self) -> Iterator[tuple[int, int]]:
        """(offset, row) of every acknowledged record whose offset was told."""
        for row, offset in enumerate(self.offsets):
            if offset >= 0 and self.statuses[row] == ACKED:
                yield offset, row

    def polled(self) -> Iterator[tuple[int, int, Op]]:
        """(offset, row, poll) of every record read."""
        for reading in self.readings:
            yield from zip(reading.offsets, reading.rows, reading.ops, strict=True)

    def claims(self) -> Iterator[tuple[int, int, Op]]:
        """(offset, row, operation) of whatever says that a row is at an offset."""
        for offset, row in self.acks():
            yield offset, row, self.ops[row]
        yield from self.polled()

    def must_show(self, row: int) -> bool:
        """A reader at any isolation level sees the row, once it is in the log."""
        status = self.statuses[row]
        return status == ACKED or (status != FAILED and not self.ops[row].how.is_txn)

    @cached_property
    def seen(self) -> bytearray:
        """By row: 1 if anybody read it."""
        seen = bytearray(len(self.values))
        for reading in self.readings:
            for row in reading.rows:
                seen[row] = 1
        return seen

    @cached_property
    def known(self) -> dict[int, int]:
        """The row at each offset, by the first that said so."""
        known: dict[int, int] = {}
        for offset, row, _ in self.claims():
            known.setdefault(offset, row)
        return known

    @cached_property
    def visible_offsets(self) -> list[int]:
        """Known offsets that every reader has to come across, ascending."""
        return sorted(offset for offset, row in self.known.items() if self.must_show(row))

    def visible_between(self, begin: int, end: int) -> range:
        """Indexes in `visible_offsets` of [begin, end), without what may be deleted."""
        begin = max(begin, self.log_start)
        if begin >= end:
            return range(0)
        at = self.visible_offsets
        return range(bisect_left(at, begin), bisect_left(at, end))

    def shown(self, visible: range) -> str:
        """Such offsets for people: all of a few, else the first, the last and how many."""
        if len(visible) <= 3:
            return ", ".join(str(self.visible_offsets[i]) for i in visible)
        first, last = self.visible_offsets[visible[0]], self.visible_offsets[visible[-1]]
        return f"{first} ... {last} ({len(visible)} offsets)"

    @cached_property
    def log_start(self) -> int:
        """The highest log start told; what lies below may be deleted."""
        return max((o.told.log_start or 0 for o in self.observations), default=0)

    def may_be_deleted(self, offset: int) -> bool:
        """Whether retention excuses that nobody reads it; -1 is an offset that nobody told."""
        return offset < self.log_start if offset >= 0 else self.log_start > 0

    @cached_property
    def highest_polled(self) -> int:
        """-1: nothing was read."""
        return max((max(r.offsets) for r in self.readings if r.offsets), default=-1)

    @property
    def finals(self) -> list[Reading]:
        """Readings that went on to the end after everything had healed."""
        return [r for r in self.readings if r.final_at is not None]

    @cached_property
    def final_poll(self) -> Op | None:
        """The last poll that should have read whatever was there before it began."""
        polls = [r.last_poll for r in self.finals if r.last_poll is not None]
        return max(polls, key=lambda op: op.line, default=None)

    @cached_property
    def first_read(self) -> dict[int, int]:
        """The line on which each row was read first."""
        first: dict[int, int] = {}
        for _, row, op in self.polled():
            first[row] = min(first.get(row, NEVER), op.end_line)
        return first

    @cached_property
    def _acked_by_line(self) -> tuple[array[int], array[int]]:
        """Lines on which acks=all acknowledgements came, and the row of the highest by then."""
        done = sorted(
            (self.ops[row].end_line, offset, row)
            for offset, row in self.acks()
            if self.ops[row].how.acks == -1
        )
        lines, rows, top = array("q"), array("q"), -1
        for line, offset, row in done:
            if offset > top:
                top, highest = offset, row
            lines.append(line)
            rows.append(highest)
        return lines, rows

    def acked_before(self, line: int) -> int | None:
        """The row with the highest offset acknowledged (acks=all) before that line."""
        lines, rows = self._acked_by_line
        at = bisect_left(lines, line)
        return rows[at - 1] if at else None


class Commit(Struct, gc=False):
    """A group's offset, written or read back (`offset` -1: there was none)."""

    op: Op
    offset: int


class Put(Struct, gc=False):
    """An object that the store created."""

    line: int
    key: str
    writer: Process | None


class Bucket(Struct):
    """The objects that were there, and those that should have been."""

    line: int
    listed: set[str]
    named: set[str]


class History:
    """All of it."""

    def __init__(self) -> None:
        self.keys: dict[str, KeyHistory] = {}
        self.txns: dict[int, tuple[Op, list[tuple[KeyHistory, int]]]] = {}  # by line; their rows
        self.commits: dict[tuple[str, str], list[Commit]] = {}  # by group and key
        self.committed: dict[tuple[str, str], list[Commit]] = {}
        self.replies_count = 0  # on connections that were named
        self.overtaken: list[tuple[Op, Op]] = []  # (answered, still waiting on the same connection)
        self.puts: list[Put] = []
        self.buckets: list[Bucket] = []
        self.events: dict[str, int] = {}
        self.ops: dict[tuple[str, str], int] = {}  # how many, by f and outcome
        self.foreign: dict[str, int] = {}  # operations whose f means nothing here
        self.lines_count = 0
        self.lag_ms_max: float | None = None  # what the user asks of consumers

    def key(self, name: str) -> KeyHistory:
        found = self.keys.get(name)
        if found is None:
            found = self.keys[name] = KeyHistory(name)
        return found
