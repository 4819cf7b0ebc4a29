"""Time on the loop is counted, time of waiting is not."""

import asyncio
from typing import Any

import pytest

from gateway.fairness.stopwatch import Timed


class _Hands:
    """A clock that moves when it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now_s, raising=False)


async def test_steps_count_and_waits_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = _Hands(monkeypatch)
    opened = asyncio.Event()

    async def work() -> str:
        hands.now_s += 1.0
        await opened.wait()
        hands.now_s += 2.0
        return "done"

    timed = Timed(work())
    task = asyncio.ensure_future(_awaited(timed))
    await asyncio.sleep(0)
    hands.now_s += 100.0
    opened.set()
    assert await task == "done"
    assert timed.spent_s == pytest.approx(3.0)


async def test_an_error_comes_through() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await Timed(work())


async def test_what_is_cancelled_learns_of_it_and_may_clean_up() -> None:
    seen = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned")

    task = asyncio.ensure_future(_awaited(Timed(work())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cleaned"]


async def _awaited(timed: Timed[Any]) -> Any:
    return await timed
