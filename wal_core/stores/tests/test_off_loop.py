"""Lanes: threads for one need, made with the first work; short work stays on the loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from wal_core.stores.off_loop import LARGE_ROWS_COUNT, Lane, off_loop_if_large


@pytest.fixture
def lane():
    lane = Lane("needed", 1)
    yield lane
    lane.close()


async def test_few_rows_are_done_at_once_and_many_in_a_thread_of_the_lane(lane: Lane):
    def where() -> str:
        return threading.current_thread().name

    here = threading.current_thread().name
    assert await off_loop_if_large(lane, LARGE_ROWS_COUNT - 1, where) == here
    assert lane._pool is None  # no thread was made for that
    assert (await off_loop_if_large(lane, LARGE_ROWS_COUNT, where)).startswith("needed")


@pytest.mark.parametrize("rows_count", [0, LARGE_ROWS_COUNT])
async def test_errors_are_those_of_the_work(lane: Lane, rows_count: int):
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await off_loop_if_large(lane, rows_count, fails)


async def test_one_need_does_not_hold_up_another(lane: Lane):
    let_go = threading.Event()
    other = Lane("other", 1)
    try:
        blocked = lane.start(lambda: let_go.wait(30))
        behind = lane.start(lambda: "behind")
        assert await other.start(lambda: "beside") == "beside"
        assert not behind.done()
        let_go.set()
        assert await blocked
        assert await behind == "behind"
    finally:
        let_go.set()
        other.close()


async def test_what_has_not_begun_at_the_end_is_never_done_and_work_may_come_again(lane: Lane):
    let_go, begun = threading.Event(), threading.Event()
    done: list[int] = []

    def first() -> None:
        begun.set()
        let_go.wait(30)

    running = lane.start(first)
    waiting = lane.start(lambda: done.append(1))
    await asyncio.to_thread(begun.wait, 30)
    lane.close()
    let_go.set()
    await running
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == []
    assert await lane.start(lambda: 7) == 7
