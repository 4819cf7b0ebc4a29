"""Offsets follow the order of sends: of one producer, and of all in real time."""

from collections.abc import Iterator

from gateway.verify.checks.base import Finding
from gateway.verify.lines import Process
from gateway.verify.model import ACKED, KeyHistory, Op


def nonmonotonic_send(key: KeyHistory) -> Iterator[Finding]:
    """A later send of one producer landed before an earlier one."""
    last: dict[Process, tuple[Op, int]] = {}
    for offset, row in key.acks():
        op = key.ops[row]
        before = last.get(op.process)
        last[op.process] = (op, offset)
        if before is None or before[0] is op or before[1] < offset:
            continue
        earlier, its_offset = before
        # A client that may have several under way, without numbers, may swap them on a retry.
        if (op.how.ordered and earlier.how.ordered) or earlier.end_line < op.line:
            message = f"process {op.process!r} sent {key.values[row]!r} later: offset {offset}"
            yield Finding(
                key.name, f"{message} after {its_offset}", (earlier.last_line, op.last_line)
            )


def _pairs(key: KeyHistory) -> Iterator[tuple[Op, int, int]]:
    """Neighbours of one key inside one operation: (operation, offset, next offset)."""
    before: tuple[Op, int] | None = None
    for offset, row in key.acks():
        op = key.ops[row]
        if before is not None and before[0] is op:
            yield op, before[1], offset
        before = (op, offset)


def int_nonmonotonic_send(key: KeyHistory) -> Iterator[Finding]:
    """One operation's sends landed in another order."""
    for op, a, b in _pairs(key):
        if b <= a and (op.how.ordered or op.how.batch):
            message = f"process {op.process!r} sent in one operation: offset {b} after {a}"
            yield Finding(key.name, message, (op.last_line,))


def int_send_skip(key: KeyHistory) -> Iterator[Finding]:
    """Between the sends of one operation lie others'. Kafka allows it."""
    for op, a, b in _pairs(key):
        if not op.how.batch and b > a + 1 and (between := key.visible_between(a + 1, b)):
            message = f"offset {key.shown(between)} between {a} and {b} of one operation"
            yield Finding(key.name, message, (op.last_line,))


def batch_not_dense(key: KeyHistory) -> Iterator[Finding]:
    """The records of one batch have consecutive offsets."""
    for op, a, b in _pairs(key):
        if op.how.batch and b > a + 1:
            message = f"offset {b} follows {a} in one batch"
            yield Finding(key.name, message, (op.last_line,))


def realtime_order(key: KeyHistory) -> Iterator[Finding]:
    """What is sent after an acknowledgement gets a higher offset, whoever sends it."""
    for row, offset in enumerate(key.offsets):
        if offset < 0 or key.statuses[row] != ACKED:
            continue
        op = key.ops[row]
        holder = key.acked_before(op.line)
        if holder is not None and key.offsets[holder] >= offset:
            message = f"{key.values[row]!r} got offset {offset} when {key.offsets[holder]}"
            lines = (key.ops[holder].last_line, op.last_line)
            yield Finding(key.name, f"{message} was acknowledged before it was sent", lines)
