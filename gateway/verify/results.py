"""What operations did: sends become rows of their key, polls readings, positions walks.

Knows the values of each `f` (HISTORY.md, "Lines"); which lines belong together is load.py's.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from gateway.verify.consumers import Consumers
from gateway.verify.lines import Poll, Send, Unreadable
from gateway.verify.model import (
    ACKED,
    FAILED,
    NEVER,
    NEVER_SENT,
    NOBODY,
    UNKNOWN,
    UNPROMISED,
    Commit,
    History,
    KeyHistory,
    Op,
)

Rows: TypeAlias = list[tuple[KeyHistory, int]]

_POSITIONS: Final = frozenset({"assign", "seek"})
_LOST: Final = frozenset({"rebalance", "crash", "close"})
_NOTHING: Final = frozenset({"commit", "list_offsets"})  # all that they say is known already
_MICRO_OPS: Final = 'expected a list of ["send", ...] and ["poll", ...]'


class Results:
    """Fills the tables of a history. A method raises Unreadable for the line it was called for."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._consumers = Consumers()

    def finish(self) -> None:
        """The history ends."""
        self._consumers.close_all()

    # -- sends and polls ---------------------------------------------------------------------------

    def new_rows(self, op: Op, value: object) -> Rows:
        """The values that an operation is about to send."""
        rows: Rows = []
        if not isinstance(value, list):
            raise Unreadable(op.line, _MICRO_OPS)
        for micro in value:
            if isinstance(micro, Send):
                key = self._history.key(micro.key)
                rows.append((key, _new_row(key, op, micro.what)))
            elif not isinstance(micro, Poll):
                raise Unreadable(op.line, _MICRO_OPS)
        return rows

    def ended(self, op: Op, rows: Rows, value: object) -> None:
        """A send, poll or txn ended."""
        if op.outcome == "fail":
            for key, row in rows:
                key.statuses[row] = FAILED
            return
        if value is not None and not isinstance(value, list):
            raise Unreadable(op.end_line, _MICRO_OPS)
        sends_count = 0
        for micro in value or ():
            if isinstance(micro, Send):
                if sends_count == len(rows):
                    raise Unreadable(
                        op.end_line, f"expected the {len(rows)} sends of line {op.line}"
                    )
                _told(op, *rows[sends_count], micro)
                sends_count += 1
            elif isinstance(micro, Poll):
                self._polled(op, micro)
            else:
                raise Unreadable(op.end_line, _MICRO_OPS)
        if sends_count != len(rows) and (sends_count or op.outcome == "ok"):
            problem = f"expected the {len(rows)} sends of line {op.line}, each [offset, value]"
            raise Unreadable(op.end_line, problem)
        if op.outcome == "ok" and op.how.f != "send":
            self._consumers.polled(op)

    def _polled(self, op: Op, micro: Poll) -> None:
        for name, records in micro.records.items():
            if not records:
                continue
            if op.outcome != "ok":
                raise Unreadable(op.end_line, "expected no records of a poll that is not ok")
            key = self._history.key(name)
            reading = self._consumers.reading(op, key)
            for offset, value in records:
                if not 0 <= offset < NEVER:
                    raise Unreadable(op.end_line, f"expected an offset of at least 0, not {offset}")
                row = key.row_of.get(value)
                if row is None:
                    row = key.new_row(value, NOBODY, NEVER_SENT)
                    key.strangers.append((offset, row, op))
                reading.offsets.append(offset)
                reading.rows.append(row)
                reading.ops.append(op)

    # -- positions ---------------------------------------------------------------------------------

    def moved(self, op: Op, value: object) -> bool:
        """Any other operation ended; False if its f means nothing here."""
        f = op.how.f
        if f in _POSITIONS:
            self._consumers.positioned(op, _positions(op, value), self._history)
        elif f == "subscribe":
            self._consumers.subscribed(op)
        elif f in _LOST:
            self._consumers.lost(op)
        elif f == "committed":
            if op.outcome == "ok":
                self._group_offsets(op, value, self._history.committed)
        else:
            return f in _NOTHING
        return True

    def committing(self, op: Op, value: object) -> None:
        """A commit began; from here on it may count."""
        self._group_offsets(op, value, self._history.commits)

    def _group_offsets(
        self, op: Op, value: object, into: dict[tuple[str, str], list[Commit]]
    ) -> None:
        if op.how.group is None:
            raise Unreadable(op.line, f"expected a `group` on the invoke line of {op.how.f}")
        for key, offset in _positions(op, value).items():
            row = Commit(op, -1 if offset is None else offset)
            into.setdefault((op.how.group, key), []).append(row)


def _new_row(key: KeyHistory, op: Op, value: object) -> int:
    if not isinstance(value, int | str):
        raise Unreadable(op.line, 'expected ["send", key, value]: offsets are told on completion')
    row = key.row_of.get(value)
    if row is None:
        return key.new_row(value, op, UNKNOWN)
    if key.statuses[row] != NEVER_SENT:
        first = f"{value!r} went to {key.name} on line {key.ops[row].line} already"
        raise Unreadable(op.line, f"expected values that are unique for their key; {first}")
    key.ops[row], key.statuses[row] = op, UNKNOWN  # read before it was sent: `strangers` tells
    return row


def _told(op: Op, key: KeyHistory, row: int, micro: Send) -> None:
    """A completion says where a row landed; without [offset, value] nothing is known of it."""
    what = micro.what
    offset, value = what if isinstance(what, tuple) else (None, what)
    if micro.key != key.name or value != key.values[row]:
        expected = f'["send", "{key.name}", [offset, {key.values[row]!r}]]'
        raise Unreadable(op.end_line, f"expected {expected}, as sent on line {op.line}")
    if not isinstance(what, tuple):
        if op.outcome == "ok":
            raise Unreadable(op.end_line, "expected [offset, value] of a send that is ok")
        return
    if offset is not None:
        if not 0 <= offset < NEVER:
            raise Unreadable(op.end_line, f"expected an offset or null, not {offset}")
        key.offsets[row] = offset
    if op.how.acks == 0:
        key.statuses[row] = UNPROMISED
    elif op.outcome == "ok" or not op.how.is_txn:
        key.statuses[row] = ACKED


def _positions(op: Op, value: object) -> Mapping[str, int | None]:
    if not isinstance(value, dict):
        expected = f"expected {{key: offset or null}} as the value of {op.how.f}"
        raise Unreadable(op.line if op.outcome == "info" else op.end_line, expected)
    return value
