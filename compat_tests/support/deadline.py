"""Waiting for observable state, with a deadline.

The only place in this folder that reads a clock or pauses. A deadline bounds how long a test may
wait before it fails; no test asserts how long something took, except where an upper bound is the
promise itself (and then the bound is many times the expected value).
"""

import random  # noqa: TID251 - only ever seeded
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_INTERVAL_S = 0.02


def now_s() -> float:
    """Monotonic seconds, for deadlines and for printing durations."""
    return time.monotonic()  # noqa: TID251 - a black box has no loop to ask


def wall_ms() -> int:
    """The wall clock in milliseconds, for record timestamps that must look recent."""
    return int(time.time() * 1000)  # noqa: TID251 - clients stamp records with it as well


def seeded(seed: int) -> random.Random:
    """A repeatable source of bytes and choices."""
    return random.Random(seed)


def pause(duration_s: float) -> None:
    """Lets a load run for a while; never used to wait for a condition."""
    time.sleep(duration_s)


class Deadline:
    """Counts down from `timeout_s`; `left_s` never goes below zero."""

    def __init__(self, timeout_s: float) -> None:
        self._end_s = now_s() + timeout_s

    @property
    def left_s(self) -> float:
        return max(0.0, self._end_s - now_s())

    @property
    def expired(self) -> bool:
        return self.left_s == 0.0


def wait_until(probe: Callable[[], T], *, timeout_s: float = 20.0, what: str = "condition") -> T:
    """Polls `probe` until it returns something true, which is returned."""
    deadline = Deadline(timeout_s)
    while True:
        if value := probe():
            return value
        if deadline.expired:
            raise AssertionError(f"{what}: not reached in {timeout_s} s; last seen {value!r}")
        time.sleep(POLL_INTERVAL_S)
