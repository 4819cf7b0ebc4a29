"""Runs all checks over a history and says what came out: for people, and as JSON.

A rule that the history gives nothing to check by is reported as not checked, never as kept.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from gateway.verify.checks import CHECKS, Check, Finding
from gateway.verify.checks.service import lags
from gateway.verify.model import ACKED, History

FINDINGS_MAX_COUNT = 10  # kept of each check; all are counted


class Result(NamedTuple):
    """What one check found. With no subjects it looked at nothing."""

    check: Check
    subjects_count: int
    findings_count: int
    findings: list[Finding]  # the first ones


class Report(NamedTuple):
    """What all of them found."""

    history: History
    results: list[Result]
    lag_ms_max: float | None  # the longest delay that was seen, judged or not

    @property
    def clean(self) -> bool:
        """No anomaly; what could not be checked may hide some."""
        return not any(r.findings_count for r in self.results if r.check.severity == "error")

    @property
    def anomalies(self) -> dict[str, int]:
        """How many of which, without those that Kafka allows."""
        return {
            r.check.name: r.findings_count
            for r in self.results
            if r.findings_count and r.check.severity == "error"
        }

    def text(self) -> Iterator[str]:
        """Lines for people."""
        yield from _counts(self.history)
        if self.lag_ms_max is not None:
            yield f"longest delay: {self.lag_ms_max:.0f} ms from acknowledgement to a consumer"
        yield ""
        for result in self.results:
            if result.subjects_count and not result.findings_count:
                yield f"ok       {result.check.name} ({result.subjects_count})"
        for result in self.results:
            if not result.subjects_count:
                yield f"skipped  {result.check.name}: needs {result.check.needs}"
        for result in self.results:
            if result.findings_count:
                yield from _found(result)
        if unread := self.unread_keys:
            some = ", ".join(unread[:3]) + (" ..." if len(unread) > 3 else "")
            yield (
                f"unseen, vanished and hole leave out {len(unread)} of the keys with acknowledged "
                f"sends, which no final poll read: {some}"
            )
        yield ""
        yield self._verdict()

    def _verdict(self) -> str:
        skipped_count = sum(not r.subjects_count for r in self.results)
        checked = f"{len(self.results) - skipped_count} of {len(self.results)} rules checked"
        if self.clean:
            return f"no anomaly; {checked}"
        kinds = ", ".join(f"{name} ({count})" for name, count in self.anomalies.items())
        return f"ANOMALIES: {kinds}; {checked}"

    @property
    def unread_keys(self) -> list[str]:
        """Keys of which something was acknowledged and nobody read in the end: if they are empty,
        because nobody looked or because all of it is gone, this history cannot tell.
        """
        return [
            key.name
            for key in self.history.keys.values()
            if key.final_poll is None and ACKED in key.statuses
        ]

    def as_json(self) -> dict[str, Any]:
        """The same as values."""
        history = self.history
        return {
            "clean": self.clean,
            "lines": history.lines_count,
            "keys": len(history.keys),
            "operations": [
                {"f": f, "outcome": outcome, "count": count}
                for (f, outcome), count in sorted(history.ops.items())
            ],
            "events": history.events,
            "not_interpreted": history.foreign,
            "lag_ms_max": self.lag_ms_max,
            "keys_without_final_poll": self.unread_keys,
            "checks": [
                {
                    "name": r.check.name,
                    "rule": r.check.rule,
                    "severity": r.check.severity,
                    "checked": r.subjects_count,
                    "needs": None if r.subjects_count else r.check.needs,
                    "findings_count": r.findings_count,
                    "findings": [f._asdict() for f in r.findings],
                }
                for r in self.results
            ],
        }


def verify(
    history: History,
    *,
    lag_ms_max: float | None = None,
    findings_max_count: int = FINDINGS_MAX_COUNT,
) -> Report:
    """Run every check; `lag_ms_max` bounds how long consumers may be behind, None does not."""
    history.lag_ms_max = lag_ms_max
    results = []
    for check in CHECKS:
        subjects_count = check.subjects(history)
        found = check.find(history) if subjects_count else iter(())
        first = [_once_each_line(finding) for finding in islice(found, findings_max_count)]
        results.append(Result(check, subjects_count, len(first) + sum(1 for _ in found), first))
    delays = (lag[0] for key in history.keys.values() for lag in lags(key))
    return Report(history, results, max(delays, default=None))


def _once_each_line(finding: Finding) -> Finding:
    return finding._replace(lines=tuple(sorted(set(finding.lines))))


def _counts(history: History) -> Iterator[str]:
    yield f"{history.lines_count} lines, {len(history.keys)} keys"
    for f in sorted({f for f, _ in history.ops}):
        counts = [f"{n} {outcome}" for (g, outcome), n in sorted(history.ops.items()) if g == f]
        foreign = "  (not interpreted)" if f in history.foreign else ""
        yield f"  {f}: {', '.join(counts)}{foreign}"
    if history.events:
        yield "  events: " + ", ".join(f"{n} {event}" for event, n in history.events.items())


def _found(result: Result) -> Iterator[str]:
    check = result.check
    word = "BAD" if check.severity == "error" else "allowed"
    yield f"{word:<8} {check.name}: {result.findings_count}, against the rule: {check.rule}"
    for finding in result.findings:
        lines = "line" if len(finding.lines) == 1 else "lines"
        where = f"{finding.key}: " if finding.key else ""
        numbers = ", ".join(map(str, finding.lines[:8])) + (
            " ..." if len(finding.lines) > 8 else ""
        )
        yield f"           {where}{finding.message} ({lines} {numbers})"
    if (rest := result.findings_count - len(result.findings)) > 0:
        yield f"           and {rest} more"
