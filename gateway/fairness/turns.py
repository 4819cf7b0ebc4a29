"""Whose turn it is among the partitions that one client reads."""

from __future__ import annotations

TURNS_MAX_COUNT = 1_024  # remembered for one client: about 150 KB
_STREAM_ID_END = 1 << 64


class Turns:
    """When each partition was last served, so that the one that has waited longest goes first.

    A reply is often smaller than what is ready. Clients name partitions in an order of their own,
    which may stay, turn or change, and leave some out now and then: only who was served when says
    who would starve. Bounded whatever is asked for: the partition served longest ago is forgotten
    first, and those forgotten, like those never served, go first, one after another by number.
    """

    __slots__ = ("_count", "_count_max", "_forgotten_at", "_last")

    def __init__(self, count_max: int = TURNS_MAX_COUNT) -> None:
        self._count_max = count_max
        self._count = 0
        # Stream id -> number of its last serving, in the order of these numbers.
        self._last: dict[int, int] = {}
        self._forgotten_at = -1  # of those not in `_last`, the one that was served last

    def __len__(self) -> int:
        return len(self._last)

    def rank(self, stream_id: int) -> int:
        """Who has the least goes first."""
        last = self._last.get(stream_id)
        if last is not None:
            return 2 * _STREAM_ID_END + last
        return stream_id if stream_id > self._forgotten_at else stream_id + _STREAM_ID_END

    def served(self, stream_id: int) -> None:
        """It got something: all others go before it now."""
        self._count += 1
        if self._last.pop(stream_id, None) is None:
            self._forgotten_at = stream_id
            if len(self._last) >= self._count_max:
                del self._last[next(iter(self._last))]
        self._last[stream_id] = self._count
