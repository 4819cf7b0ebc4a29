"""Reads a history into tables: pairs the two lines of every operation.

Refuses what cannot be a history (a completion without an invocation, a value sent twice, time that
goes back) rather than guess, because a guess could hide an anomaly. Judges nothing itself. What an
operation did is told by results.py.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from gateway.verify import lines
from gateway.verify.lines import Completion, Invoke, Observed, OpLine, Poll, Unreadable
from gateway.verify.model import Bucket, History, How, Observation, Op, Put
from gateway.verify.replies import Replies
from gateway.verify.results import Results, Rows

_WITH_MICRO_OPS: Final = frozenset({"send", "poll", "txn"})
# These may stand alone, without an invocation.
_SINGLE: Final = frozenset({"crash", "rebalance"})
_ISOLATIONS: Final = frozenset({"read_committed", "read_uncommitted"})
_OUTCOMES: Final = {lines.Ok: "ok", lines.Fail: "fail", lines.Info: "info"}


class _Pending(NamedTuple):
    """An operation under way: its sends, or else the value of its invocation."""

    op: Op
    rows: Rows
    value: object


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
        self._hows: dict[tuple[object, ...], How] = {}
        self._results = Results(self.history)
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
        self._results.finish()
        for pending in self._pending.values():
            self._count(pending.op)
        return self.history

    # -- lines about the system --------------------------------------------------------------------

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
        key = _key(line)
        if key in self._pending:
            self._refuse_overlap(number, line, self._pending[key].op)
        op = Op(number, line.process, self._how(number, line))
        rows: Rows = []
        value: object = None
        if line.f not in _WITH_MICRO_OPS:
            value = line.value
        elif line.value is not None:
            rows = self._results.new_rows(op, line.value)
        if line.f == "txn":
            self.history.txns[number] = (op, rows)
        elif line.f == "commit":
            self._results.committing(op, value)
        if line.connection is not None:
            self._replies.asked(line.connection, op)
        self._pending[key] = _Pending(op, rows, value)

    def _refuse_overlap(self, number: int, line: Invoke, op: Op) -> None:
        if line.op is not None:
            taken = f"{line.op} is that of the {op.how.f} of line {op.line}"
            raise Unreadable(number, f"expected an `op` number that is not under way, {taken}")
        problem = f"expected process {line.process!r} to end what it began on line {op.line}"
        raise Unreadable(number, f"{problem}; operations that overlap need `op` numbers")

    def _how(self, number: int, line: OpLine) -> How:
        values = (
            line.f,
            line.idempotent,
            line.acks,
            line.max_in_flight,
            line.batch,
            line.isolation,
            line.final,
            line.fresh,
            line.group,
            line.rebalances,
        )
        how = self._hows.get(values)
        if how is None:
            if line.acks not in (-1, 0, 1):
                raise Unreadable(number, f"expected acks -1 (all), 0 or 1, not {line.acks}")
            how = self._hows[values] = How(
                f=line.f,
                idempotent=line.idempotent or line.f == "txn",
                acks=line.acks,
                max_in_flight=line.max_in_flight,
                batch=line.batch,
                read_committed=self._isolation(number, line.isolation),
                final=line.final,
                fresh=line.fresh or line.f == "list_offsets",
                rebalances=line.rebalances,
                group=line.group,
            )
        return how

    def _complete(self, number: int, line: Completion) -> None:
        key = _key(line)
        found = self._pending.get(key)
        if line.f in _SINGLE and (found is None or found.op.how.f != line.f):
            found = _Pending(Op(number, line.process, self._how(number, line)), [], None)
        elif found is None:
            raise Unreadable(number, f"expected an invoke line of this {line.f} before")
        else:
            del self._pending[key]
        op = found.op
        if op.how.f != line.f or op.process != line.process:
            begun = f"{op.how.f} of process {op.process!r}, begun on line {op.line}"
            raise Unreadable(number, f"expected the completion of {begun}")
        op.outcome = _OUTCOMES[type(line)]
        op.end_line, op.end_ms = number, line.time_ms
        self._replies.ended(op)
        self._count(op)
        if line.f in _WITH_MICRO_OPS:
            self._results.ended(op, found.rows, line.value)
        elif line.f == "crash":
            self._results.moved(op, None)
            self._crashed(op)
        elif not self._results.moved(op, found.value if line.value is None else line.value):
            foreign = self.history.foreign
            foreign[line.f] = foreign.get(line.f, 0) + 1
        if line.observed:
            self._observe(op, line.observed, line.value)

    def _crashed(self, crash: Op) -> None:
        """What the process had under way gets no reply; nothing is known of it."""
        for pending in self._pending.values():
            if pending.op.process == crash.process:
                self._replies.ended(pending.op)
        unnumbered = self._pending.pop(("process", crash.process), None)
        if unnumbered is not None:
            self._count(unnumbered.op)

    def _count(self, op: Op) -> None:
        counted = self.history.ops
        counted[op.how.f, op.outcome] = counted.get((op.how.f, op.outcome), 0) + 1

    def _observe(self, op: Op, observed: dict[str, Observed], value: object) -> None:
        for name, told in observed.items():
            read_end = 0
            for micro in value if isinstance(value, list) else ():
                if isinstance(micro, Poll) and (records := micro.records.get(name)):
                    read_end = max(read_end, 1 + max(offset for offset, _ in records))
            self.history.key(name).observations.append(Observation(op, told, read_end))


def _key(line: OpLine) -> object:
    """What joins the two lines of an operation."""
    return ("process", line.process) if line.op is None else line.op
