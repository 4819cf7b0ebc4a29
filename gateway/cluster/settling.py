"""Whether what a node sees of its cluster has lasted for long enough to act upon."""

from __future__ import annotations

import math

SETTLING_LEASES_MAX = 3  # while nodes keep coming and going


class Settling:
    """Whether a view has lasted for long enough."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._until_s = self._until_s_max = math.inf

    def begin(self, now_s: float) -> None:
        self._until_s = now_s + self._settle_s
        self._until_s_max = now_s + SETTLING_LEASES_MAX * self._settle_s

    def disturb(self, now_s: float) -> None:
        """Nodes came or went: of use only while it settles."""
        if not self.is_over(now_s):
            self._until_s = min(now_s + self._settle_s, self._until_s_max)

    def is_over(self, now_s: float) -> bool:
        return now_s >= self._until_s
