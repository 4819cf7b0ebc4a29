"""When to start a flush. Pure functions of what is waiting and what is in flight; no clock.

The rule: a log with nothing in flight flushes at once, so a lone writer never waits for company.
While flushes are in flight, whatever arrives gathers into the next block, which starts when it is
worth a write of its own or old enough. A linger that always waits is never needed.
"""

from __future__ import annotations

from wal_core.config import LogConfig

AGE_ROUNDING_MS = 0.001
"""A timer set for the right moment may see an age this much too small, by float rounding."""


def should_flush(bytes_waiting: int, age_ms: float, in_flight: int, config: LogConfig) -> bool:
    """Whether the waiting bytes, the oldest `age_ms` old, should become a flush now."""
    if in_flight == 0:
        return True
    if in_flight >= config.flushes_in_flight_max_count:
        return False
    enough_bytes = min(config.gather_bytes, config.block_bytes_max)
    return bytes_waiting >= enough_bytes or age_ms >= config.gather_ms - AGE_ROUNDING_MS
