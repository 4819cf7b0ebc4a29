"""Trying again: what is repeated, how often, and what is not."""

from __future__ import annotations

import asyncio

import pytest

from wal_core import Fenced, LogConfig, Unavailable
from wal_core.stores.persistence import Persistence
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng

PERSIST = Persistence(
    LogConfig(store_timeout_ms=1000, retry_first_ms=100, retry_max_ms=400), CountingRng()
)


class Action:
    """Plays a script: an exception is raised, None hangs, anything else is the result."""

    def __init__(self, *script: object) -> None:
        self.script = list(script)
        self.times: list[float] = []

    async def __call__(self) -> object:
        loop = asyncio.get_running_loop()
        self.times.append(loop.time())
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return await loop.create_future() if step is None else step


def test_failures_and_silence_are_repeated_with_growing_pauses():
    async def main() -> None:
        action = Action(*[Unavailable("x")] * 4, None, "done")
        assert await PERSIST(action) == "done"
        gaps = [b - a for a, b in zip(action.times, action.times[1:], strict=False)]
        # The test's dice always show one half, so a pause is three quarters of its bound.
        assert gaps == pytest.approx([0.075, 0.15, 0.3, 0.3, 1.3])

    run(main)


@pytest.mark.parametrize("error", [Fenced("x"), ValueError("x")])
def test_what_cannot_pass_is_raised_at_once(error):
    async def main() -> None:
        action = Action(error)
        with pytest.raises(type(error)):
            await PERSIST(action)
        assert len(action.times) == 1

    run(main)


def test_cancelling_ends_it():
    async def main() -> None:
        task = asyncio.ensure_future(PERSIST(Action(*[Unavailable("x")] * 1000)))
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
