"""Records a history while it happens. Source: HISTORY.md.

Append only, one line per call, in the order of the calls, which has to be the order of events.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, TypeAlias

import msgspec

from gateway.verify.lines import VERSION, Process, Value

MicroOp: TypeAlias = Sequence[Any]
OpValue: TypeAlias = Sequence[MicroOp | str] | Mapping[str, int | None] | None


def send(key: str, value: Value, offset: int | None = None, *, told: bool = False) -> list[Any]:
    """The micro-operation of one record; with its offset, or `told` that there is none (acks=0)."""
    return ["send", key, value if offset is None and not told else [offset, value]]


def poll(records: Mapping[str, Sequence[tuple[int, Value]]] | None = None) -> list[Any]:
    """The micro-operation of one poll, with what it returned."""
    return ["poll"] if records is None else ["poll", records]


class HistoryWriter:
    """Writes lines to `file`; `now_ms` tells a time that never goes back, in milliseconds."""

    def __init__(
        self, file: BinaryIO, now_ms: Callable[[], float], *, isolation: str | None = None
    ) -> None:
        self._file = file
        self._now_ms = now_ms
        self._encoder = msgspec.json.Encoder()
        self._ops_count = 0
        header: dict[str, Any] = {"type": "history", "version": VERSION}
        if isolation is not None:
            header["isolation"] = isolation
        self._put(header)

    def invoke(self, process: Process, f: str, value: OpValue = None, **fields: Any) -> "Recorded":
        """An operation begins; `fields` are those of HISTORY.md (idempotent, final, ...)."""
        self._ops_count += 1
        recorded = Recorded(self, process, f, self._ops_count)
        self._op("invoke", recorded, value, fields)
        return recorded

    def crash(self, process: Process) -> None:
        """The client is gone; what it had under way stays unknown."""
        self._stamped({"type": "info", "process": process, "f": "crash"})

    def rebalance(self, process: Process, keys: Sequence[str] = ()) -> None:
        """The group gave this consumer other keys."""
        line = {"type": "info", "process": process, "f": "rebalance", "value": list(keys)}
        self._stamped(line)

    def event(self, event: str, *, node: Process | None = None, note: Any = None) -> None:
        """Something happened to the system: crash, restart, taken_over, outage, ..."""
        line: dict[str, Any] = {"type": "event", "event": event}
        if node is not None:
            line["node"] = node
        if note is not None:
            line["note"] = note
        self._stamped(line)

    def put(self, key: str, *, writer: Process | None = None) -> None:
        """The store created an object (not: was asked to)."""
        line: dict[str, Any] = {"type": "put", "key": key}
        if writer is not None:
            line["writer"] = writer
        self._stamped(line)

    def bucket(self, *, listed: Sequence[str], named: Sequence[str]) -> None:
        """The objects that are there, and those that should be."""
        self._stamped({"type": "bucket", "listed": listed, "named": named})

    def _op(self, kind: str, op: "Recorded", value: OpValue, fields: Mapping[str, Any]) -> None:
        line: dict[str, Any] = {"type": kind, "process": op.process, "f": op.f, "op": op.number}
        if value is not None:
            line["value"] = value
        line.update(fields)
        self._stamped(line)

    def _stamped(self, line: dict[str, Any]) -> None:
        line["time_ms"] = self._now_ms()
        self._put(line)

    def _put(self, line: dict[str, Any]) -> None:
        self._file.write(self._encoder.encode(line) + b"\n")


class Recorded:
    """An operation under way: ended once, by ok, fail or info, or never."""

    __slots__ = ("_writer", "f", "number", "process")

    def __init__(self, writer: HistoryWriter, process: Process, f: str, number: int) -> None:
        self._writer = writer
        self.process = process
        self.f = f
        self.number = number

    def ok(self, value: OpValue = None, **fields: Any) -> None:
        """It happened, with this result."""
        self._writer._op("ok", self, value, fields)

    def fail(self, error: str = "", **fields: Any) -> None:
        """It did not happen and never will. A timeout is not this but `info`."""
        self._writer._op("fail", self, None, _with_error(error, fields))

    def info(self, error: str = "", value: OpValue = None, **fields: Any) -> None:
        """Nobody knows; `value` may tell of the records that were acknowledged all the same."""
        self._writer._op("info", self, value, _with_error(error, fields))


def _with_error(error: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"error": error, **fields} if error else fields
