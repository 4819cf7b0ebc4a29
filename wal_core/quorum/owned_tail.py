"""The tail of a log in the hands of whoever has claimed it: opening it, writing it, trimming it.

To claim is to be promised the log by two of three logstores. Their replies tell how far each
segment goes; what is decided from them is made a final, under our own term, before anything is
built on it. The rules bear the names they have in wal_core/testing/quorum_model/rules.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from wal_core.clock import Rng
from wal_core.config import LogConfig
from wal_core.errors import Fenced, Unavailable, WalError
from wal_core.format.block import NONCE_BYTES
from wal_core.format.logstore_records import Final
from wal_core.logstore.replica import Asker, Promised, Tail
from wal_core.quorum.lane import REPLY_S, Lane
from wal_core.quorum.members import (
    ACKS_COUNT,
    COVERAGE_COUNT,
    REPLICAS_COUNT,
    Candidate,
    Ensemble,
    Logstores,
    Member,
    chosen,
    encode_ensemble,
    parse_ensemble,
)
from wal_core.quorum.part import Part
from wal_core.quorum.pointers import Pointer, Pointers
from wal_core.quorum.seen_tail import Reader
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.types import Buffer

CLAIM_S = 10.0
"""How long two of three are waited for, at each step of a claim."""
_CLAIMS_MAX_COUNT = 20
_OUTBIDS_MAX_COUNT = 3
"""So often a claim that has two of three begins again for the third one's sake."""
_PAUSE_S = 0.1
_TEND_S = 1.0
_MISSED_S = 5.0
"""Who is away for longer gives its place to a spare, where the next segment begins."""

_logger = logging.getLogger(__name__)


class OwnedTail:
    """Of one log, from `claim` to `release`."""

    def __init__(self, log_id: int, logstores: Logstores, objects: ObjectStore, rng: Rng) -> None:
        self.log_id = log_id
        self.parts: dict[int, Part] = {}
        self.first = 0  # no earlier segment is here
        self.term = 0
        self.error: WalError | None = None
        self._logstores = logstores
        self._rng = rng
        self._nonce = rng.random_bytes(NONCE_BYTES)
        self._pointers = Pointers(objects, log_id, self._nonce)
        self._persist = Persistence(LogConfig.preset("quorum"), rng)
        self._pointer: Pointer | None = None  # the newest, as far as we know
        self._moving = asyncio.Lock()
        self._lanes: dict[Member, Lane] = {}
        self._ensemble: Ensemble = ()  # of the next segment that begins
        self._changed = asyncio.Event()
        self._claimed = False
        self._spares: dict[Member, Member] = {}  # who has joined, by whose place it may take
        self._tending: asyncio.Task[None] | None = None

    # -- claiming --------------------------------------------------------------------------

    async def claim(self, term_seen: int) -> None:
        """Take the log over under a term above that one and all that were promised, and find what
        is there. Raises Unavailable without two of three."""
        found = await self._persist(self._pointers.newest)
        if found is None or not found.ensemble:
            found = await self._first_pointer(term_seen, found)
        self._pointer = found
        self.first = self._pointer.segment
        self.term = max(self._pointer.term, term_seen) + 1
        for number in range(_CLAIMS_MAX_COUNT):
            try:
                await self._recover(self._pointer)
                if number < _OUTBIDS_MAX_COUNT:
                    self._check_refused()
                self._claimed = True
                self._tending = asyncio.get_running_loop().create_task(self._tend())
                return
            except Promised as error:
                await self._stop_lanes()
                self.parts.clear()
                self.term = max(self.term, error.term) + 1
            # Two who outbid each other must not do so in step.
            await asyncio.sleep(_PAUSE_S * (0.5 + self._rng.random()))
        raise Unavailable("others go on claiming the log", log_id=self.log_id)

    async def _first_pointer(self, term_seen: int, before: Pointer | None) -> Pointer:
        """Nobody has opened the log yet, or since its tail was given up: choose three, who join
        before anything names them."""
        members: list[Member] = []
        rows = list(self._logstores.candidates())
        picked: list[Candidate] = []
        while len(picked) < REPLICAS_COUNT:
            row = chosen(rows, picked)
            if row is None:
                raise Unavailable(
                    f"quorum mode needs {REPLICAS_COUNT} logstores, {len(rows)} are registered",
                    log_id=self.log_id,
                )
            picked.append(row)
        for row in picked:
            members.append(await self._joined(row.store, term_seen + 1))
        pointer = Pointer(number=0, term=0, segment=0, ensemble=tuple(members))
        if before is not None:
            pointer = msgspec.structs.replace(
                before, number=before.number + 1, ensemble=pointer.ensemble
            )
        try:
            await self._persist(lambda: self._pointers.commit(pointer))
        except Fenced:
            found = await self._persist(self._pointers.newest)
            if found is None:
                raise
            return found
        return pointer

    async def _joined(self, store: str, term: int) -> Member:
        replica = self._logstores.replica(store)
        if replica is None:
            raise Unavailable(f"logstore {store} is not registered", log_id=self.log_id)
        while True:
            try:
                async with asyncio.timeout(REPLY_S):
                    return Member(store, await replica.join(self.log_id, term, self._nonce))
            except TimeoutError:
                raise Unavailable(f"logstore {store} does not answer") from None
            except Promised as error:
                if self._claimed:
                    raise
                term = error.term + 1

    async def _recover(self, pointer: Pointer) -> None:
        """Segment by segment: what was ended is ended again, under our term; the first that was not
        is left to be ended by who has read it."""
        number, ensemble = pointer.segment, pointer.ensemble
        while True:
            await self._promised(ensemble)
            lanes = [lane for lane in self._lanes_of(ensemble) if lane.is_up]
            replies = [lane.tails.get(number, Tail(number, 0, None)) for lane in lanes]
            self._ensemble = ensemble
            end, seen = decide(replies)
            part = self._begin_part(number, end)
            if seen is None:
                return
            part.propose(seen._replace(term=self.term))
            self._poke(part)
            await self._until(partial(_is_chosen, part), ensemble)
            ensemble, _ = parse_ensemble(seen.footer)
            number += 1

    async def _promised(self, ensemble: Ensemble) -> None:
        for member in ensemble:
            self._begin_lane(member)
        lanes = self._lanes_of(ensemble)
        await self._until(lambda: sum(lane.is_up for lane in lanes) >= COVERAGE_COUNT, ensemble)

    async def _until(self, is_so: Callable[[], bool], ensemble: Ensemble) -> None:
        """Raises Promised once that cannot come true under our term, Unavailable if it does not."""
        lanes = self._lanes_of(ensemble)
        try:
            async with asyncio.timeout(CLAIM_S):
                while not is_so():
                    self._check_lanes(lanes)
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._check_lanes(lanes, late=True)
            told = "; ".join(f"{lane.member.store}: {lane.trouble or 'up'}" for lane in lanes)
            raise Unavailable(
                f"two of three logstores are needed ({told})", log_id=self.log_id
            ) from None

    def _check_lanes(self, lanes: list[Lane], *, late: bool = False) -> None:
        refused = [lane.refused_by for lane in lanes if lane.refused_by]
        settled = sum(lane.is_up or lane.is_lost or lane.refused_by > 0 for lane in lanes)
        if refused and (late or settled == len(lanes) or len(refused) >= COVERAGE_COUNT):
            raise Promised(
                "another opener was promised the log", log_id=self.log_id, term=max(refused)
            )
        lost = [lane.member.store for lane in lanes if lane.is_lost]
        if len(lost) >= COVERAGE_COUNT:
            raise Unavailable(
                f"logstores {', '.join(lost)} have lost the log: two of three are needed",
                log_id=self.log_id,
            )

    def _check_refused(self) -> None:
        """Who was promised the log by one alone has gone, or will outbid us: while we stay below
        its term, that logstore takes nothing from us. Raises Promised."""
        refused = max((lane.refused_by for lane in self._lanes_of(self._ensemble)), default=0)
        if refused:
            raise Promised("one logstore is promised", log_id=self.log_id, term=refused)

    async def own(self) -> None:
        """Tell our term where no lower one comes behind it: the last step of an opening. Raises
        Fenced if the tail begins elsewhere since: what seemed missing was trimmed. One of a lower
        term who has told the same place meanwhile, on the way to find out that we came, is in
        nobody's way."""
        while True:
            last = self._pointer
            assert last is not None
            try:
                return await self._move(last.segment, last.ensemble)
            except Fenced:
                newest = await self._pointers.newest()
                if newest is None or newest.number <= last.number:
                    raise
                if newest.term >= self.term or newest.segment != last.segment:
                    raise
                self._pointer = newest

    async def check(self) -> None:
        """Raises Fenced if another has claimed the log before the call, as two of three know."""
        if self.error is not None:
            raise self.error
        lanes = self._lanes_of(self._ensemble)
        agreed_count = sum(await asyncio.gather(*(lane.still_promised() for lane in lanes)))
        self.lane_changed()
        if self.error is not None:
            raise self.error
        if agreed_count < COVERAGE_COUNT:
            raise Unavailable("two of three logstores do not answer", log_id=self.log_id)

    async def release(self) -> None:
        """Nothing is asked of anybody any more."""
        self._fail(Unavailable("the log was released", log_id=self.log_id))
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        await self._stop_lanes()

    async def _stop_lanes(self) -> None:
        lanes, self._lanes = self._lanes, {}
        await asyncio.gather(*(lane.stop() for lane in lanes.values()))

    # -- writing ---------------------------------------------------------------------------

    async def append(self, segment: int, number: int, stored: bytes) -> None:
        """A block; confirmed on return. May be repeated."""
        part = self._part(segment)
        future = part.add(number, stored)
        self._poke(part)
        await asyncio.shield(future)

    async def end(self, segment: int, end: int, footer: Buffer) -> None:
        """A segment ends behind so many blocks, all of which are confirmed or were decided on; the
        final is chosen on return. May be repeated."""
        part = self._part(segment)
        if part.final is None:
            named = self._next_ensemble(part)
            stored = encode_ensemble(named) + bytes(footer)
            final = Final(self.log_id, segment, self.term, end, stored)
            self._ensemble = named
        else:
            final = part.final
        future = part.propose(final)
        self._poke(part)
        await asyncio.shield(future)

    def _part(self, segment: int) -> Part:
        if self.error is not None:
            raise self.error
        return self.parts.get(segment) or self._begin_part(segment, 0)

    def _begin_part(self, segment: int, count: int) -> Part:
        part = self.parts[segment] = Part(segment, self._ensemble, count)
        for lane in self._lanes_of(self._ensemble):
            if lane.is_up and segment in lane.tails:
                part.heard(lane.member, lane.tails[segment].end)
        return part

    # -- who takes whose place -------------------------------------------------------------

    async def _tend(self) -> None:
        """Have a spare for a logstore that is away before the segment ends."""
        while True:
            await asyncio.sleep(_TEND_S)
            for ensemble in self._needed():
                self._check_hope(self._lanes_of(ensemble))
            try:
                await self._look_for_spare()
            except WalError as error:
                _logger.warning("no logstore can take another's place yet: %s", error)

    async def _look_for_spare(self) -> None:
        lanes = self._lanes_of(self._ensemble)
        absent = [lane for lane in lanes if self._is_missed(lane)]
        if not absent or any(self._replacing(self._ensemble, lane.member) for lane in absent):
            return
        lane = absent[0]
        rows = list(self._logstores.candidates())
        racks = {row.store: row for row in rows}
        others = [racks.get(m.store, Candidate(m.store)) for m in self._ensemble]
        if lane.is_lost:  # it lost its disk and may come anew, if nobody else can
            rest = [row for row in others if row.store != lane.member.store]
            row = chosen(rows, others) or chosen(rows, rest)
        else:
            row = chosen(rows, others)
        if row is not None:
            spare = await self._joined(row.store, self.term)
            self._spares[lane.member] = spare
            self._begin_lane(spare)

    def _check_hope(self, lanes: list[Lane]) -> None:
        """One logstore refuses our term for good and another does not come back: two of three take
        nothing from us, but may from whoever claims the log above that term. So give it up."""
        refused = [lane for lane in lanes if lane.refused_by]
        gone = [lane for lane in lanes if self._is_missed(lane) and not lane.refused_by]
        if refused and gone and len(refused) + len(gone) >= COVERAGE_COUNT:
            text = (
                f"logstore {refused[0].member.store} is promised to term {refused[0].refused_by}"
                f" and {gone[0].member.store} is away: the log has to be claimed anew"
            )
            self._fail(Fenced(text, log_id=self.log_id))

    def _is_missed(self, lane: Lane) -> bool:
        since_s = lane.down_since_s
        if lane.is_lost or lane.refused_by:
            return True
        return since_s is not None and asyncio.get_running_loop().time() - since_s > _MISSED_S

    def _is_up(self, member: Member) -> bool:
        lane = self._lanes.get(member)
        return lane is not None and lane.is_up

    def _next_ensemble(self, part: Part) -> Ensemble:
        """The same, but for one that is away and whose place a spare can take."""
        for member in part.ensemble:
            spare = self._replacing(part.ensemble, member)
            if spare is not None and not self._is_up(member):
                _logger.warning(
                    "logstore %s takes the place of %s in log %d",
                    spare.store,
                    member.store,
                    self.log_id,
                )
                return tuple(spare if other == member else other for other in part.ensemble)
        return part.ensemble

    def _replacing(self, ensemble: Ensemble, member: Member) -> Member | None:
        """Who can take the place of a member. Not who has another's already, whose spare it was,
        too: a log is kept by three."""
        spare = self._spares.get(member)
        others = {other.store for other in ensemble if other != member}
        if spare is None or spare.store in others or not self._is_up(spare):
            return None
        return spare

    def _begin_lane(self, member: Member) -> None:
        if member not in self._lanes:
            asker = Asker(self.log_id, member.birth, self.term, self._nonce)
            self._lanes[member] = Lane(self, self._logstores, member, asker)
            self._lanes[member].start()

    # -- trimming --------------------------------------------------------------------------

    async def trim(self, before: int) -> None:
        """The bucket has all segments before that one: logstores need not keep them."""
        if before <= self.first:
            return
        part = self.parts.get(before)
        await self._move(before, part.ensemble if part is not None else self._ensemble)
        for number in [number for number in self.parts if number < before]:
            del self.parts[number]
        self.first = before
        lanes = [lane for lane in self._lanes.values() if lane.is_up]
        await asyncio.gather(*(lane.forget(before) for lane in lanes))
        used = {*self._ensemble, *self._spares.values()}
        for part in self.parts.values():
            used.update(part.ensemble)
        left = [self._lanes.pop(member) for member in self._lanes.keys() - used]
        await asyncio.gather(*(lane.stop() for lane in left))

    async def _move(self, segment: int, ensemble: Ensemble) -> None:
        async with self._moving:
            last = self._pointer
            assert last is not None
            moved = Pointer(
                number=last.number + 1, term=self.term, segment=segment, ensemble=ensemble
            )
            await self._pointers.commit(moved)
            self._pointer = moved

    # -- lanes -----------------------------------------------------------------------------

    def _lanes_of(self, ensemble: Ensemble) -> list[Lane]:
        return [self._lanes[member] for member in ensemble if member in self._lanes]

    def _poke(self, part: Part) -> None:
        for lane in self._lanes_of(part.ensemble):
            lane.poke(part)

    def peers(self, part: Part, but: Member, number: int) -> list[Lane]:
        """Who has a block of a segment."""
        return [
            lane
            for lane in self._lanes_of(part.ensemble)
            if lane.is_up and lane.member != but and part.ends.get(lane.member, 0) > number
        ]

    def readers(self, part: Part, number: int) -> list[Reader]:
        """As `peers`, all of them, for somebody else. One that is full, and so takes nothing, tells
        what it has all the same: those that seem to be away come last."""
        lanes = [
            lane for lane in self._lanes_of(part.ensemble) if part.ends.get(lane.member, 0) > number
        ]
        return [
            Reader(lane.member.store, lane.replica, lane.asker, recovering=True)
            for lane in sorted(lanes, key=lambda lane: not lane.is_up)
            if lane.replica is not None
        ]

    def confirmed(self, part: Part) -> None:
        """More of a segment is: whoever reads it elsewhere sees what its logstores were told."""
        for lane in self._lanes_of(part.ensemble):
            lane.confirm(part)

    def lane_changed(self) -> None:
        """A lane has come up, or went down. Refused by two of three is fenced."""
        self._changed.set()
        if not self._claimed:
            return
        for ensemble in self._needed():
            refused = [lane.refused_by for lane in self._lanes_of(ensemble) if lane.refused_by]
            if len(refused) >= COVERAGE_COUNT:
                text = f"the log is promised to term {max(refused)}"
                self._fail(Fenced(text, log_id=self.log_id))

    def _needed(self) -> Iterable[Ensemble]:
        """Of all segments that are not over."""
        parts = self.parts.values()
        needed = (part.ensemble for part in parts if not part.is_chosen)
        return dict.fromkeys((self._ensemble, *needed))

    def _fail(self, error: WalError) -> None:
        if self.error is None:
            self.error = error
            for part in self.parts.values():
                part.fail(error)


def _is_chosen(part: Part) -> bool:
    return part.is_chosen


def decide(replies: list[Tail]) -> tuple[int, Final | None]:
    """How many blocks a segment has, and the final that was seen, if there is one.

    Without one the end is the second lowest of the ends, however many replies there are: who lacks
    the segment counts, with none; who did not reply may have more than all."""
    finals = [reply.final for reply in replies if reply.final is not None]
    if finals:
        seen = max(finals, key=lambda final: final.term)
        return seen.end, seen
    ends = sorted(reply.end for reply in replies)
    return ends[min(REPLICAS_COUNT - ACKS_COUNT, len(ends) - 1)], None
