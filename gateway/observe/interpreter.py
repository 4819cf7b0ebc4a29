"""How the interpreter of a serving process is set: its garbage collector, its turns for threads.

What a server keeps lives long and holds few cycles: reference counts free nearly all. Left as it
is, the collector goes through everything kept again and again, with all clients waiting: 10 to
270 ms each time behind some hundred thousand batches.
"""

from __future__ import annotations

import gc

from wal_core import SHARING

THRESHOLDS = (4_000, 1, 5_000)
"""Of the three generations. A young collection follows once there are so many more objects that may
be in cycles, and looks at these; the one after it at both its own and those: 0.3 us each, so 3 ms
at most. A server that replaces what it keeps by as much makes hardly any. With a second number of
10 every eleventh looks at eleven times as many. The last: how rare those are that look at all."""


def settle() -> None:
    """Call once, when all that was loaded at the start is there: it is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    SHARING.take_over()
