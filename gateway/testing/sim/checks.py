"""What must be true of a history, given what is there in the end."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.testing.sim.consumers import FinalLog
from gateway.testing.sim.history import History, Partition, Send
from gateway.testing.sim.trace import Trace


def check_history(history: History, final: Mapping[Partition, FinalLog], trace: Trace) -> None:
    """Every promise to producers and consumers; broken ones go to the trace."""
    places = _places(final, trace)
    for partition, log in final.items():
        _check_dense(partition, log, trace)
    for send in history.sends:
        _check_send(send, final, places, trace)
    _check_order(history, places, trace)
    _check_polls(history, final, trace)
    _check_agreement(history, trace)
    _check_deletions(history, final, trace)


def _places(
    final: Mapping[Partition, FinalLog], trace: Trace
) -> dict[bytes, list[tuple[Partition, int]]]:
    places: dict[bytes, list[tuple[Partition, int]]] = {}
    for partition, log in final.items():
        for offset, value in log.records:
            places.setdefault(value, []).append((partition, offset))
    for value, found in places.items():
        if len(found) > 1:
            trace.violation("duplicate", f"{value[:24]!r} is at {found}")
    return places


def _check_dense(partition: Partition, log: FinalLog, trace: Trace) -> None:
    offsets = [offset for offset, _ in log.records]
    if offsets != list(range(log.start, log.end)):
        trace.violation(
            "I2 dense offsets", f"{partition} from {log.start} to {log.end} has {offsets}"
        )


def _check_send(
    send: Send,
    final: Mapping[Partition, FinalLog],
    places: dict[bytes, list[tuple[Partition, int]]],
    trace: Trace,
) -> None:
    log = final.get(send.partition)
    if send.status != "ok" or log is None:
        return
    for number, value in enumerate(send.values):
        offset = send.base_offset + number
        if offset < log.start:
            continue
        found = places.get(value, [])
        if not found:
            trace.violation("lost write", f"{value[:24]!r} of {send.partition}, told {offset}")
        elif (send.partition, offset) not in found:
            trace.violation(
                "inconsistent offsets", f"{value[:24]!r} was told {offset}, is at {found}"
            )


def _check_order(
    history: History, places: dict[bytes, list[tuple[Partition, int]]], trace: Trace
) -> None:
    """What was acknowledged before another send began lies before it; and so does all that one
    idempotent producer sent before.
    """
    by_partition: dict[Partition, list[Send]] = {}
    for send in history.sends:
        if send.status == "ok":
            by_partition.setdefault(send.partition, []).append(send)
    for partition, sends in by_partition.items():
        ended = sorted(sends, key=lambda send: send.completed_s)
        at, highest = 0, -1
        for send in sends:  # in order of invocation
            while at < len(ended) and ended[at].completed_s < send.invoked_s:
                highest = max(highest, ended[at].base_offset)
                at += 1
            if send.base_offset <= highest:
                trace.violation(
                    "I6 order of sends",
                    f"{partition} {send.values[0][:24]!r} at {send.base_offset} lies before "
                    f"offset {highest}, which was acknowledged before it was sent",
                )
        last: dict[str, int] = {}
        for send in sends:
            if send.base_offset < last.get(send.producer, -1):
                trace.violation(
                    "I6 order of sends",
                    f"{partition} {send.values[0][:24]!r} of {send.producer} at "
                    f"{send.base_offset} lies before an earlier one's {last[send.producer]}",
                )
            last[send.producer] = send.base_offset


def _check_polls(history: History, final: Mapping[Partition, FinalLog], trace: Trace) -> None:
    logs = {partition: dict(log.records) for partition, log in final.items()}
    positions: dict[tuple[str, Partition, int], int] = {}
    for poll in history.polls:
        reader = (poll.consumer, poll.partition, poll.session)
        if poll.records[0][0] != poll.position:
            trace.violation(
                "poll skip",
                f"{poll.consumer} asked {poll.partition} for {poll.position} and got "
                f"{poll.records[0][0]}",
            )
        for offset, value in poll.records:
            if offset != positions.get(reader, offset):
                trace.violation(
                    "poll skip",
                    f"{poll.consumer} at {poll.partition} went from "
                    f"{positions[reader]} to {offset}",
                )
            positions[reader] = offset + 1
            log = final.get(poll.partition)
            if log is None or offset < log.start:
                continue
            if logs[poll.partition].get(offset) != value:
                trace.violation(
                    "inconsistent offsets",
                    f"{poll.consumer} read {value[:24]!r} at {poll.partition} {offset}, "
                    f"in the end there is {logs[poll.partition].get(offset, b'nothing')[:24]!r}",
                )


def _check_agreement(history: History, trace: Trace) -> None:
    """An offset holds one value and a value has one offset, over all that was acknowledged and
    read: also of what was deleted meanwhile.
    """
    values: dict[tuple[Partition, int], bytes] = {}
    places: dict[bytes, tuple[Partition, int]] = {}

    def told(where: Partition, offset: int, value: bytes) -> None:
        if values.setdefault((where, offset), value) != value:
            trace.violation(
                "inconsistent offsets",
                f"{where} {offset} holds {values[where, offset][:24]!r} and {value[:24]!r}",
            )
        if places.setdefault(value, (where, offset)) != (where, offset):
            trace.violation("duplicate", f"{value[:24]!r} is at {places[value]}, {where} {offset}")

    for send in history.sends:
        if send.status == "ok" and send.base_offset >= 0:
            for number, value in enumerate(send.values):
                told(send.partition, send.base_offset + number, value)
    for poll in history.polls:
        for offset, value in poll.records:
            told(poll.partition, offset, value)


def _check_deletions(history: History, final: Mapping[Partition, FinalLog], trace: Trace) -> None:
    """What was deleted for certain stays so. (That nothing else went, the oracle looks after.)"""
    for deletion in history.deletions:
        log = final[deletion.partition]
        if deletion.done and log.start < deletion.offset:
            trace.violation(
                "what was deleted is gone",
                f"{deletion.partition} was deleted below {deletion.offset}, starts at {log.start}",
            )
