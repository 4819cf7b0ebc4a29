"""A consumer comes across every record, in the order of the log.

"Between two polls" holds where nobody else can have read in between: after an assign, or in a group
whose rebalances are recorded. Inside one poll it holds always.
"""

from collections.abc import Iterator

from gateway.verify.checks.base import Finding
from gateway.verify.lines import Process
from gateway.verify.model import KeyHistory


def _skips(key: KeyHistory, *, inside: bool) -> Iterator[Finding]:
    for reading in key.readings:
        for before, a, after, b in reading.steps(inside=inside):
            if skipped := key.visible_between(a + 1, b):
                walk = _walk(reading.process, a, b, first=before is after and not inside)
                message = f"{walk}, not {key.shown(skipped)}"
                yield Finding(key.name, message, (before.last_line, after.last_line))


def _backs(key: KeyHistory, *, inside: bool) -> Iterator[Finding]:
    for reading in key.readings:
        for before, a, after, b in reading.steps(inside=inside):
            if b <= a:
                message = _walk(reading.process, a, b, first=before is after and not inside)
                yield Finding(key.name, message, (before.last_line, after.last_line))


def _walk(process: Process, a: int, b: int, *, first: bool) -> str:
    since = f"from its position {a + 1} on" if first else f"after {a}"
    return f"process {process!r} read offset {b} {since}"


def poll_skip(key: KeyHistory) -> Iterator[Finding]:
    """The next poll begins behind records that are there."""
    return _skips(key, inside=False)


def int_poll_skip(key: KeyHistory) -> Iterator[Finding]:
    """One poll leaves out records that are there."""
    return _skips(key, inside=True)


def nonmonotonic_poll(key: KeyHistory) -> Iterator[Finding]:
    """The next poll begins at or before what was read already."""
    return _backs(key, inside=False)


def int_nonmonotonic_poll(key: KeyHistory) -> Iterator[Finding]:
    """One poll goes back."""
    return _backs(key, inside=True)
