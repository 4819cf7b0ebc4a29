"""Around the log: order of replies, group offsets, delays, and the objects in the store."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from gateway.verify.checks.base import Finding
from gateway.verify.model import ACKED, NEVER, Commit, History, KeyHistory, Op, Reading


def reply_order(history: History) -> Iterator[Finding]:
    """Replies leave a connection in the order of its requests."""
    for answered, waiting in history.overtaken:
        message = f"the {answered.how.f} was answered before the {waiting.how.f} ahead of it"
        yield Finding("", message, (waiting.line, answered.line, answered.last_line))


def stale_committed_offset(history: History) -> Iterator[Finding]:
    """A group reads an offset back that a later commit had replaced, or that nobody committed."""
    for (group, key), reads in history.committed.items():
        commits = history.commits.get((group, key), [])
        by_offset: dict[int, list[Commit]] = {}
        for commit in commits:
            by_offset.setdefault(commit.offset, []).append(commit)
        done = sorted((c for c in commits if c.op.outcome == "ok"), key=lambda c: c.op.end_line)
        ends = array("q", (c.op.end_line for c in done))
        newest: list[Commit] = []  # after each end, the commit that began last
        for commit in done:
            newest.append(max(newest[-1], commit, key=_begun) if newest else commit)
        for read in reads:
            at = bisect_left(ends, read.op.line)
            over = newest[at - 1] if at else None
            if read.offset == -1 and over is None:
                continue
            if not any(_may_be(commit, read, over) for commit in by_offset.get(read.offset, ())):
                instead = f", not {over.offset}" if over is not None else ""
                lines = (*((over.op.last_line,) if over else ()), read.op.last_line)
                found = "no offset" if read.offset == -1 else read.offset
                yield Finding(key, f"group {group!r} found {found}{instead}", lines)


def _begun(commit: Commit) -> int:
    return commit.op.line


def _may_be(commit: Commit, read: Commit, over: Commit | None) -> bool:
    """Whether `read` may return `commit`, given that `over` ended before it and began last."""
    if commit.op.outcome == "fail":
        return False
    ended = commit.op.end_line if commit.op.outcome == "ok" else NEVER
    return commit.op.line < read.op.end_line and (over is None or ended > over.op.line)


def realtime_lag(history: History) -> Iterator[Finding]:
    """A consumer gets a record longer after its acknowledgement than was asked for."""
    bound_ms = history.lag_ms_max
    if bound_ms is None:
        return
    for key in history.keys.values():
        for lag_ms, reading, sent, op in lags(key):
            if lag_ms > bound_ms:
                message = f"process {reading.process!r} was {lag_ms:.0f} ms behind"
                yield Finding(key.name, message, (sent.last_line, op.last_line))


def lagging_count(history: History) -> int:
    """Polls whose delay is judged."""
    if history.lag_ms_max is None:
        return 0
    return sum(1 for key in history.keys.values() for _ in lags(key))


def lags(key: KeyHistory) -> Iterator[tuple[float, Reading, Op, Op]]:
    """(milliseconds, reading, send, poll): how old the oldest new record of each poll was.

    Age counts from the acknowledgement, or from when the consumer came to its position. What a
    consumer never read counts at its last poll.
    """
    for reading in key.readings:
        if not reading.continuous:
            continue
        poll: Op | None = None
        for row, op in zip(reading.rows, reading.ops, strict=True):
            if op is not poll and key.statuses[row] == ACKED:
                since_ms = max(key.ops[row].end_ms, reading.start_ms)
                yield op.end_ms - since_ms, reading, key.ops[row], op
            poll = op
    yield from _never_read(key)


def _never_read(key: KeyHistory) -> Iterator[tuple[float, Reading, Op, Op]]:
    acks = sorted(key.acks())
    offsets = array("q", (offset for offset, _ in acks))
    for reading in key.readings:
        position = reading.offsets[-1] + 1 if reading.offsets else reading.start
        last = reading.last_poll
        if not reading.continuous or position is None or last is None:
            continue
        for at in range(bisect_left(offsets, max(position, key.log_start)), len(acks)):
            sent = key.ops[acks[at][1]]
            if sent.end_line < last.line:
                yield last.end_ms - max(sent.end_ms, reading.start_ms), reading, sent, last
                break


def overwritten_object(history: History) -> Iterator[Finding]:
    """The store created one key twice: names are never used again."""
    first: dict[str, int] = {}
    for put in history.puts:
        begun = first.setdefault(put.key, put.line)
        if begun != put.line:
            yield Finding("", f"object {put.key} was created twice", (begun, put.line))


def object_leak(history: History) -> Iterator[Finding]:
    """Objects lie in the bucket that nothing names."""
    for bucket in history.buckets:
        if leaked := sorted(bucket.listed - bucket.named):
            yield Finding("", f"nothing names {_objects(leaked)}", (bucket.line,))


def object_missing(history: History) -> Iterator[Finding]:
    """Objects are named that do not lie in the bucket."""
    for bucket in history.buckets:
        if missing := sorted(bucket.named - bucket.listed):
            yield Finding("", f"named, but not there: {_objects(missing)}", (bucket.line,))


def _objects(keys: list[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"
