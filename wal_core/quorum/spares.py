"""Who takes the place of a logstore that is away, where the next segment of a log begins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping

from wal_core.quorum.lane import Lane
from wal_core.quorum.members import Candidate, Ensemble, Logstores, Member, chosen

MISSED_S = 5.0
"""Who is away for longer gives its place to a spare."""

_logger = logging.getLogger(__name__)


def is_missed(lane: Lane) -> bool:
    """Whether its logstore takes nothing, and is not expected to soon."""
    since_s = lane.down_since_s
    if lane.is_lost or lane.refused_by:
        return True
    return since_s is not None and asyncio.get_running_loop().time() - since_s > MISSED_S


class Spares:
    """Of one log. `look` for some now and then, before a segment ends; `next_ensemble` where it
    does. In it are those who stand by."""

    def __init__(
        self,
        log_id: int,
        logstores: Logstores,
        lanes: Mapping[Member, Lane],
        begin: Callable[[str], Awaitable[Member]],
    ) -> None:
        """`begin` has a logstore join, and begins its lane."""
        self._log_id = log_id
        self._logstores = logstores
        self._lanes = lanes
        self._begin = begin
        self._by_place: dict[Member, Member] = {}  # who has joined, by whose place it may take

    def __iter__(self) -> Iterator[Member]:
        return iter(self._by_place.values())

    async def look(self, ensemble: Ensemble) -> None:
        """Have one for a logstore that is missed. Raises WalError."""
        absent = [m for m in ensemble if m in self._lanes and is_missed(self._lanes[m])]
        if not absent or any(self._replacing(ensemble, member) for member in absent):
            return
        member = absent[0]
        rows = list(self._logstores.candidates())
        racks = {row.store: row for row in rows}
        others = [racks.get(m.store, Candidate(m.store)) for m in ensemble]
        row = chosen(rows, others)
        if row is None and self._lanes[member].is_lost:
            # It lost its disk, and may come anew if nobody else can.
            row = chosen(rows, [other for other in others if other.store != member.store])
        if row is not None:
            self._by_place[member] = await self._begin(row.store)

    def is_ready(self, ensemble: Ensemble) -> bool:
        """Whether another ensemble would come next."""
        return self._exchange(ensemble) is not None

    def next_ensemble(self, ensemble: Ensemble) -> Ensemble:
        """The same, but for one that is away and whose place a spare can take."""
        exchange = self._exchange(ensemble)
        if exchange is None:
            return ensemble
        member, spare = exchange
        _logger.warning(
            "logstore %s takes the place of %s in log %d",
            spare.store,
            member.store,
            self._log_id,
        )
        return tuple(spare if other == member else other for other in ensemble)

    def _exchange(self, ensemble: Ensemble) -> tuple[Member, Member] | None:
        """The first that is away and whose place a spare can take, and that spare."""
        for member in ensemble:
            spare = self._replacing(ensemble, member)
            if spare is not None and not self._is_up(member):
                return member, spare
        return None

    def _replacing(self, ensemble: Ensemble, member: Member) -> Member | None:
        """Who can take the place of a member. Not who has another's already, whose spare it was,
        too: a log is kept by three."""
        spare = self._by_place.get(member)
        others = {other.store for other in ensemble if other != member}
        if spare is None or spare.store in others or not self._is_up(spare):
            return None
        return spare

    def _is_up(self, member: Member) -> bool:
        lane = self._lanes.get(member)
        return lane is not None and lane.is_up
