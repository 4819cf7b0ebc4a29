"""Where one who reads alone in a group may go on: never before what was committed, nor past what
it has not read, and nowhere but at its next record without a rebalance. And what a group has
committed, which never goes back."""

from collections.abc import Mapping

from compat_tests.chaos.load import Place


class Positions:
    """Of one consumer with a group of its own, over everything that its client does: `read` for
    each record, `committed` for each commit that was confirmed."""

    def __init__(self, who: str) -> None:
        self.commits: dict[Place, int] = {}
        """The newest that was confirmed."""
        self._who = who
        self._next: dict[Place, int] = {}
        self._floor: dict[Place, int] = {}
        self._rebalances_count = self._before_count = 0
        self._here: dict[Place, tuple[int, int]] = {}
        """Where it has just been, and how many rebalances had been seen before that."""

    def polled(self, rebalances_count: int) -> None:
        """A poll has ended, and so many rebalances there were by now; say it before what was
        read. One may have come amid the poll, or after it."""
        self._before_count, self._rebalances_count = self._rebalances_count, rebalances_count

    def read(self, place: Place, offset: int) -> None:
        """Raises AssertionError. After a rebalance it goes on at what was committed, which may be
        something that it has read already, or whose commit nobody has confirmed. Commits that
        were confirmed since the record before may have come after that rebalance."""
        at, committed = self._next.get(place, 0), self._floor.get(place, 0)
        assert offset >= committed, (
            f"{self._who} has committed {committed} of {place}, and reads {offset} again"
        )
        assert offset <= at, f"{self._who} has read {place} up to {at}, and goes on at {offset}"
        here, seen_count = self._here.get(place, (0, 0))
        assert offset == here or self._rebalances_count > seen_count, (
            f"{self._who} is at {here} of {place}, and goes to {offset} without a rebalance"
        )
        self._here[place] = offset + 1, self._before_count
        self._next[place] = max(at, offset + 1)
        self._floor[place] = min(self.commits.get(place, 0), offset + 1)

    def committed(self, places: Mapping[Place, int]) -> None:
        self.commits.update(places)


class Committed:
    """What a group was seen to have committed, look after look."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._seen: dict[Place, int] = {}

    def see(self, found: Mapping[Place, int | None]) -> None:
        """Raises AssertionError. None: nothing is committed."""
        for place, offset in found.items():
            before = self._seen.get(place)
            if before is not None:
                assert offset is not None and offset >= before, (
                    f"{self._group} had committed {before} of {place}, and has {offset} now"
                )
            if offset is not None:
                self._seen[place] = offset
