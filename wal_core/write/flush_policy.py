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


class TokenBucket:
    """At most `rate_per_s` writes a second on average, `burst_count` at once.

    Times are the loop's, in seconds, and are handed in.
    """

    __slots__ = ("_at_s", "_burst_count", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst_count: int, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst_count = float(burst_count)
        self._tokens = float(burst_count)
        self._at_s = now_s

    def take(self, now_s: float) -> float:
        """Take a token and return 0, or return the seconds until there is one (none taken)."""
        self._tokens = min(
            self._burst_count, self._tokens + (now_s - self._at_s) * self._rate_per_s
        )
        self._at_s = now_s
        if self._tokens >= 1 - 1e-9:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate_per_s
