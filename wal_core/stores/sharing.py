"""How soon a thread that has the interpreter gives it to one that waits.

With 5 ms, Python's own, a thread that decodes or checks something large, or a loop that is never
idle, makes all others some 20 times slower: the loop waits for a turn after each look at its
sockets, the thread that writes after each system call. With a tenth of a millisecond those two,
who let go by themselves long before 5 ms, take it from each other in the middle of their work: 18
waits and wakes for each megabyte instead of 2, and a fifth of the throughput of large batches. So
turns are short only while somebody computes beside the loop, or is kept waiting.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

LONG_S = 0.005
SHORT_S = 0.000_1
"""With half a millisecond one who waits for a loop with a small request in each turn would never
ask."""


class Sharing:
    """Of the interpreter. `begin` and `end` on the loop, as often as each other; they change
    nothing until `take_over`: what embeds us has its own idea of turns."""

    def __init__(self, set_interval_s: Callable[[float], None] = sys.setswitchinterval) -> None:
        self._set_interval_s = set_interval_s
        self._is_ours = False
        self._count = 0

    def take_over(self) -> None:
        """From now on this process goes by what is said here."""
        self._is_ours = True
        self._set_interval_s(SHORT_S if self._count else LONG_S)

    def begin(self) -> None:
        """Somebody needs the interpreter often."""
        self._count += 1
        if self._is_ours and self._count == 1:
            self._set_interval_s(SHORT_S)

    def end(self) -> None:
        """He does not any more."""
        self._count -= 1
        assert self._count >= 0
        if self._is_ours and not self._count:
            self._set_interval_s(LONG_S)


SHARING = Sharing()
"""That of this process."""
