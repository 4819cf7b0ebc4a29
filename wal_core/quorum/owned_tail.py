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
from wal_core.errors import Fenced, Resigned, Unavailable, WalError
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
from wal_core.quorum.spares import Spares, is_missed
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import Told
from wal_core.types import Buffer

CLAIM_S = 10.0
"""How long two of three are waited for, at each step of a claim."""
_CLAIMS_MAX_COUNT = 20
_OUTBIDS_MAX_COUNT = 3
"""So often a claim that has two of three begins again for the third one's sake."""
_PAUSE_S = 0.1
_TEND_S = 1.0

_logger = logging.getLogger(__name__)


class _Moved(Exception):
    """The tail begins elsewhere since."""

    def __init__(self, pointer: Pointer) -> None:
        super().__init__(f"the tail begins at segment {pointer.segment}")
        self.pointer = pointer


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
        self._spares = Spares(log_id, logstores, self._lanes, self._begin_spare)
        self._tending: asyncio.Task[None] | None = None
        self.when_spare: Callable[[], None] = lambda: None
        """Called now and then while another ensemble would come next."""

    # -- claiming --------------------------------------------------------------------------

    async def claim(self, term_seen: int) -> None:
        """Take the log over under a term above that one and all that were promised, and find what
        is there. Raises Unavailable without two of three."""
        found = await self._persist(self._pointers.newest)
        if found is None or not found.ensemble:
            found = await self._first_pointer(term_seen, found)
        self._begin_at(found, term_seen)
        for number in range(_CLAIMS_MAX_COUNT):
            try:
                await self._recover(found)
                if number < _OUTBIDS_MAX_COUNT:
                    self._check_refused()
                self._claimed = True
                self._tending = asyncio.get_running_loop().create_task(self._tend())
                return
            except Promised as error:
                self.term = max(self.term, error.term) + 1
            except _Moved as moved:
                found = moved.pointer
                self._begin_at(found, self.term)
            await self._stop_lanes()
            self.parts.clear()
            # Two who outbid each other must not do so in step.
            await asyncio.sleep(_PAUSE_S * (0.5 + self._rng.random()))
        raise Unavailable("others go on claiming the log", log_id=self.log_id)

    def _begin_at(self, pointer: Pointer, term_seen: int) -> None:
        self._pointer = pointer
        self.first = pointer.segment
        self.term = max(pointer.term, term_seen) + 1

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
            if number == pointer.segment and not all(number in lane.tails for lane in lanes):
                await self._check_pointer(pointer)
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

    async def _check_pointer(self, before: Pointer) -> None:
        """Somebody does not have its segment: nobody has written it yet, or it was trimmed, and the
        pointer moved before. From the promise on nobody else trims. Raises _Moved."""
        newest = await self._persist(self._pointers.newest)
        if newest is None or (newest.segment, newest.ensemble) == (before.segment, before.ensemble):
            return
        if not newest.ensemble:
            raise Unavailable("its tail was given up while it was claimed", log_id=self.log_id)
        raise _Moved(newest)

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
        self._raise_if_failed()
        lanes = self._lanes_of(self._ensemble)
        agreed_count = sum(await asyncio.gather(*(lane.still_promised() for lane in lanes)))
        self.lane_changed()
        self._raise_if_failed()
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
        lanes = list(self._lanes.values())
        self._lanes.clear()
        await asyncio.gather(*(lane.stop() for lane in lanes))

    # -- writing ---------------------------------------------------------------------------

    async def append(self, segment: int, number: int, stored: bytes) -> None:
        """A block; confirmed on return. May be repeated."""
        part = self._part(segment)
        future = part.add(number, stored)
        self._poke(part)
        await asyncio.shield(future)

    def begin(self, segment: int, number: int, stored: bytes, told: Told) -> bool:
        """As `append`; see `SegmentStore.begin`."""
        if self.error is not None:
            return False
        part = self._part(segment)
        is_begun = part.begin(number, stored, told)
        if is_begun:
            self._poke(part)
        return is_begun

    async def end(self, segment: int, end: int, footer: Buffer) -> None:
        """A segment ends behind so many blocks, all of which are confirmed or were decided on; the
        final is chosen on return. May be repeated."""
        part = self._part(segment)
        if part.final is None:
            named = self._spares.next_ensemble(part.ensemble)
            stored = encode_ensemble(named) + bytes(footer)
            final = Final(self.log_id, segment, self.term, end, stored)
            self._ensemble = named
        else:
            final = part.final
        future = part.propose(final)
        self._poke(part)
        await asyncio.shield(future)

    def _part(self, segment: int) -> Part:
        self._raise_if_failed()
        return self.parts.get(segment) or self._begin_part(segment, 0)

    def _begin_part(self, segment: int, count: int) -> Part:
        part = self.parts[segment] = Part(segment, self._ensemble, count)
        for lane in self._lanes_of(self._ensemble):
            if lane.is_up and segment in lane.tails:
                part.heard(lane.member, lane.tails[segment].end)
        return part

    # -- tending ---------------------------------------------------------------------------

    async def _tend(self) -> None:
        """Have a spare for a logstore that is away before the segment ends, and where none has
        begun have one end: who writes nothing must not be left with one of three."""
        while True:
            await asyncio.sleep(_TEND_S)
            doubtful = [lane for lane in self._lanes.values() if lane.is_doubtful]
            await asyncio.gather(*(lane.still_promised() for lane in doubtful))
            for ensemble in self._needed():
                self._check_hope(self._lanes_of(ensemble))
            try:
                await self._spares.look(self._ensemble)
            except WalError as error:
                _logger.warning("no logstore can take another's place yet: %s", error)
            if self._spares.is_ready(self._ensemble):
                self.when_spare()

    def _check_hope(self, lanes: list[Lane]) -> None:
        """One logstore refuses our term for good and another does not come back: two of three take
        nothing from us, but may from whoever claims the log above that term. So give it up."""
        refused = [lane for lane in lanes if lane.refused_by]
        gone = [lane for lane in lanes if is_missed(lane) and not lane.refused_by]
        if refused and gone and len(refused) + len(gone) >= COVERAGE_COUNT:
            text = (
                f"logstore {refused[0].member.store} is promised to term {refused[0].refused_by}"
                f" and {gone[0].member.store} is away: the log has to be claimed anew"
            )
            self._fail(Resigned(text, log_id=self.log_id))

    async def _begin_spare(self, store: str) -> Member:
        member = await self._joined(store, self.term)
        self._begin_lane(member)
        return member

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
        used = {*self._ensemble, *self._spares}
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

    def away_count(self) -> int:
        """Logstores that do not answer, of those that have what the bucket may not have, or get
        what comes next."""
        kept = {*self._ensemble, *(m for part in self.parts.values() for m in part.ensemble)}
        return sum(not (lane := self._lanes.get(m)) or not lane.is_up for m in kept)

    def _needed(self) -> Iterable[Ensemble]:
        """Of all segments that are not over."""
        parts = self.parts.values()
        needed = (part.ensemble for part in parts if not part.is_chosen)
        return dict.fromkeys((self._ensemble, *needed))

    def _raise_if_failed(self) -> None:
        if self.error is not None:
            raise self.error

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
