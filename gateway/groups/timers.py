"""A timer that is renewed far more often than it fires.

Each heartbeat moves a deadline. Cancelling and creating a loop handle every time would fill the
loop's heap with dead handles, so the handle stays where it is: when it fires before the deadline it
goes to sleep again for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class RenewableTimer:
    """Calls `on_expiry` once, when `delay_ms` have passed since the last `renew`."""

    __slots__ = ("_armed_for", "_deadline", "_handle", "_loop", "_on_expiry")

    def __init__(self, on_expiry: Callable[[], None]) -> None:
        self._on_expiry = on_expiry
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.Handle | None = None
        # Loop seconds. Kept here rather than read from the handle or the loop's clock: uvloop
        # rounds both to milliseconds, and what is compared with a rounded time may spin.
        self._armed_for = 0.0
        self._deadline = 0.0

    def renew(self, delay_ms: int) -> None:
        """Move the deadline to `delay_ms` from now, whatever it was."""
        loop = self._loop
        if loop is None:
            # The object may be made before a loop runs (replay); the first renewal happens on one.
            loop = self._loop = asyncio.get_running_loop()
        self._deadline = loop.time() + delay_ms / 1_000
        handle = self._handle
        if handle is not None:
            if self._armed_for <= self._deadline:
                return
            handle.cancel()
        self._arm(loop)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._armed_for = self._deadline
        self._handle = loop.call_at(self._deadline, self._fire)

    def _fire(self) -> None:
        assert self._loop is not None
        self._handle = None
        if self._armed_for < self._deadline:
            self._arm(self._loop)
        else:
            self._on_expiry()
