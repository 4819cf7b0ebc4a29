"""Reads a history into tables: pairs the lines of an operation, follows every consumer's position.

Refuses what cannot be a history (a completion without an invocation, a value sent twice, time that
goes back) rather than guess, because a guess could hide an anomaly. Judges nothing itself.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from gateway.verify import lines
from gateway.verify.consumers import Consumers
from gateway.verify.lines import Completion, Invoke, Observed, OpLine, Poll, Send, Unreadable
from gateway.verify.model import (
    ACKED,
    FAILED,
    NEVER_SENT,
    NOBODY,
    UNKNOWN,
    UNPROMISED,
    Bucket,
    Commit,
    History,
    How,
    KeyHistory,
    Observation,
    Op,
    Put,
)
from gateway.verify.replies import Replies

WITH_MICRO_OPS: Final = frozenset({"send", "poll", "txn"})
_POSITIONS: Final = frozenset({"assign", "seek"})
# These may stand alone, without an invocation.
_SINGLE: Final = frozenset({"crash", "rebalance"})
_ISOLATIONS: Final = frozenset({"read_committed", "read_uncommitted"})

_OUTCOMES: Final = {lines.Ok: "ok", lines.Fail: "fail", lines.Info: "info"}

_Rows: TypeAlias = list[tuple[KeyHistory, int]]


class _Pending(NamedTuple):
    """An operation under way: its sends, or else where it wants to go."""

    op: Op
    rows: _Rows
    positions: object


def load_history(raw_lines: Iterable[bytes]) -> History:
    """Read the lines of a file; raises Unreadable with the line and what was expected there."""
    loader = Loader()
    number = 0
    for number, raw in enumerate(raw_lines, 1):
        loader.add(number, lines.decode_line(raw, number))
    if number == 0:
        raise Unreadable(1, 'expected {"type":"history","version":1}, the file is empty')
    return loader.finish()


class Loader:
    """Takes lines one by one."""

    def __init__(self) -> None:
        self.history = History()
        self._read_committed = False
        self._time_ms = float("-inf")
        self._pending: dict[object, _Pending] = {}
        self._op_numbers: set[int] = set()
        self._hows: dict[tuple[object, ...], How] = {}
        self._consumers = Consumers()
        self._replies = Replies(self.history)
        self._takers: dict[type, Callable[[int, Any], None]] = {
            Invoke: self._invoke,
            lines.Ok: self._complete,
            lines.Fail: self._complete,
            lines.Info: self._complete,
            lines.EventLine: self._event,
            lines.PutLine: self._put,
            lines.BucketLine: self._bucket,
        }

    def add(self, number: int, line: lines.Line) -> None:
        """Take the next line; raises Unreadable."""
        self.history.lines_count = number
        if isinstance(line, lines.HistoryLine):
            self._header(number, line)
            return
        if number == 1:
            raise Unreadable(1, 'expected {"type":"history","version":1} on the first line')
        if line.time_ms < self._time_ms:
            problem = f"expected a time_ms of at least {self._time_ms}, the one of an earlier line"
            raise Unreadable(number, f"{problem}; lines are in the order of events")
        self._time_ms = line.time_ms
        self._takers[type(line)](number, line)

    def finish(self) -> History:
        """What is still under way stays unknown."""
        self._consumers.close_all()
        for pending in self._pending.values():
            self._count(pending.op)
        return self.history

    # -- lines -------------------------------------------------------------------------------------

    def _header(self, number: int, line: lines.HistoryLine) -> None:
        if number != 1:
            raise Unreadable(number, "expected one line of type history, on the first line")
        if line.version != lines.VERSION:
            problem = f"expected version {lines.VERSION}, not {line.version}"
            raise Unreadable(number, f"{problem}; a newer release reads newer histories")
        self._read_committed = self._isolation(number, line.isolation)

    def _isolation(self, number: int, isolation: str | None) -> bool:
        if isolation is None:
            return self._read_committed
        if isolation not in _ISOLATIONS:
            expected = "isolation read_committed or read_uncommitted"
            raise Unreadable(number, f"expected {expected}, not {isolation!r}")
        return isolation == "read_committed"

    def _event(self, _: int, line: lines.EventLine) -> None:
        events = self.history.events
        events[line.event] = events.get(line.event, 0) + 1

    def _put(self, number: int, line: lines.PutLine) -> None:
        self.history.puts.append(Put(number, line.key, line.writer))

    def _bucket(self, number: int, line: lines.BucketLine) -> None:
        self.history.buckets.append(Bucket(number, set(line.listed), set(line.named)))

    # -- operations --------------------------------------------------------------------------------

    def _invoke(self, number: int, line: Invoke) -> None:
        key: object = line.op
        if key is None:
            key = ("process", line.process)
            if key in self._pending:
                since = self._pending[key].op.line
                problem = f"expected process {line.process!r} to end what it began on line {since}"
                raise Unreadable(number, f"{problem}; operations that overlap need `op` numbers")
        elif line.op in self._op_numbers:
            raise Unreadable(number, f"expected an `op` number that was not used, not {key}")
        else:
            self._op_numbers.add(line.op)  # type: ignore[arg-type]
        op = Op(number, line.process, self._how(number, line))
        rows: _Rows = []
        if line.f in WITH_MICRO_OPS and line.value is not None:
            rows = self._new_rows(number, op, line.value)
        if line.f == "txn":
            self.history.txns[number] = (op, rows)
        if line.connection is not None:
            self._replies.asked(line.connection, op)
        positions = None if line.f in WITH_MICRO_OPS else line.value
        if line.f == "commit":
            self._group_offsets(number, op, positions, self.history.commits)
        self._pending[key] = _Pending(op, rows, positions)

    def _how(self, number: int, line: OpLine) -> How:
        values = (
            line.f,
            line.idempotent,
            line.acks,
            line.max_in_flight,
            line.batch,
            self._read_committed,
            line.final,
            line.fresh,
            line.group,
            line.isolation,
            line.rebalances,
        )
        how = self._hows.get(values)
        if how is None:
            read_committed = self._isolation(number, line.isolation)
            how = self._hows[values] = How(
                f=line.f,
                idempotent=line.idempotent,
                acks=line.acks,
                max_in_flight=line.max_in_flight,
                batch=line.batch,
                read_committed=read_committed,
                final=line.final,
                fresh=line.fresh or line.f == "list_offsets",
                rebalances=line.rebalances,
                group=line.group,
            )
        return how

    def _new_rows(self, number: int, op: Op, value: object) -> _Rows:
        rows: _Rows = []
        for micro in _micro_ops(number, value):
            if isinstance(micro, Poll):
                continue
            if isinstance(micro.what, tuple):
                raise Unreadable(number, '["send", key, value]: offsets are told on completion')
            key = self.history.key(micro.key)
            row = key.row_of.get(micro.what)
            if row is None:
                row = key.new_row(micro.what, op, UNKNOWN)
            elif key.statuses[row] == NEVER_SENT:  # read before it was sent; strangers tells
                key.ops[row], key.statuses[row] = op, UNKNOWN
            else:
                first = f"{micro.what!r} went to {micro.key} on line {key.ops[row].line} already"
                raise Unreadable(number, f"expected values that are unique for their key; {first}")
            rows.append((key, row))
        return rows

    def _complete(self, number: int, line: Completion) -> None:
        key = line.op if line.op is not None else ("process", line.process)
        found = self._pending.pop(key, None)
        if found is None:
            if line.f not in _SINGLE:
                raise Unreadable(number, f"expected an invoke line of this {line.f} before")
            found = _Pending(Op(number, line.process, self._how(number, line)), [], None)
        op = found.op
        if op.how.f != line.f or op.process != line.process:
            begun = f"{op.how.f} of process {op.process!r}, begun on line {op.line}"
            raise Unreadable(number, f"expected the completion of {begun}")
        op.outcome = _OUTCOMES[type(line)]
        op.end_line, op.end_ms = number, line.time_ms
        self._replies.ended(op)
        self._count(op)
        if line.f in WITH_MICRO_OPS:
            self._results(number, op, found.rows, line)
        elif line.f != "list_offsets":
            value = found.positions if line.value is None else line.value
            self._other(number, op, value)
        if line.observed:
            self._observe(op, line.observed, line.value)

    def _count(self, op: Op) -> None:
        counted = self.history.ops
        counted[op.how.f, op.outcome] = counted.get((op.how.f, op.outcome), 0) + 1

    # -- results -----------------------------------------------------------------------------------

    def _results(self, number: int, op: Op, rows: _Rows, line: Completion) -> None:
        if op.outcome == "fail":
            for key, row in rows:
                key.statuses[row] = FAILED
            return
        sends_count = 0
        for micro in _micro_ops(number, line.value or []):
            if isinstance(micro, Poll):
                self._polled(number, op, micro)
                continue
            if sends_count == len(rows):
                raise Unreadable(number, f"expected the {len(rows)} sends of line {op.line}")
            self._sent(number, op, *rows[sends_count], micro)
            sends_count += 1
        if sends_count != len(rows) and (sends_count or op.outcome == "ok"):
            problem = f"expected the {len(rows)} sends of line {op.line}, each [offset, value]"
            raise Unreadable(number, problem)
        if op.outcome == "ok" and line.f != "send":
            self._consumers.polled(op)

    def _sent(self, number: int, op: Op, key: KeyHistory, row: int, micro: Send) -> None:
        value, offset, told = micro.what, None, False
        if isinstance(value, tuple):
            offset, value = value
            told = True
        if micro.key != key.name or value != key.values[row]:
            expected = f'["send", "{key.name}", [offset, {key.values[row]!r}]]'
            raise Unreadable(number, f"expected {expected}, as sent on line {op.line}")
        if not told:
            if op.outcome == "ok":
                raise Unreadable(number, "expected [offset, value] of a send that is ok")
            return
        if offset is not None:
            if offset < 0:
                raise Unreadable(number, f"expected an offset or null, not {offset}")
            key.offsets[row] = offset
        if op.how.acks == 0:
            key.statuses[row] = UNPROMISED
        elif op.outcome == "ok" or not op.how.is_txn:
            key.statuses[row] = ACKED

    def _polled(self, number: int, op: Op, micro: Poll) -> None:
        if op.outcome != "ok":
            raise Unreadable(number, "expected no records of a poll that is not ok")
        for name, records in micro.records.items():
            if not records:
                continue
            key = self.history.key(name)
            reading = self._consumers.reading(op, key)
            for offset, value in records:
                if offset < 0:
                    raise Unreadable(number, f"expected an offset of at least 0, not {offset}")
                row = key.row_of.get(value)
                if row is None:
                    row = key.new_row(value, NOBODY, NEVER_SENT)
                    key.strangers.append((offset, row, op))
                reading.offsets.append(offset)
                reading.rows.append(row)
                reading.ops.append(op)

    def _other(self, number: int, op: Op, value: object) -> None:
        f = op.how.f
        if f in _POSITIONS:
            self._consumers.positioned(op, _positions(number, f, value), self.history)
        elif f == "subscribe":
            self._consumers.subscribed(op)
        elif f in ("rebalance", "crash", "close"):
            self._consumers.lost(op)
            if f == "crash":
                self._crashed(op)
        elif f == "committed":
            if op.outcome == "ok":
                self._group_offsets(number, op, value, self.history.committed)
        elif f != "commit":
            foreign = self.history.foreign
            foreign[f] = foreign.get(f, 0) + 1

    def _crashed(self, crash: Op) -> None:
        pending = self._pending.pop(("process", crash.process), None)
        if pending is not None:
            self._replies.ended(pending.op)
            self._count(pending.op)

    def _group_offsets(
        self, number: int, op: Op, value: object, into: dict[tuple[str, str], list[Commit]]
    ) -> None:
        if op.how.group is None:
            raise Unreadable(op.line, f"expected a `group` on the invoke line of {op.how.f}")
        for key, offset in _positions(number, op.how.f, value).items():
            row = Commit(op, -1 if offset is None else offset)
            into.setdefault((op.how.group, key), []).append(row)

    def _observe(self, op: Op, observed: Mapping[str, Observed], value: object) -> None:
        for name, told in observed.items():
            read_end = 0
            for micro in value if isinstance(value, list) else ():
                if isinstance(micro, Poll) and (records := micro.records.get(name)):
                    read_end = max(read_end, 1 + max(offset for offset, _ in records))
            self.history.key(name).observations.append(Observation(op, told, read_end))


def _positions(number: int, f: str, value: object) -> Mapping[str, int | None]:
    if not isinstance(value, dict):
        raise Unreadable(number, f"expected {{key: offset or null}} as the value of {f}")
    return value


def _micro_ops(number: int, value: object) -> Iterable[Send | Poll]:
    if not isinstance(value, list) or any(isinstance(micro, str) for micro in value):
        raise Unreadable(number, 'expected a list of ["send", ...] and ["poll", ...]')
    return value
