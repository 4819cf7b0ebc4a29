"""A connection whose client has used more than its quota is not read for a time (KIP-219).

What it has sent already waits, too. Its replies leave as ever: they say how long that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.net.intake import Intake


class Mute:
    """`begin` as often as it must be, `end` when it does not matter any more."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_on(self) -> bool:
        return self._timer is not None

    def begin(self, duration_s: float, go_on: Callable[[], None]) -> None:
        """From now on, for so long at least; then what waits goes on."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + duration_s
        if self._timer is not None:
            if self._timer.when() >= until_s:
                return
            self._timer.cancel()
        self._timer = loop.call_at(until_s, self._over, go_on)
        self._intake.mute()

    def end(self) -> None:
        """Who calls this lets what waits go on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._intake.unmute()

    def _over(self, go_on: Callable[[], None]) -> None:
        self.end()
        go_on()
        self._intake.resume_if_room()
