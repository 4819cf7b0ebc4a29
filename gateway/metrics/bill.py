"""What the requests to a bucket will cost, if they go on as they did lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

MONTH_S = 30 * 86_400.0
WINDOW_S = 3_600.0
SAMPLE_S = 60.0
SHORTEST_S = 60.0
"""Less says nothing about a month: a process that has just started counts as one of this age."""

Counts = Mapping[str, int]


class Bill:
    """`note` every now and then. Times are the loop's, in seconds, and are handed in."""

    def __init__(self, prices_per_million: Mapping[str, float]) -> None:
        self._prices = prices_per_million
        self._samples: deque[tuple[float, Counts]] = deque()

    def note(self, now_s: float, counts: Counts) -> None:
        """So many requests of each kind since the process began."""
        samples = self._samples
        if samples and now_s - samples[-1][0] < SAMPLE_S:
            return
        samples.append((now_s, dict(counts)))
        while len(samples) > 1 and now_s - samples[1][0] >= WINDOW_S:
            samples.popleft()

    def per_month(self, now_s: float, counts: Counts) -> dict[str, float]:
        """By kind."""
        first_s, first = self._samples[0] if self._samples else (now_s, counts)
        span_s = max(now_s - first_s, SHORTEST_S)
        return {
            kind: (counts[kind] - first[kind]) / span_s * MONTH_S * price / 1_000_000
            for kind, price in self._prices.items()
        }
