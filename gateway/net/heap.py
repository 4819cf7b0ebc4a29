"""Memory that is free in this process, back to the system.

glibc keeps what lies below the last thing in use; what a crowd of connections leaves behind would
stay for ever, however little of it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """None where the C library has no such thing."""
    import ctypes  # noqa: PLC0415 - an idle broker never needs it

    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


def give_back() -> None:
    """Not for every day: it looks through all that is free."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)
