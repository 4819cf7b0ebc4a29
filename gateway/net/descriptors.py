"""File descriptors: as many as the system allows, and of these enough kept for storage.

A process that has none left cannot open its next segment: everybody's writes stop because of some
idle sockets. So connections are refused before that, where the limit cannot be raised.
"""

from __future__ import annotations

import logging
import math
import resource

from gateway.observe.logger import log_event

logger = logging.getLogger(__name__)

# Segments, objects and requests to a bucket under way (64 writes by default, reads, a compaction),
# the lock, the listener, the loop's own.
RESERVED_MAX_COUNT = 256
RESERVED_SHARE = 4  # at most one in so many of a small limit


def raise_limit() -> float:
    """Take all that the system lets this process have; returns the limit that now holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # macOS names a hard limit that it does not grant
    return math.inf if soft == resource.RLIM_INFINITY else soft


def connections_allowed(limit: float) -> float:
    """How many connections leave enough descriptors for storage."""
    return limit - min(RESERVED_MAX_COUNT, limit // RESERVED_SHARE)


def limit_needed(connections_count: int) -> int:
    """The least limit under which there may be so many connections."""
    by_share = (connections_count - 1) * RESERVED_SHARE // (RESERVED_SHARE - 1) + 1
    return min(by_share, connections_count + RESERVED_MAX_COUNT)


def connections_max_count(wanted_count: int) -> int:
    """Raise the limit; how many of the wanted connections it allows, told if that is fewer."""
    limit = raise_limit()
    allowed = connections_allowed(limit)
    if allowed >= wanted_count:
        return wanted_count
    log_event(
        logger,
        logging.WARNING,
        "few file descriptors",
        limit=int(limit),
        connections_max_count=int(allowed),
        wanted_count=wanted_count,
        remedy=f"`ulimit -Hn {limit_needed(wanted_count)}` or LimitNOFILE, "
        f"or --connections-max-count {int(allowed)}",
    )
    return int(allowed)
