"""Shares of the loop's time for a request that has much to do."""

from __future__ import annotations

import asyncio

SLICE_S = 0.003  # so long at most one request keeps all others from the loop


class Slices:
    """The time one request works without waiting for anything.

    Between two pieces of work: `if slices.is_over: await slices.pause()`. After a wait for
    something else: `resume`.
    """

    __slots__ = ("_began_s", "_loop", "_spent_s")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._spent_s = 0.0  # in earlier slices

    @property
    def is_over(self) -> bool:
        """Whether it is time to let others have the loop."""
        return self._loop.time() - self._began_s > SLICE_S

    @property
    def spent_s(self) -> float:
        """In all slices together."""
        return self._spent_s + self._loop.time() - self._began_s

    async def pause(self) -> None:
        """Let everybody who is ready take a step."""
        self._spent_s = self.spent_s
        await asyncio.sleep(0)
        self.resume()

    def resume(self) -> None:
        """Time that passed while it waited does not count."""
        self._began_s = self._loop.time()
