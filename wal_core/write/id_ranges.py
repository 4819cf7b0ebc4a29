"""A set of numbers that mostly lie side by side, such as the ids of streams that were dropped."""

from __future__ import annotations

from bisect import bisect_right


class IdRanges:
    """Costs what it has gaps: ids are given out in order, so those are what is still alive."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # exclusive

    def __len__(self) -> int:
        """Of the ranges."""
        return len(self._starts)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    def add(self, number: int) -> None:
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, number)
        if at and number < ends[at - 1]:
            return
        joins_before = at > 0 and ends[at - 1] == number
        joins_behind = at < len(starts) and starts[at] == number + 1
        if joins_before and joins_behind:
            ends[at - 1] = ends.pop(at)
            del starts[at]
        elif joins_before:
            ends[at - 1] = number + 1
        elif joins_behind:
            starts[at] = number
        else:
            starts.insert(at, number)
            ends.insert(at, number + 1)
