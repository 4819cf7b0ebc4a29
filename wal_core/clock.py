"""Wall clock and randomness as injected components; the only module that touches the real ones.

Durations and time-outs do not come from here but from the running event loop, so that a loop
with virtual time rules them. Safety never depends on either.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time, for stamps people read; it may jump."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...


class Rng(Protocol):
    """Randomness for nonces and jitter."""

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes nobody else draws."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class SteadyClock:
    """The wall clock as it stood at the first look, and the running loop's time since: for ages.

    Does not jump while the process runs, whatever somebody does to the machine's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Asking which loop runs is a system call in some versions of Python: so once.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ahead_ms = 0.0  # of its time

    def now_ms(self) -> int:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
            self._ahead_ms = self._clock.now_ms() - loop.time() * 1000
        return round(self._ahead_ms + loop.time() * 1000)


class SystemRng:
    """The operating system's randomness."""

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def random(self) -> float:
        # 53 bits: every value is exactly representable and below 1.
        return (int.from_bytes(os.urandom(7), "little") >> 3) / (1 << 53)
