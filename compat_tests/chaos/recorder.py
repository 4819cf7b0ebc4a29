"""Writes down what clients did and what they were told, for `woodpecker-gateway verify`.

JSON lines, one per beginning or end of an operation, in the order of events. The format stands in
gateway/verify/HISTORY.md.
"""

import json
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compat_tests.support.deadline import now_s


class Recorder:
    """One file; any thread may write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        """Lines by operation and outcome, as `send ok`."""
        self._lock = threading.Lock()
        self._file = path.open("w", encoding="utf-8")
        self._begun_s = now_s()
        self._ops_count = 0
        self._put({"type": "history", "version": 1})

    def begin(self, process: str, f: str, value: Any = None, **fields: Any) -> "Operation":
        """An operation begins now."""
        with self._lock:
            self._ops_count += 1
            operation = Operation(self, process, f, self._ops_count)
            self._stamp("invoke", operation, value, fields)
        return operation

    def end(self, kind: str, operation: "Operation", value: Any, fields: Mapping[str, Any]) -> None:
        with self._lock:
            self.counts[f"{operation.f} {kind}"] += 1
            self._stamp(kind, operation, value, fields)

    def event(self, event: str, note: Any = None) -> None:
        """Something happened to the system."""
        line = {"type": "event", "event": event, "note": note}
        with self._lock:
            self.counts[event] += 1
            self._put({**line, "time_ms": self._now_ms()})

    def put(self, key: str) -> None:
        """The store has created an object."""
        line = {"type": "put", "key": key}
        with self._lock:
            self._put({**line, "time_ms": self._now_ms()})

    def close(self) -> None:
        self._file.close()

    def _stamp(
        self, kind: str, operation: "Operation", value: Any, fields: Mapping[str, Any]
    ) -> None:
        line = {"type": kind, "process": operation.process, "f": operation.f}
        line |= {"op": operation.number, "time_ms": self._now_ms(), **fields}
        self._put(line if value is None else {**line, "value": value})

    def _now_ms(self) -> float:
        return round((now_s() - self._begun_s) * 1000, 3)

    def _put(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


class Operation:
    """One that has begun; one call ends it, or none if nobody ever hears of it."""

    def __init__(self, recorder: Recorder, process: str, f: str, number: int) -> None:
        self._recorder = recorder
        self.process = process
        self.f = f
        self.number = number

    def ok(self, value: Any = None, **fields: Any) -> None:
        """It happened."""
        self._recorder.end("ok", self, value, fields)

    def info(self, error: object, value: Any = None) -> None:
        """It may have happened."""
        self._recorder.end("info", self, value, {"error": str(error)[:200]})
