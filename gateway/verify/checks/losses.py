"""What was promised is there: nothing acknowledged or read is missing, and no hole in between."""

from collections.abc import Iterator

from gateway.verify.checks.base import Finding
from gateway.verify.model import ACKED, NEVER, UNKNOWN, History, KeyHistory, Op


def _missing(key: KeyHistory) -> Iterator[tuple[int, int, Op]]:
    """(row, offset, send) of what was acknowledged, is not deleted, and was never read."""
    for row, seen in enumerate(key.seen):
        if not seen and key.statuses[row] == ACKED and not key.may_be_deleted(key.offsets[row]):
            yield row, key.offsets[row], key.ops[row]


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
    unknown = {
        row
        for row, status in enumerate(key.statuses)
        if status == UNKNOWN and key.ops[row].how.batch and not key.ops[row].how.is_txn
    }
    if not unknown or not key.finals:
        return
    # Rows of one batch are neighbours, and so are their offsets.
    places = {id(key.ops[row]): offset - row for offset, row, _ in key.polled() if row in unknown}
    for row in sorted(unknown):
        op = key.ops[row]
        place = places.get(id(op))
        if not key.seen[row] and place is not None and not key.may_be_deleted(place + row):
            message = f"{key.values[row]!r} was never read, though others of its batch were"
            yield Finding(key.name, message, (op.last_line,))


def unseen(key: KeyHistory) -> Iterator[Finding]:
    """Acknowledged above the highest offset read, and not there at the end."""
    final = key.final_poll
    if final is None:
        return
    for row, offset, op in _missing(key):
        if (offset < 0 or offset > key.highest_polled) and op.end_line < final.line:
            where = f"acknowledged at offset {offset}" if offset >= 0 else "acknowledged"
            message = f"{key.values[row]!r}, {where}, was not read by the final polls"
            yield Finding(key.name, message, (op.last_line, final.last_line))


def vanished(key: KeyHistory) -> Iterator[Finding]:
    """Read once, not deleted, and not among what the final polls read."""
    begins = [begin for reading in key.finals if (begin := reading.final_begin()) is not None]
    final = key.final_poll
    if not begins or final is None:
        return
    again = set[int]()
    for reading in key.finals:
        again.update(reading.offsets[reading.final_at :])
    due = (key.visible_offsets[i] for i in key.visible_between(min(begins), NEVER))
    gone = [offset for offset in due if offset not in again]
    readers = _readers(key, {offset for offset in gone if key.seen[key.known[offset]]})
    for offset, op in readers.items():
        if op.end_line > final.line:
            continue  # it may have been sent after the final polls
        value = key.values[key.known[offset]]
        message = f"{value!r} at offset {offset} was read, but not by the final polls"
        yield Finding(key.name, message, (op.last_line, final.last_line))


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
    final = key.final_poll
    if final is None:
        return
    told = [
        (mark, o.op)
        for o in key.observations
        if (mark := o.told.high_watermark) is not None and o.op.end_line < final.line
    ]
    end, op = max(told, key=lambda at: at[0], default=(0, final))
    read_end = 1 + max((max(r.offsets) for r in key.finals if r.offsets), default=-1)
    begin = max(read_end, key.log_start)
    if begin < end:
        message = f"the high watermark was {end}; the final polls read up to {begin - 1}"
        yield Finding(key.name, message, (op.last_line, final.last_line))


def _readers(key: KeyHistory, offsets: set[int]) -> dict[int, Op]:
    """The first poll that read each of the offsets."""
    readers: dict[int, Op] = {}
    for offset, _, op in key.polled() if offsets else ():
        if offset in offsets and (offset not in readers or op.end_line < readers[offset].end_line):
            readers[offset] = op
    return readers
