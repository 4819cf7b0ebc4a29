"""Turns at the interpreter: short while they are needed, and only where it is ours."""

from __future__ import annotations

import asyncio
import threading

from wal_core.stores import off_loop
from wal_core.stores.off_loop import Lane
from wal_core.stores.sharing import LONG_S, SHORT_S, Sharing


def test_turns_are_short_while_at_least_one_needs_it():
    turns_s: list[float] = []
    sharing = Sharing(turns_s.append)
    sharing.take_over()
    for _ in range(2):
        sharing.begin()
    sharing.end()
    assert turns_s == [LONG_S, SHORT_S]
    sharing.end()
    assert turns_s == [LONG_S, SHORT_S, LONG_S]


def test_they_are_left_alone_until_the_interpreter_is_ours():
    turns_s: list[float] = []
    sharing = Sharing(turns_s.append)
    sharing.begin()
    sharing.end()
    sharing.begin()
    assert turns_s == []
    sharing.take_over()
    assert turns_s == [SHORT_S]


async def test_turns_are_short_while_something_computes_in_a_lane(monkeypatch):
    turns_s: list[float] = []
    sharing = Sharing(turns_s.append)
    sharing.take_over()
    monkeypatch.setattr(off_loop, "SHARING", sharing)
    lane, let_go = Lane("needed", 1), threading.Event()
    try:
        work = lane.start(let_go.wait)
        assert turns_s == [LONG_S, SHORT_S]
        let_go.set()
        await work
        await asyncio.sleep(0)
        assert turns_s == [LONG_S, SHORT_S, LONG_S]
        given_up = lane.start(let_go.wait)
        given_up.cancel()
        await asyncio.wait([given_up])
        await asyncio.sleep(0)
        assert turns_s[-1] == LONG_S
    finally:
        let_go.set()
        lane.close()
