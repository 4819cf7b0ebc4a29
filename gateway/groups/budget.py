"""Memory that all groups share, and how nobody uses up what others need.

Everything that a client leaves behind costs bytes of a budget: in all, and of the client's share,
which goes by its address. A claim may take an eighth of what is left of either: large claims are
refused long before small ones, so that a few members with megabytes leave room for thousands of
ordinary ones. What does not grow is never refused.
"""

from __future__ import annotations

SHARE_OF_ONE_OWNER = 0.5
CLAIM_OF_WHAT_IS_LEFT = 1 / 8


class StateBudget:
    """`owner` is whoever can be told apart: a client's address, "" for what a restart found."""

    __slots__ = ("_used_by", "bytes_max", "used_bytes")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.used_bytes = 0
        self._used_by: dict[str, int] = {}

    def allows(self, owner: str, more_bytes: int) -> bool:
        """Whether `owner` may hold so much more. Only asks: `take` counts."""
        left = self.bytes_max - self.used_bytes
        left_of_share = self.bytes_max * SHARE_OF_ONE_OWNER - self._used_by.get(owner, 0)
        return more_bytes <= 0 or more_bytes <= min(left, left_of_share) * CLAIM_OF_WHAT_IS_LEFT

    def take(self, owner: str, more_bytes: int) -> None:
        """Count it, whatever the limits say; negative for what is given back."""
        self.used_bytes += more_bytes
        used = self._used_by.get(owner, 0) + more_bytes
        assert used >= 0, (owner, used)
        if used:
            self._used_by[owner] = used
        else:
            self._used_by.pop(owner, None)
