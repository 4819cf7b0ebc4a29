"""The way to one logstore: a promise, then blocks and finals in order, many at once.

Whatever goes wrong on it, the lane begins again: the promise tells what is there, and it goes on
behind that. So no logstore has gaps, and a slow one is in nobody's way. What is not in memory any
more it has from the other logstores.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from functools import partial
from typing import Protocol, TypeVar

from wal_core.errors import Invalid, Unavailable, WalError
from wal_core.format.block import parse_header
from wal_core.logstore.replica import Asker, Promised, Replica, Tail, Unknown
from wal_core.quorum.members import Logstores, Member
from wal_core.quorum.part import Part

REPLY_S = 5.0
"""Who takes longer for one reply is taken for one that does not answer."""
_FLIGHTS_MAX_COUNT = 256
_FLIGHTS_BYTES_MAX = 32 * 1024 * 1024
_COPY_BYTES = 1024 * 1024
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.05, 2.0
_CONFIRM_S = 0.02
"""Between two words of what is confirmed, where no block says it. Longer: fewer of them; shorter:
who reads the log elsewhere sees its end sooner."""

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Owner(Protocol):
    """Of a lane."""

    parts: dict[int, Part]
    first: int

    def peers(self, part: Part, but: Member, number: int) -> list[Lane]:
        """Who has a block of a segment."""
        ...

    def lane_changed(self) -> None: ...

    def confirmed(self, part: Part) -> None:
        """More of a segment is."""
        ...


class Lane:
    """Of one member, under one promise. `start` it, and `stop` it."""

    def __init__(self, owner: Owner, logstores: Logstores, member: Member, asker: Asker) -> None:
        self.member = member
        self.asker = asker
        self.replica: Replica | None = None
        self.tails: dict[int, Tail] = {}  # as told with the promise
        self.is_up = False
        self.is_lost = False  # nothing will come of it
        self.refused_by = 0  # the term of somebody else's promise
        self.trouble: Exception | None = None
        self.down_since_s: float | None = asyncio.get_running_loop().time()
        self._owner = owner
        self._logstores = logstores
        self._wake = asyncio.Event()
        self._part: Part | None = None  # being sent
        self._sent = 0  # blocks of it
        # Bytes by segment and block; a new one for each attempt. Of a segment that was trimmed some
        # may still be on their way.
        self._flights: dict[tuple[int, int], int] = {}
        self._flying_bytes = 0
        self._heard_s = 0.0  # or since when something is on its way
        self._patience: asyncio.TimerHandle | None = None
        self._told_count = 0  # of confirmed blocks of that segment, while nothing was sent
        self._confirming: asyncio.TimerHandle | None = None
        self._confirm_not_before_s = 0.0
        self._saying: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Ask for the promise, and go on."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(_tell)

    async def stop(self) -> None:
        """What is on its way may arrive or not."""
        self._drop_flights()
        tasks = [*self._saying, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def poke(self, part: Part) -> None:
        """There is something new in a segment."""
        self._send(part)
        if self._part is not part or part.final is not None:
            self._wake.set()

    def confirm(self, part: Part) -> None:
        """More of a segment is confirmed: say so, unless a block that is sent soon does."""
        if self._part is part and self._confirming is None and not self._flights:
            loop = asyncio.get_running_loop()
            at_s = max(loop.time(), self._confirm_not_before_s)
            self._confirming = loop.call_at(at_s, self._say_confirmed)

    @property
    def is_doubtful(self) -> bool:
        """Nothing is asked of it at the moment, and it is not registered any more."""
        quiet = self.is_up and not self._flights
        return quiet and self._logstores.replica(self.member.store) is None

    async def still_promised(self) -> bool:
        """Ask whether it is; False as well if there is no answer."""
        if self.replica is None:
            return False
        try:
            await _in_time(self.replica.promise(self.asker))
        except Promised as refusal:
            self.refused_by = refusal.term
        except (WalError, TimeoutError) as error:
            self._begin_again(error)
            return False
        return not self.refused_by

    def _begin_again(self, error: Exception) -> None:
        """The way to it may be gone for good, and one with nothing to send does not see that: ask
        for the promise anew, by what leads there then."""
        if self.is_up:
            self._error = self._error or error
            self._wake.set()

    async def forget(self, before: int) -> None:
        """Remove segments. Who does not hear of it hears of it with the next promise."""
        assert self.replica is not None
        try:
            await _in_time(self.replica.forget(self.asker, before))
        except (WalError, TimeoutError) as error:
            self._begin_again(error)
            _logger.warning("logstore %s keeps old segments: %s", self.member.store, error)

    # -- coming and going ------------------------------------------------------------------

    async def _run(self) -> None:
        pause_s = _PAUSE_FIRST_S
        while True:
            try:
                await self._promise()
                pause_s = _PAUSE_FIRST_S
                while True:
                    await self._feed()
            except Promised as refusal:
                self.refused_by, self.trouble = refusal.term, refusal
                return
            except (Unknown, Invalid) as useless:
                _logger.error("logstore %s is of no use any more: %s", self.member.store, useless)
                self.is_lost, self.trouble = True, useless
                return
            except (WalError, TimeoutError, OSError) as error:
                if self.trouble is None:
                    _logger.warning("logstore %s: %s", self.member.store, error or "no answer")
                self.trouble = error
            finally:
                self.is_up = False
                if self.down_since_s is None:
                    self.down_since_s = asyncio.get_running_loop().time()
                self._drop_flights()
                self._owner.lane_changed()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    async def _promise(self) -> None:
        replica = self._logstores.replica(self.member.store)
        if replica is None:
            raise Unavailable(f"logstore {self.member.store} is not registered")
        tails = await _in_time(replica.promise(self.asker))
        self.replica = replica
        self.tails = {tail.segment: tail for tail in tails}
        for tail in tails:
            part = self._owner.parts.get(tail.segment)
            if part is not None and self.member in part.ensemble:
                part.heard(self.member, tail.end)
        if tails and tails[0].segment < self._owner.first:
            await _in_time(replica.forget(self.asker, self._owner.first))
        self._error = self.trouble = None
        self.is_up, self.down_since_s = True, None
        self._owner.lane_changed()

    def _drop_flights(self) -> None:
        self._flights, self._flying_bytes = {}, 0
        self._part = None
        for timer in (self._confirming, self._patience):
            if timer is not None:
                timer.cancel()
        self._confirming = self._patience = None

    # -- one segment after the other -------------------------------------------------------

    async def _feed(self) -> None:
        for number in sorted(self._owner.parts):
            part = self._owner.parts[number]
            if self.member in part.ensemble and self.member not in part.ended:
                await self._feed_part(part)
                return
        await self._woken()

    async def _feed_part(self, part: Part) -> None:
        assert self.replica is not None
        self._part, self._sent = part, min(part.ends.get(self.member, 0), part.count)
        self._told_count = 0
        self.confirm(part)
        while part.number in self._owner.parts:
            if self._error is not None:
                raise self._error
            if self._sent < min(part.window_start, part.count) and not self._flights:
                await self._copy(self.replica, part)
                continue
            self._send(part)
            final = part.final
            if final is not None and self._sent >= final.end and not self._flights:
                await _in_time(self.replica.end(self.asker, final))
                part.took_final(self.member)
                self._owner.lane_changed()
                break
            await self._woken()
        self._part = None

    async def _woken(self) -> None:
        self._wake.clear()
        if self._error is not None:
            raise self._error
        await self._wake.wait()

    def _send(self, part: Part) -> None:
        """All that may be on its way at once, of the segment that is being sent."""
        if self._part is not part or self._error is not None:
            return
        assert self.replica is not None
        flights = self._flights
        while self._sent < part.count and (stored := part.blocks.get(self._sent)) is not None:
            full = len(flights) >= _FLIGHTS_MAX_COUNT
            if full or (flights and self._flying_bytes + len(stored) > _FLIGHTS_BYTES_MAX):
                return
            try:
                landed = partial(self._landed, part, self._sent, flights)
                self.replica.begin_append(self.asker, stored, landed)
            except WalError as error:
                self._trip(error)
                return
            if not flights:
                self._wait_for_reply()
            flights[part.number, self._sent] = len(stored)
            self._flying_bytes += len(stored)
            self._sent += 1

    def _landed(
        self, part: Part, number: int, flights: dict[tuple[int, int], int], end: int | WalError
    ) -> None:
        if flights is not self._flights:
            return  # of an attempt that was given up
        self._flying_bytes -= flights.pop((part.number, number))
        self._heard_s = asyncio.get_running_loop().time()
        if isinstance(end, WalError):
            self._trip(end)
            return
        if end <= number:
            self._trip(Unavailable("a block before it has not arrived"))
            return
        before = part.confirmed_count
        part.heard(self.member, end)
        if part.confirmed_count > before:
            self._owner.confirmed(part)
        else:
            self.confirm(part)
        self._send(part)
        if not self._flights and (part.final is not None or self._sent < part.window_start):
            self._wake.set()

    def _trip(self, error: WalError) -> None:
        self._error = self._error or error
        self._wake.set()

    def _wait_for_reply(self) -> None:
        """From now on there is one to come."""
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        if self._patience is None:
            self._patience = loop.call_later(REPLY_S, self._lose_patience)

    def _lose_patience(self) -> None:
        """One timer for many replies: it looks whether it is time."""
        self._patience = None
        if not self._flights:
            return
        loop = asyncio.get_running_loop()
        until_s = self._heard_s + REPLY_S
        if loop.time() >= until_s:
            self._trip(Unavailable(f"logstore {self.member.store} does not answer"))
        else:
            self._patience = loop.call_at(until_s, self._lose_patience)

    def _say_confirmed(self) -> None:
        self._confirming = None
        part, replica = self._part, self.replica
        if part is None or replica is None or self._flights:
            return
        count = part.confirmed_count
        if count <= self._told_count:
            return
        loop = asyncio.get_running_loop()
        self._told_count = count
        self._confirm_not_before_s = loop.time() + _CONFIRM_S
        task = loop.create_task(replica.confirm(self.asker, part.number, count))
        self._saying.add(task)
        task.add_done_callback(self._said)

    def _said(self, task: asyncio.Task[None]) -> None:
        """Who did not hear it hears it with the next block, or after the next promise."""
        self._saying.discard(task)
        if not task.cancelled():
            task.exception()

    async def _copy(self, replica: Replica, part: Part) -> None:
        """Some of what is not in memory any more, or never was."""
        peers = self._owner.peers(part, self.member, self._sent)
        for peer in peers:
            assert peer.replica is not None
            reading = peer.replica.read(
                peer.asker, part.number, self._sent, _COPY_BYTES, recovering=True
            )
            try:
                stored = await _in_time(reading)
            except (WalError, TimeoutError):
                continue
            for block in split(stored):
                # What is in memory is sent when something new comes, also while we wait here.
                if self._sent < min(part.window_start, part.count):
                    end = await _in_time(replica.append(self.asker, block))
                    part.heard(self.member, end)
                    self._sent += 1
            if stored:
                return
        raise Unavailable(f"no other logstore tells block {self._sent} of segment {part.number}")


def split(stored: bytes) -> Iterator[bytes]:
    """Blocks that follow each other. Raises Corrupt."""
    view, at = memoryview(stored), 0
    while at < len(view):
        end = at + parse_header(view[at:]).total_bytes
        yield bytes(view[at:end])
        at = end


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("a lane has stopped", exc_info=error)


async def _in_time(reply: Awaitable[T]) -> T:
    async with asyncio.timeout(REPLY_S):
        return await reply
