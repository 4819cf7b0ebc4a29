"""What was promised is there: nothing acknowledged or read is missing, and no hole in between."""

from collections.abc import Iterator

from gateway.verify.checks.base import Finding
from gateway.verify.model import ACKED, NEVER, UNKNOWN, History, KeyHistory, Op


def _missing(key: KeyHistory) -> Iterator[tuple[int, int, Op]]:
    """(row, offset, send) of what was acknowledged, is not deleted, and was never read."""
    for row, seen in enumerate(key.seen):
        if not seen and key.statuses[row] == ACKED:
            offset = key.offsets[row]
            if offset < 0 or offset >= key.log_start:
                yield row, offset, key.ops[row]


def lost_write(key: KeyHistory) -> Iterator[Finding]:
    """Acknowledged below the highest offset read, and never read."""
    highest = key.highest_polled
    lost = [found for found in _missing(key) if 0 <= found[1] < highest]
    if lost:
        (reader,) = _readers(key, {highest}).values()
        for row, offset, op in lost:
            message = f"{key.values[row]!r}, acknowledged at offset {offset}, was never read"
            beyond = f"{message}; offset {highest} was"
            yield Finding(key.name, beyond, (op.last_line, reader.last_line))
    yield from _lost_siblings(key)


def _lost_siblings(key: KeyHistory) -> Iterator[Finding]:
    """A batch is stored whole: if one of its records was read, the others are in the log."""
    unknown = [
        row
        for row, status in enumerate(key.statuses)
        if status == UNKNOWN and key.ops[row].how.batch and not key.ops[row].how.is_txn
    ]
    visible = {id(key.ops[row]) for row in unknown if key.seen[row]}
    for row in unknown:
        op = key.ops[row]
        if not key.seen[row] and id(op) in visible and key.finals:
            message = f"{key.values[row]!r} was never read, though others of its batch were"
            yield Finding(key.name, message, (op.last_line,))


def unseen(key: KeyHistory) -> Iterator[Finding]:
    """Acknowledged above the highest offset read, and not there at the end."""
    if not key.finals:
        return
    for row, offset, op in _missing(key):
        if offset < 0 or offset > key.highest_polled:
            where = f"acknowledged at offset {offset}" if offset >= 0 else "acknowledged"
            message = f"{key.values[row]!r}, {where}, was not read by the final polls"
            yield Finding(key.name, message, (op.last_line, _final_line(key)))


def vanished(key: KeyHistory) -> Iterator[Finding]:
    """Read once, not deleted, and not among what the final polls read."""
    begins = [begin for reading in key.finals if (begin := reading.final_begin()) is not None]
    if not begins:
        return
    again = set[int]()
    for reading in key.finals:
        again.update(reading.offsets[reading.final_at :])
    gone = [o for o in key.visible_between(min(begins), NEVER) if o not in again]
    readers = _readers(key, {offset for offset in gone if key.seen[key.known[offset]]})
    for offset, op in readers.items():
        value = key.values[key.known[offset]]
        message = f"{value!r} at offset {offset} was read, but not by the final polls"
        yield Finding(key.name, message, (op.last_line, _final_line(key)))


def holes(history: History) -> Iterator[Finding]:
    """Offsets that hold nothing; control records of transactions would look the same."""
    if not history.txns:
        for key in history.keys.values():
            yield from hole(key)


def hole(key: KeyHistory) -> Iterator[Finding]:
    """Offsets that hold nothing: between two that were read, or below the high watermark."""
    told: set[tuple[int, int]] = set()
    for reading in key.readings:
        for inside in (True, False):
            for before, a, after, b in reading.steps(inside=inside):
                begin = max(a + 1, key.log_start)
                empty_count = b - begin - len(key.visible_between(begin, b))
                if empty_count > 0 and (begin, b) not in told:
                    told.add((begin, b))
                    message = f"{empty_count} of the offsets from {begin} to {b - 1} hold nothing"
                    if begin == b - 1:
                        message = f"offset {begin} holds nothing"
                    yield Finding(key.name, message, (before.last_line, after.last_line))
    yield from _unreadable_end(key)


def _unreadable_end(key: KeyHistory) -> Iterator[Finding]:
    told = [o for o in key.observations if o.told.high_watermark is not None]
    if not told or not key.finals:
        return
    top = max(told, key=lambda o: o.told.high_watermark or 0)
    read_end = 1 + max((max(r.offsets) for r in key.finals if r.offsets), default=-1)
    begin, end = max(read_end, key.log_start), top.told.high_watermark or 0
    if begin < end:
        message = f"the high watermark was {end}; the final polls read up to {begin - 1}"
        yield Finding(key.name, message, (top.op.last_line, _final_line(key)))


def _readers(key: KeyHistory, offsets: set[int]) -> dict[int, Op]:
    """The last poll that read each of the offsets."""
    return {offset: op for offset, _, op in key.polled() if offset in offsets} if offsets else {}


def _final_line(key: KeyHistory) -> int:
    """Of the last poll that should have read it."""
    return max(r.last_poll.last_line for r in key.finals if r.last_poll is not None)
