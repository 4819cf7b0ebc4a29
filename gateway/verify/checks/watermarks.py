"""What replies say about a partition never goes back, and agrees with what was acknowledged.

Order in time is known for one client and one kind of operation (`f`), and for *fresh* replies:
those that were asked for after the operation began. A consumer that fetches ahead tells old news.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import pairwise

from gateway.verify.checks.base import Finding
from gateway.verify.lines import Process
from gateway.verify.model import KeyHistory, Op

FIELDS = {
    "high_watermark": "high-watermark-back",
    "log_start": "log-start-back",
    "log_end": "log-end-back",
    "last_stable": "last-stable-back",
    "leader_epoch": "leader-epoch-back",
}


def goes_back(field: str) -> Callable[[KeyHistory], Iterator[Finding]]:
    """The check that `field` never falls."""

    def find(key: KeyHistory) -> Iterator[Finding]:
        told = [
            (o.op, number)
            for o in key.observations
            if (number := getattr(o.told, field)) is not None
        ]
        own: dict[tuple[Process, str], tuple[Op, int]] = {}
        tops: list[tuple[Op, int]] = []  # after each observation, the highest so far
        ends = array("q")
        for op, number in told:
            bound = own.get((op.process, op.how.f))
            if op.how.fresh and (at := bisect_left(ends, op.line)):
                bound = max(bound or tops[at - 1], tops[at - 1], key=lambda b: b[1])
            if bound is not None and number < bound[1]:
                message = f"{field} went from {bound[1]} to {number}"
                yield Finding(key.name, message, (bound[0].last_line, op.last_line))
            own[op.process, op.how.f] = (op, number)
            ends.append(op.end_line)
            tops.append(max(tops[-1], (op, number), key=lambda b: b[1]) if tops else (op, number))

    return find


def watermarks_crossed(key: KeyHistory) -> Iterator[Finding]:
    """log_start <= last_stable <= high_watermark <= log_end, in one reply."""
    for observation in key.observations:
        told = observation.told
        rising = [
            (name, number)
            for name in ("log_start", "last_stable", "high_watermark", "log_end")
            if (number := getattr(told, name)) is not None
        ]
        for (low, a), (high, b) in pairwise(rising):
            if a > b:
                message = f"{low} {a} is above {high} {b}"
                yield Finding(key.name, message, (observation.op.last_line,))


def read_above_high_watermark(key: KeyHistory) -> Iterator[Finding]:
    """A poll returned records that its own reply says are not confirmed."""
    for observation in key.observations:
        mark = observation.told.high_watermark
        if mark is not None and observation.read_end > mark:
            message = f"offset {observation.read_end - 1} was read; the high watermark was {mark}"
            yield Finding(key.name, message, (observation.op.last_line,))


def high_watermark_behind_ack(key: KeyHistory) -> Iterator[Finding]:
    """A fresh reply does not know what was acknowledged (acks=all) before it was asked for."""
    for observation in key.observations:
        mark, op = observation.told.high_watermark, observation.op
        if mark is None or not op.how.fresh:
            continue
        holder = key.acked_before(op.line)
        if holder is not None and key.offsets[holder] >= mark:
            acked = key.offsets[holder]
            message = f"the high watermark was {mark} after offset {acked} was acknowledged"
            yield Finding(key.name, message, (key.ops[holder].last_line, op.last_line))


def high_watermark_behind_read(key: KeyHistory) -> Iterator[Finding]:
    """A fresh reply does not know what was served before it was asked for."""
    fresh = [o for o in key.observations if o.op.how.fresh and o.told.high_watermark is not None]
    if not fresh:
        return
    tops: list[tuple[Op, int]] = []  # after each poll, the highest offset read so far
    ends = array("q")
    for end, offset, op in sorted(
        ((op.end_line, offset, op) for offset, _, op in key.polled()), key=lambda row: row[:2]
    ):
        ends.append(end)
        tops.append((op, offset) if not tops or tops[-1][1] < offset else tops[-1])
    for observation in fresh:
        mark, op = observation.told.high_watermark, observation.op
        at = bisect_left(ends, op.line)
        if mark is not None and at and tops[at - 1][1] >= mark:
            reader, offset = tops[at - 1]
            message = f"the high watermark was {mark} after offset {offset} was read"
            yield Finding(key.name, message, (reader.last_line, op.last_line))
