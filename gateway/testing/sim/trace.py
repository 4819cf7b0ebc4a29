"""What happened in a run, line by line, and what should not have happened."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable


class Violation(AssertionError):
    """A broken promise; the text begins with its name (I1, lost write, ...)."""


class Trace:
    """Lines in the order of their happening. Two runs of one plan have the same digest."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.violations: list[str] = []
        self.is_over = False
        self.is_excused: Callable[[str], bool] = lambda text: False
        """Whether an error that the program logs now is none in this world."""

    def note(self, who: str, what: str) -> None:
        if self.is_over:
            return
        self.lines.append(f"{asyncio.get_running_loop().time():10.4f} {who:<8} {what}")

    def violation(self, promise: str, what: str) -> None:
        """Note a broken promise; the run goes on, to show what follows from it."""
        text = f"{promise}: {what}"
        if self.is_over:
            return
        if text not in self.violations:
            self.violations.append(text)
            self.note("!!!", text)

    def digest(self) -> str:
        return hashlib.blake2b("\n".join(self.lines).encode(), digest_size=8).hexdigest()


JUDGED_ELSEWHERE = frozenset({"log lost"})
"""Errors to whoever runs a gateway that are no bug as such: the node knows who has the log."""


class TraceLogs(logging.Handler):
    """Puts the program's own warnings into the trace; errors are violations.

    An error of ours is a bug by definition: a handler or an append failed in a way nobody expected.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__(logging.WARNING)
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        fields = getattr(record, "event_fields", None)
        if fields:
            text += f" {fields}"
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({record.exc_info[1]!r})"
        excused = record.getMessage() in JUDGED_ELSEWHERE or self._trace.is_excused(text)
        if record.levelno >= logging.ERROR and not excused:
            self._trace.violation("logged error", text)
        else:
            self._trace.note("log", text)
