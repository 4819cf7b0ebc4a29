"""How long the event loop and Python's garbage collector keep everybody waiting."""

from __future__ import annotations

import asyncio
import gc
import time

from wal_core import DURATION_BOUNDS_S, Histogram

LAG_INTERVAL_S = 0.25


class Pauses:
    """Between `start` and `stop`."""

    def __init__(self) -> None:
        self.lag = Histogram(DURATION_BOUNDS_S)
        self.collections = [Histogram(DURATION_BOUNDS_S) for _ in gc.get_count()]
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._began_s = 0.0

    def start(self) -> None:
        self._wait()
        gc.callbacks.append(self._collecting)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.callbacks.remove(self._collecting)

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + LAG_INTERVAL_S
        self._timer = loop.call_at(self._due_s, self._came)

    def _came(self) -> None:
        self.lag.add(max(0.0, asyncio.get_running_loop().time() - self._due_s))
        self._wait()

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        """In whatever thread; one at a time."""
        if phase == "start":
            self._began_s = time.perf_counter()  # a thread has no loop
        else:
            self.collections[info["generation"]].add(time.perf_counter() - self._began_s)
