"""The tail of a log that another process writes: looked at, never claimed.

Two of the three of each segment must tell what they have. What counts for whoever looks: blocks
that are confirmed, as their writer says, and all blocks before an end that is chosen. It is chosen
where two tell the same final of the same term, or where one tells it and a later segment has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wal_core.errors import Unavailable, WalError
from wal_core.format.block import NONCE_BYTES
from wal_core.format.logstore_records import Final
from wal_core.logstore.replica import Asker, Replica, Tail
from wal_core.quorum.lane import REPLY_S
from wal_core.quorum.members import (
    ACKS_COUNT,
    COVERAGE_COUNT,
    Ensemble,
    Logstores,
    Member,
    parse_ensemble,
)
from wal_core.quorum.pointers import Pointer, Pointers
from wal_core.stores.objects.base import ObjectStore
from wal_core.types import Buffer

_THIRD_S = 0.05
"""For so long the third is waited for once two have told."""
_LOOKS_MAX_COUNT = 20
"""So often the beginning may move on under one look."""

_Told = Mapping[int, Tail]
"""By segment."""


class Reader(NamedTuple):
    """Who has a block, and as whom it is asked."""

    store: str
    replica: Replica
    asker: Asker
    recovering: bool = False


class SeenPart:
    """A segment, as of one look."""

    blocks: Mapping[int, bytes] = {}
    """None is kept."""

    def __init__(self, number: int, told: Mapping[Member, _Told]) -> None:
        self.number = number
        self.ends = {member: rows[number].end for member, rows in told.items() if number in rows}
        finals = [
            tail.final
            for rows in told.values()
            if (tail := rows.get(number)) is not None and tail.final is not None
        ]
        # What two were told under two terms is not chosen: the third may have been told another end
        # between the two, and that one counts for an opener who does not meet the second.
        agreed = [final for final in finals if finals.count(final) >= ACKS_COUNT]
        self.final: Final | None = max(agreed or finals, key=_term, default=None)
        has_next = any(later > number for rows in told.values() for later in rows)
        self.is_chosen = bool(agreed) or (self.final is not None and has_next)

    @property
    def readable_count(self) -> int:
        if self.is_chosen:
            assert self.final is not None
            return self.final.end
        return max(self.ends.values(), default=0)

    @property
    def footer(self) -> Buffer:
        """The footer block."""
        assert self.final is not None
        return parse_ensemble(self.final.footer)[1]


def _term(final: Final) -> int:
    return final.term


class SeenTail:
    """Of one log; `look` as often as one wants to know more."""

    def __init__(self, log_id: int, logstores: Logstores, objects: ObjectStore) -> None:
        self.log_id = log_id
        self.parts: dict[int, SeenPart] = {}
        self._logstores = logstores
        self._pointers = Pointers(objects, log_id, bytes(NONCE_BYTES))

    async def look(self) -> None:
        """All that was confirmed, as logstores knew when it was called. Raises Unavailable where
        fewer than two of three tell."""
        pointer = await self._pointers.newest()
        for _ in range(_LOOKS_MAX_COUNT):
            if pointer is None or not pointer.ensemble:
                # Nobody has opened it yet, or since its tail was given up.
                self.parts = {}
                return
            parts = await self._parts_from(pointer)
            if pointer.segment in parts:
                self.parts = parts
                return
            # Nothing is there yet, or it has been uploaded since.
            before, pointer = pointer, await self._pointers.newest()
            if pointer is not None and pointer.segment == before.segment:
                self.parts = parts
                return
        raise Unavailable("the tail moves faster than it can be looked at", log_id=self.log_id)

    async def _parts_from(self, pointer: Pointer) -> dict[int, SeenPart]:
        told: dict[Member, _Told] = {}
        parts: dict[int, SeenPart] = {}
        number, ensemble = pointer.segment, pointer.ensemble
        while True:
            await self._ask(ensemble, told)
            part = SeenPart(number, {m: told[m] for m in ensemble if m in told})
            if not part.ends:
                return parts
            parts[number] = part
            if not part.is_chosen:
                return parts
            assert part.final is not None
            ensemble, _ = parse_ensemble(part.final.footer)
            number += 1

    async def _ask(self, ensemble: Ensemble, told: dict[Member, _Told]) -> None:
        """Those who have not been asked."""
        loop = asyncio.get_running_loop()
        tasks = {loop.create_task(self._tails(m)): m for m in ensemble if m not in told}
        waiting, troubles = set(tasks), []
        try:
            while waiting and sum(member in told for member in ensemble) < COVERAGE_COUNT:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        told[tasks[task]] = task.result()
                    except (WalError, TimeoutError) as error:
                        troubles.append(f"{tasks[task].store}: {error or 'no answer'}")
            if waiting:
                done, waiting = await asyncio.wait(waiting, timeout=_THIRD_S)
                for task in done:
                    if task.exception() is None:
                        told[tasks[task]] = task.result()
        finally:
            for task in waiting:
                task.cancel()
        if sum(member in told for member in ensemble) < COVERAGE_COUNT:
            raise Unavailable(
                f"two of three logstores must tell where the log ends ({'; '.join(troubles)})",
                log_id=self.log_id,
            )

    async def _tails(self, member: Member) -> _Told:
        replica = self._logstores.replica(member.store)
        if replica is None:
            raise Unavailable("it is not registered")
        async with asyncio.timeout(REPLY_S):
            tails = await replica.look(self._asker(member))
        return {tail.segment: tail for tail in tails}

    def _asker(self, member: Member) -> Asker:
        return Asker(self.log_id, member.birth, 0, bytes(NONCE_BYTES))

    def readers(self, part: SeenPart, number: int) -> Sequence[Reader]:
        """Who may have a block of a segment, those who said so first."""
        found = []
        for member in sorted(part.ends, key=lambda m: part.ends[m] <= number):
            replica = self._logstores.replica(member.store)
            if replica is not None:
                found.append(Reader(member.store, replica, self._asker(member)))
        return found
