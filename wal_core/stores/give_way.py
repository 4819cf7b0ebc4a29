"""The loop gives way to a thread that cannot get at the interpreter.

A loop that is never idle lets go of the interpreter for moments only, around its looks at the
sockets. A thread that comes back from a system call and finds it taken may ask for it after the
switch interval, but each of these moments wakes it and begins its wait again; where the processors
are busy it wakes too late to use one. A write goes through four such waits: beside one client that
always had a request ready, it took ten times as long as the device.

So while work is under way in threads the loop looks every millisecond, and later where the device
needs longer for what is written: if nothing has come back since, and it has not waited for anything
itself, it steps aside for a moment. If the next look finds the same, turns are short (`sharing.py`)
until one does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from wal_core.config import MIB
from wal_core.stores.sharing import SHARING, Sharing

try:
    import resource
except ImportError:  # not on this system
    resource = None  # type: ignore[assignment]

LOOK_S = 0.001
BYTES_PER_S = 512 * MIB
"""Work that brings so many bytes is given so long in addition. Slower: a loop that steps aside for
nobody while a device writes; faster: what waits for the interpreter waits longer."""
LOOK_S_MAX = 0.01
MOMENT_S = 0.000_001
"""With what the system adds some 60 us: long enough to wake up, a sixteenth of the loop's time."""

_OF_THIS_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)


def waits_count() -> int:
    """How often this thread has waited for anything: sockets, a lock, the interpreter. Grows with
    each call where the system does not tell: then nobody seems to be kept waiting.
    """
    if _OF_THIS_THREAD is None:
        return time.monotonic_ns()
    return resource.getrusage(_OF_THIS_THREAD).ru_nvcsw


def _step_aside() -> None:
    time.sleep(MOMENT_S)


class GiveWay:
    """`begin` when work on so many bytes goes to a thread, `end` when it is back; on the loop."""

    def __init__(
        self,
        waits: Callable[[], int] = waits_count,
        step_aside: Callable[[], None] = _step_aside,
        sharing: Sharing = SHARING,
    ) -> None:
        self._waits = waits
        self._step_aside = step_aside
        self._sharing = sharing
        self._is_sharing = False
        self._stuck_count = 0  # looks, one after the other
        self._begun_count = 0
        self._ended_count = 0
        self._bytes_count = 0  # under way
        self._is_looking = False
        self._seen = (0, 0)  # how many had ended, how often the loop had waited

    def begin(self, bytes_count: int = 0) -> None:
        self._begun_count += 1
        self._bytes_count += bytes_count
        if not self._is_looking:
            self._is_looking = True
            self._look_later()

    def end(self, count: int = 1, bytes_count: int = 0) -> None:
        self._ended_count += count
        self._bytes_count -= bytes_count

    def _look_later(self) -> None:
        self._seen = (self._ended_count, self._waits())
        wait_s = min(LOOK_S + self._bytes_count / BYTES_PER_S, LOOK_S_MAX)
        asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        self._is_looking = self._begun_count > self._ended_count
        is_stuck = self._is_looking and self._seen == (self._ended_count, self._waits())
        self._stuck_count = self._stuck_count + 1 if is_stuck else 0
        self._share(self._stuck_count > 1)
        if is_stuck:
            self._step_aside()
        if self._is_looking:
            self._look_later()

    def _share(self, is_needed: bool) -> None:
        if is_needed != self._is_sharing:
            self._is_sharing = is_needed
            if is_needed:
                self._sharing.begin()
            else:
                self._sharing.end()
