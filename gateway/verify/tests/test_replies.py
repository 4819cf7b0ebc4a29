"""Which replies overtook an earlier request on their connection."""

import pytest

from gateway.verify.lines import Process
from gateway.verify.model import History, How, Op
from gateway.verify.replies import Replies


def followed(*steps: tuple[str, Process, int]) -> tuple[History, list[tuple[int, int]]]:
    """Steps are ("asked", connection, number) and (outcome, connection, number)."""
    history = History()
    replies = Replies(history)
    ops: dict[int, Op] = {}
    for what, connection, number in steps:
        if what == "asked":
            ops[number] = Op(number, "p", How("send"))
            replies.asked(connection, ops[number])
        else:
            ops[number].outcome = what
            replies.ended(ops[number])
    return history, [(op.line, first.line) for op, first in history.overtaken]


@pytest.mark.parametrize(
    ("steps", "overtaken"),
    [
        ([("asked", 1, 1), ("asked", 1, 2), ("ok", 1, 1), ("ok", 1, 2)], []),
        ([("asked", 1, 1), ("asked", 1, 2), ("ok", 1, 2), ("ok", 1, 1)], [(2, 1)]),
        ([("asked", 1, 1), ("asked", 1, 2), ("fail", 1, 2)], [(2, 1)]),  # an answer, too
        ([("asked", 1, 1), ("asked", 1, 2), ("info", 1, 2)], []),  # nobody answered
        ([("asked", 1, 1), ("asked", 1, 2), ("info", 1, 1), ("ok", 1, 2)], []),
        ([("asked", 1, 1), ("asked", 2, 2), ("ok", 2, 2)], []),  # another connection
        (
            [("asked", 1, 1), ("asked", 1, 2), ("asked", 1, 3), ("ok", 1, 3), ("ok", 1, 2)],
            [(3, 1), (2, 1)],
        ),
    ],
)
def test_only_an_answer_overtakes_and_only_on_its_connection(
    steps: list[tuple[str, Process, int]], overtaken: list[tuple[int, int]]
) -> None:
    history, found = followed(*steps)
    assert found == overtaken
    assert history.replies_count == sum(what == "asked" for what, *_ in steps)


def test_what_names_no_connection_is_nobodys() -> None:
    history = History()
    Replies(history).ended(Op(7, "p", How("send"), "ok"))
    assert (history.overtaken, history.replies_count) == ([], 0)
