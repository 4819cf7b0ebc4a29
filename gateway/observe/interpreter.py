"""How the interpreter of a serving process is set: its garbage collector, its turns for threads.

What a server keeps lives long and holds few cycles: reference counts free nearly all. Left as it
is, the collector goes through everything kept again and again, with all clients waiting: 10 to
270 ms each time behind some hundred thousand batches.
"""

from __future__ import annotations

import gc
import sys

THRESHOLDS = (25_000, 10, 100)
"""Of the three generations. A young collection follows once there are so many more objects that may
be in cycles, and looks at these: 0.1 us each, so 2 to 3 ms. A server that replaces what it keeps by
as much makes hardly any. The higher the others, the rarer those that look at older objects."""

SWITCH_INTERVAL_S = 0.0001
"""After so long a thread that runs gives way to one that waits. The loop waits for a turn after
each look at its sockets, and the thread that writes after each system call: with 5 ms, as it is by
default, a thread that decodes or checks something large made all others some 20 times slower. With
half a millisecond one who waits for a loop with a small request in each turn would never ask."""


def settle() -> None:
    """Call once, when all that was loaded at the start is there: it is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
