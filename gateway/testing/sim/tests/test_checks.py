"""The checks of a run's end, each with a history that is fine and one that is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.testing.sim.checks import check_history
from gateway.testing.sim.consumers import FinalLog
from gateway.testing.sim.history import Deletion, History, Poll, Send
from gateway.testing.sim.trace import Trace

HERE, THERE = ("t", 0), ("t", 1)


def violations(history: History, log: FinalLog) -> list[str]:
    async def check() -> list[str]:
        trace = Trace()
        check_history(history, {HERE: log, THERE: FinalLog(0, 0, [])}, trace)
        return trace.violations

    return asyncio.run(check())


def sent(value: bytes, offset: int, *, began_s: float) -> Send:
    return Send("p", HERE, [value], began_s, "ok", began_s + 0.5, offset)


def fine() -> tuple[History, FinalLog]:
    """Two of three records were deleted; one consumer read all, one came late."""
    history = History(
        sends=[sent(b"a", 0, began_s=1), sent(b"b", 1, began_s=2), sent(b"c", 2, began_s=3)],
        polls=[
            Poll("c", HERE, 4.0, 0, [(0, b"a"), (1, b"b")]),
            Poll("c", HERE, 5.0, 2, [(2, b"c")]),
            Poll("late", HERE, 6.0, 2, [(2, b"c")]),
        ],
        deletions=[Deletion(HERE, 2, done=True), Deletion(HERE, 3)],
    )
    return history, FinalLog(2, 3, [(2, b"c")])


def test_deleted_records_are_no_loss():
    assert violations(*fine()) == []


def _reads_another_value_of_what_is_deleted(history: History, log: FinalLog) -> None:
    history.polls.append(Poll("d", HERE, 4.5, 0, [(0, b"z")]))


def _reads_a_deleted_value_twice(history: History, log: FinalLog) -> None:
    history.polls.append(Poll("d", THERE, 4.5, 0, [(0, b"a")]))


def _misses_the_beginning(history: History, log: FinalLog) -> None:
    history.polls.append(Poll("d", HERE, 4.5, 0, [(1, b"b")]))


def _a_deletion_comes_back(history: History, log: FinalLog) -> None:
    log.start, log.records = 1, [(1, b"b"), (2, b"c")]


def _a_deletion_takes_what_was_not_asked_for(history: History, log: FinalLog) -> None:
    log.records = []


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (_reads_another_value_of_what_is_deleted, "inconsistent offsets"),
        (_reads_a_deleted_value_twice, "duplicate"),
        (_misses_the_beginning, "poll skip"),
        (_a_deletion_comes_back, "what was deleted is gone"),
        (_a_deletion_takes_what_was_not_asked_for, "lost write"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[History, FinalLog], None], verdict: str):
    history, log = fine()
    change(history, log)
    assert verdict in {text.partition(":")[0] for text in violations(history, log)}
