"""What a process has for all its logs together. Made once, and handed to each `Log.open`.

- *Memory of what could be read again* (tails, blocks, tables): who holds most gives back first, so
  nobody ever has to who holds no more than an equal part.
- *Bytes that are being read*, by all who catch up: who has least under way comes next.
- *Bytes that are not durable yet*: half of them are parted equally and guaranteed, the other half
  is for whoever comes.
- *Writes that somebody bills*: in the order in which logs began to wait for one.
- *Compaction*: one at a time, in the order of asking; so its memory is that of one.

One log alone has all of it. The thread that syncs is not here: a store has one for all its logs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from wal_core.config import LogConfig

_ABSENT_S = 1.0
"""Who does not come back for its turn so long after it was due has found another way."""


class Holder(Protocol):
    """Has memory that it can give back."""

    @property
    def bytes_count(self) -> int: ...

    def give_back(self) -> None:
        """Some of it, what it needs least; called only while it has any."""
        ...


class SharedMemory:
    """At most `bytes_max` in all."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._holders: list[Holder] = []

    @property
    def bytes_count(self) -> int:
        return sum([holder.bytes_count for holder in self._holders])

    def join(self, holder: Holder) -> None:
        self._holders.append(holder)

    def leave(self, holder: Holder) -> None:
        """What it still holds counts no more; leaving twice is fine."""
        if holder in self._holders:
            self._holders.remove(holder)

    def fit(self) -> None:
        """Somebody holds more than before: let those with most give back until all fit."""
        while self.bytes_count > self.bytes_max:
            max(self._holders, key=lambda holder: holder.bytes_count).give_back()


class CatchUp:
    """So many bytes may be under way at once, through any `Room` of it."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._rooms: list[Room] = []

    @property
    def taken_bytes(self) -> int:
        return sum([room.taken_bytes for room in self._rooms])

    def room(self) -> Room:
        """For one log more."""
        room = Room(self)
        self._rooms.append(room)
        return room

    def leave(self, room: Room) -> None:
        """Its log is closed, and has nothing under way."""
        if room in self._rooms:
            self._rooms.remove(room)
            self.serve()

    def fits(self, bytes_count: int) -> bool:
        """More than there is room for altogether goes alone."""
        taken_bytes = self.taken_bytes
        return not taken_bytes or taken_bytes + bytes_count <= self.bytes_max

    @property
    def has_waiting(self) -> bool:
        return any(room.first_wanted_bytes is not None for room in self._rooms)

    def serve(self) -> None:
        """Let in who waits, as far as there is room."""
        while True:
            waiting = [room for room in self._rooms if room.first_wanted_bytes is not None]
            if not waiting:
                return
            room = min(waiting, key=lambda room: room.taken_bytes)
            wanted_bytes = room.first_wanted_bytes
            assert wanted_bytes is not None
            if not self.fits(wanted_bytes):
                return
            room.let_in()


class Room:
    """Of one log: who finds no room waits, first come first served."""

    def __init__(self, shared: CatchUp) -> None:
        self._shared = shared
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.taken_bytes = 0

    @property
    def first_wanted_bytes(self) -> int | None:
        """What the first who waits wants; None when nobody does."""
        while self._waiting and self._waiting[0][1].cancelled():
            self._waiting.popleft()
        return self._waiting[0][0] if self._waiting else None

    def has(self, bytes_count: int) -> bool:
        """Whether there is room now, and nobody waits for it."""
        return not self._shared.has_waiting and self._shared.fits(bytes_count)

    async def take(self, bytes_count: int) -> None:
        if self.has(bytes_count):
            self.taken_bytes += bytes_count
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((bytes_count, place))
        self._shared.serve()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give_back(bytes_count)  # it was ours already
            raise

    def give_back(self, bytes_count: int) -> None:
        self.taken_bytes -= bytes_count
        assert self.taken_bytes >= 0
        self._shared.serve()

    def let_in(self) -> None:
        """There is room for the first who waits."""
        bytes_count, place = self._waiting.popleft()
        self.taken_bytes += bytes_count
        place.set_result(None)

    def close(self) -> None:
        """Nothing is under way any more, nobody waits."""
        self._shared.leave(self)


class Writer(Protocol):
    """Has bytes on their way."""

    unconfirmed_bytes: int


class Unconfirmed:
    """At most `bytes_max` in all; a log that joins while others hold more than they may from then
    on has its part besides, until they have come down."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.part_bytes = bytes_max
        """So much each may have without asking."""
        self._writers: list[Writer] = []

    def join(self, writer: Writer) -> None:
        self._writers.append(writer)
        self._part()

    def leave(self, writer: Writer) -> None:
        if writer in self._writers:
            self._writers.remove(writer)
            self._part()

    @property
    def bytes_count(self) -> int:
        return sum([writer.unconfirmed_bytes for writer in self._writers])

    def _part(self) -> None:
        count = len(self._writers)
        self.part_bytes = self.bytes_max if count <= 1 else self.bytes_max // (2 * count)

    @property
    def largest_bytes(self) -> int:
        """So much a log can have while all others are idle."""
        return self.bytes_max - max(len(self._writers) - 1, 0) * self.part_bytes

    def limit_bytes(self, writer: Writer) -> int:
        """So much it may have now: what others neither use nor are guaranteed."""
        others = sum(
            max(other.unconfirmed_bytes, self.part_bytes)
            for other in self._writers
            if other is not writer
        )
        return max(self.bytes_max - others, self.part_bytes)


class WriteBucket:
    """At most `rate_per_s` writes a second on average, `burst_count` at once.

    Times are the loop's, in seconds, and are handed in.
    """

    def __init__(self, rate_per_s: float, burst_count: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst_count = float(burst_count)
        self._tokens = float(burst_count)
        self._at_s: float | None = None
        self._waiting: dict[object, float] = {}  # in order: until when they are waited for

    def take(self, who: object, now_s: float) -> float:
        """Take a token and return 0, or return the seconds until it is one's turn (none taken)."""
        if self._at_s is not None:
            gained = (now_s - self._at_s) * self._rate_per_s
            self._tokens = min(self._burst_count, self._tokens + gained)
        self._at_s = now_s
        for other in [one for one, until_s in self._waiting.items() if until_s < now_s]:
            del self._waiting[other]
        ahead_count = 0
        for other in self._waiting:
            if other is who:
                break
            ahead_count += 1
        if self._tokens >= ahead_count + 1 - 1e-9:
            self._tokens -= 1
            self._waiting.pop(who, None)
            return 0.0
        wait_s = (ahead_count + 1 - self._tokens) / self._rate_per_s
        self._waiting[who] = now_s + wait_s + _ABSENT_S
        return wait_s

    def leave(self, who: object) -> None:
        """It does not wait any more."""
        self._waiting.pop(who, None)


class Budgets:
    """By the settings of a log; of those of others that share it the same fields do not count."""

    def __init__(self, config: LogConfig) -> None:
        self.tails = SharedMemory(config.tail_bytes_max)
        self.blocks = SharedMemory(config.block_cache_bytes_max)
        self.tables = SharedMemory(config.table_cache_bytes_max)
        self.catch_up = CatchUp(config.catch_up_bytes_max)
        self.unconfirmed = Unconfirmed(config.unconfirmed_bytes_max)
        self.writes: WriteBucket | None = None
        if config.writes_per_s_max:
            self.writes = WriteBucket(config.writes_per_s_max, config.writes_burst_count)
        self.compaction = asyncio.Lock()
