"""Whose turn it is among the partitions that one client reads."""

from __future__ import annotations

TURNS_MAX_COUNT = 1_024  # remembered for one client: about 150 KB
_END = 1 << 80  # of the numbers


class Turns:
    """When each partition was last served, so that the one that has waited longest goes first.

    A reply is often smaller than what is ready. Clients name partitions in an order of their own,
    which may stay, turn or change, and leave some out now and then: only who was served when says
    who would starve. Bounded whatever is asked for: the partition served longest ago is forgotten
    first, and those forgotten, like those never served, go first, one after another by number.
    A partition's number is its own among all logs (`Partition.number`).
    """

    __slots__ = ("_count", "_count_max", "_forgotten_at", "_last")

    def __init__(self, count_max: int = TURNS_MAX_COUNT) -> None:
        self._count_max = count_max
        self._count = 0
        # By number: at which serving it had its last turn, in the order of these.
        self._last: dict[int, int] = {}
        self._forgotten_at = -1  # of those not in `_last`, the one that was served last

    def __len__(self) -> int:
        return len(self._last)

    def rank(self, number: int) -> int:
        """Who has the least goes first."""
        last = self._last.get(number)
        if last is not None:
            return 2 * _END + last
        return number if number > self._forgotten_at else number + _END

    def served(self, number: int) -> None:
        """It got something: all others go before it now."""
        self._count += 1
        if self._last.pop(number, None) is None:
            self._forgotten_at = number
            if len(self._last) >= self._count_max:
                del self._last[next(iter(self._last))]
        self._last[number] = self._count
