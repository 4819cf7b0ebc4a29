"""Transactions: all of one or nothing, nothing of an aborted one, no cycles.

Aborted is what `fail` says. A transaction that ended with `info` may be either.
"""

from collections.abc import Iterator
from itertools import pairwise

from gateway.verify.checks.base import Finding
from gateway.verify.checks.cycles import cycles
from gateway.verify.model import ACKED, FAILED, History, KeyHistory, Op


def aborted_read(key: KeyHistory) -> Iterator[Finding]:
    """The value of a failed send, or at read_committed of an aborted transaction, is read."""
    if FAILED not in key.statuses:
        return
    for offset, row, op in key.polled():
        sent = key.ops[row]
        if key.statuses[row] == FAILED and (op.how.read_committed or not sent.how.is_txn):
            message = f"{key.values[row]!r} at offset {offset} is of a failed {sent.how.f}"
            yield Finding(key.name, message, (sent.last_line, op.last_line))


def precommitted_read(key: KeyHistory) -> Iterator[Finding]:
    """A transaction reads what it wrote itself."""
    for offset, row, op in key.polled():
        if key.ops[row] is op:
            message = f"{key.values[row]!r} at offset {offset} is the transaction's own"
            yield Finding(key.name, message, (op.last_line,))


def torn_txn(history: History) -> Iterator[Finding]:
    """One part of a transaction was read, another was not by the end."""
    for op, rows in history.txns.values():
        if op.outcome == "fail":
            continue
        seen = [(key, row) for key, row in rows if key.seen[row]]
        if not seen:
            continue
        for key, row in rows:
            final = key.final_poll
            if key.seen[row] or final is None or key.may_be_deleted(key.offsets[row]):
                continue
            there, its_row = seen[0]
            # Its marker is due once it is acknowledged or the other's was seen.
            due = op.end_line if op.outcome == "ok" else there.first_read[its_row]
            if due < final.line:
                message = f"{key.values[row]!r} was never read, {there.values[its_row]!r} was"
                yield Finding(
                    key.name, f"{message}, of one transaction", (op.last_line, final.last_line)
                )


def _write_edges(history: History) -> Iterator[tuple[Op, Op, str]]:
    for key in history.keys.values():
        ops = [key.ops[key.known[offset]] for offset in key.visible_offsets]
        for a, b in pairwise(ops):
            if a is not b and a.how.is_txn and b.how.is_txn:
                yield a, b, key.name


def _read_edges(history: History) -> Iterator[tuple[Op, Op, str]]:
    for key in history.keys.values():
        for _, row, op in key.polled():
            sent = key.ops[row]
            if op.how.is_txn and sent.how.is_txn and sent is not op and key.statuses[row] == ACKED:
                yield sent, op, key.name


def write_cycle(history: History) -> Iterator[Finding]:
    """G0: the writes of transactions interleave. Kafka allows it."""
    return _cycles(_write_edges(history), "wrote before one another")


def read_cycle(history: History) -> Iterator[Finding]:
    """G1c: transactions that each read what the next one wrote."""
    committed = (edge for edge in _read_edges(history) if edge[1].how.read_committed)
    return _cycles(committed, "read from one another")


def _cycles(edges: Iterator[tuple[Op, Op, str]], what: str) -> Iterator[Finding]:
    for ops, name in cycles(edges):
        message = f"{len(ops)} transactions {what}"
        yield Finding(name, message, tuple(sorted(op.last_line for op in ops)))
