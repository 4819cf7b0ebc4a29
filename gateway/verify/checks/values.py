"""One offset holds one value, one value has one offset, and replies tell the truth about both."""

from collections.abc import Iterator

from gateway.verify.checks.base import Finding
from gateway.verify.model import ACKED, NEVER_SENT, KeyHistory, Op


def inconsistent_offsets(key: KeyHistory) -> Iterator[Finding]:
    """One offset, two values, over all acknowledgements and polls."""
    known = key.known
    torn = {offset for offset, row, _ in key.claims() if known[offset] != row}
    if not torn:
        return
    first: dict[int, tuple[int, Op]] = {}
    told: set[tuple[int, int]] = set()
    for offset, row, op in key.claims():
        if offset not in torn:
            continue
        begun, by = first.setdefault(offset, (row, op))
        if row != begun and (offset, row) not in told:
            told.add((offset, row))
            values = f"{key.values[begun]!r} and {key.values[row]!r}"
            yield Finding(key.name, f"offset {offset} holds {values}", (by.last_line, op.last_line))


def _two_places(key: KeyHistory, *, least: int) -> Iterator[Finding]:
    first: dict[int, tuple[int, Op]] = {}
    told: set[tuple[int, int]] = set()
    for offset, row, op in key.claims():
        if offset < least or not key.ops[row].how.idempotent:
            continue
        place, by = first.setdefault(row, (offset, op))
        if place != offset and (row, offset) not in told:
            told.add((row, offset))
            message = f"{key.values[row]!r} is at offsets {place} and {offset}"
            yield Finding(key.name, message, (by.last_line, op.last_line))


def duplicate(key: KeyHistory) -> Iterator[Finding]:
    """A value of an idempotent producer at two offsets."""
    return _two_places(key, least=0)


def duplicate_nonzero(key: KeyHistory) -> Iterator[Finding]:
    """The same without offset 0, which broken replies tell: what is left is in the log."""
    return _two_places(key, least=1)


def wrong_offset_reply(key: KeyHistory) -> Iterator[Finding]:
    """The acknowledgement told another offset than the one the value is read at.

    Without idempotence a repeated send may be in the log twice: then it must be at the offset that
    was told as well, as far as that was read.
    """
    elsewhere: dict[int, tuple[int, Op]] = {}
    for offset, row, op in key.polled():
        if key.statuses[row] == ACKED and key.offsets[row] not in (-1, offset):
            elsewhere.setdefault(row, (offset, op))
    if not elsewhere:
        return
    right = {row for offset, row, _ in key.polled() if key.offsets[row] == offset}
    for row, (offset, op) in elsewhere.items():
        told, sent = key.offsets[row], key.ops[row]
        in_reach = key.log_start <= told <= key.highest_polled
        if sent.how.idempotent or (row not in right and in_reach):
            message = f"{key.values[row]!r} was acknowledged at {told} and is read at {offset}"
            yield Finding(key.name, message, (sent.last_line, op.last_line))


def offset_acked_twice(key: KeyHistory) -> Iterator[Finding]:
    """Two acknowledgements for one offset: two writers, or an offset used again."""
    first: dict[int, int] = {}
    for offset, row in key.acks():
        other = first.setdefault(offset, row)
        if other != row:
            values = f"{key.values[other]!r} and {key.values[row]!r}"
            lines = (key.ops[other].last_line, key.ops[row].last_line)
            yield Finding(key.name, f"offset {offset} was acknowledged for {values}", lines)


def phantom(key: KeyHistory) -> Iterator[Finding]:
    """A value is read that nobody had sent by then."""
    for offset, row, op in key.strangers:
        sent = "nobody sent it" if key.statuses[row] == NEVER_SENT else "it was sent only later"
        message = f"{key.values[row]!r} at offset {offset}: {sent}"
        yield Finding(key.name, message, (op.last_line,))
