"""What a group read back as committed: which answers are a broken promise."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.testing.sim.client import Client
from gateway.testing.sim.history import Commit, History
from gateway.testing.sim.members import committed
from gateway.testing.sim.trace import Trace
from protocol.messages.offset_fetch import (
    OffsetFetchResponse,
    OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
)

HERE = ("t", 0)


def look(*commits: Commit, found: tuple[int, ...], owner: bool = True) -> list[str]:
    """Read back one after the other."""
    history = History(commits=list(commits))

    async def run() -> list[str]:
        trace = Trace()
        answers = iter(found)

        async def call(*_: Any) -> OffsetFetchResponse:
            row = OffsetFetchResponsePartition(partition_index=0, committed_offset=next(answers))
            return OffsetFetchResponse(
                topics=[OffsetFetchResponseTopic(name="t", partitions=[row])]
            )

        client = SimpleNamespace(
            world=SimpleNamespace(history=history, trace=trace, owns_groups=lambda *_: owner),
            link=SimpleNamespace(node=None),
            call=call,
            check_code=lambda code, doing: not code,
        )
        for offset in found:
            assert await committed(cast(Client, client), (HERE,)) == {HERE: offset}
        return trace.violations

    return asyncio.run(run())


SURE, UNSURE = Commit(HERE, 5, done=True), Commit(HERE, 7)


@pytest.mark.parametrize(
    ("commits", "found"),
    [
        ((), (-1,)),
        ((SURE,), (5,)),
        ((SURE, UNSURE), (5, 7, 7)),  # it came late
        ((UNSURE, SURE), (5, 7)),  # sent before, and came later still
    ],
)
def test_the_last_commit_is_read_back(commits, found):
    assert look(*commits, found=found) == []


@pytest.mark.parametrize(
    ("commits", "found"),
    [
        ((), (0,)),  # nobody committed it
        ((SURE,), (-1,)),  # lost
        ((SURE,), (4,)),
        ((SURE, Commit(HERE, 6, done=True)), (5,)),  # an earlier one
        ((SURE, UNSURE), (7, 5)),  # shown, and gone again
        ((Commit(("t", 1), 5, done=True),), (5,)),  # another partition's
    ],
)
def test_anything_else_is_a_broken_promise(commits, found):
    assert look(*commits, found=found)
    assert not look(*commits, found=found, owner=False)  # it may not know yet that it is fenced
