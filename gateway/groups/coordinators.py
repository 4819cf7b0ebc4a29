"""The coordinators of a node: one for each data log that it owns, for the groups whose records lie
there. What they may use together they share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from gateway.groups.budget import StateBudget
from gateway.groups.config import GroupConfig
from gateway.groups.coordinator import GroupCoordinator, java_hash
from gateway.groups.journal import GroupJournal
from wal_core import Clock, Rng, Unavailable


class GroupCoordinators:
    """`add` one a log, `start`, ask `of` for a group's, in the end `close`. `log_of` says on which
    log the groups of a hash lie."""

    def __init__(
        self, config: GroupConfig, log_of: Callable[[int], int | None], *, clock: Clock, rng: Rng
    ) -> None:
        self._config = config
        self._log_of = log_of
        self._clock = clock
        self._rng = rng
        self.budget = StateBudget(config.state_bytes_max)
        self.offsets_budget = StateBudget(config.offsets_bytes_max)
        self._by_log: dict[int, GroupCoordinator] = {}
        self._elsewhere = self._new(_Nowhere())
        self._elsewhere.refuse()

    def add(self, log_id: int, journal: GroupJournal) -> GroupCoordinator:
        """The coordinator of a log; whoever opens the log replays into it, and then starts it."""
        coordinator = self._by_log[log_id] = self._new(journal)
        coordinator.load()
        return coordinator

    def _new(self, journal: GroupJournal) -> GroupCoordinator:
        return GroupCoordinator(
            journal,
            self._config,
            clock=self._clock,
            rng=self._rng,
            budget=self.budget,
            offsets_budget=self.offsets_budget,
        )

    def __iter__(self) -> Iterator[GroupCoordinator]:
        return iter(self._by_log.values())

    def of(self, group_id: str) -> GroupCoordinator:
        """Where the group lies; one that refuses everything if that is not here, and any before the
        first of them has written anything."""
        log_id = self._log_of(group_hash(group_id))
        if log_id is not None:
            return self._by_log.get(log_id, self._elsewhere)
        at_work = (each for each in self._by_log.values() if not each.is_closed)
        return next(at_work, self._elsewhere)

    def is_served(self, group_id: str) -> bool:
        """Whether the group's coordinator is here and at work."""
        return not self.of(group_id).is_closed

    def start(self) -> None:
        for coordinator in self:
            coordinator.start()

    async def close(self) -> None:
        """See GroupCoordinator."""
        for coordinator in self:
            await coordinator.close()

    def topics(self) -> list[str]:
        """The topics with committed offsets."""
        return list(dict.fromkeys(topic for each in self for topic in each.topics()))

    def topics_deleted(self, topics: Iterable[str]) -> asyncio.Future[None]:
        """See `GroupOffsets`; it goes on whether or not somebody waits for it."""
        gone = list(topics)
        return asyncio.ensure_future(_all([each.topics_deleted(gone) for each in self]))

    def topic_gone(self, topic: str, topic_id: bytes) -> None:
        """See `GroupOffsets`."""
        for each in self:
            each.topic_gone(topic, topic_id)


class _Nowhere:
    """The journal of groups that are not here."""

    async def append(self, group_id: str, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        raise Unavailable("the groups are elsewhere")


async def _all(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        await asyncio.shield(future)


def group_hash(group_id: str) -> int:
    """What the partition of ``__consumer_offsets`` that holds the group follows from, as Kafka
    computes it."""
    return java_hash(group_id) & 0x7FFFFFFF
