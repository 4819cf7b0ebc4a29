"""Reading from many partitions within the bounds of one reply.

Who has waited longest is read first. A reply ends when its bytes, its part of the memory for
replies, its share of the loop's time or the time the client would wait is used up; the first batch
found is in it whatever its size. Does not know: messages, versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from gateway.fairness.slices import Slices
from wal_core import Truncated, WalError

if TYPE_CHECKING:
    from gateway.broker.partition import Partition
    from gateway.fairness.reply_share import ReplyRoom
    from gateway.fairness.turns import Turns
    from protocol import Buffer
    from wal_core import Entry

JOINED_BYTES_MAX = 16 * 1024  # pieces that are smaller on average
WORK_S_MAX = 0.02  # of the loop's time for one reply; its client comes back for the rest


@dataclass(slots=True)
class Wanted:
    """What to read from one partition, and what was found."""

    partition: Partition
    offset: int
    bytes_max: int
    records: Sequence[Buffer] = ()  # whole batches, one after another
    error: WalError | None = None


@dataclass(slots=True)
class Reading:
    """One reply's worth of reading. Make it, `await fill`, look at what was found."""

    turns: Turns
    room: ReplyRoom
    slices: Slices
    left_bytes: int
    enough_bytes: int  # once there are so many, more is taken from storage only if it is at hand
    deadline_s: float  # of the loop's clock: later no storage is waited for but for the first batch
    got_bytes: int = 0
    has_failed: bool = False
    is_cut: bool = False  # something that was ready did not find room
    _waited: bool = field(default=False, init=False)

    async def fill(self, wanted: Sequence[Wanted]) -> None:
        """Read what is there."""
        ready = await self._ready(wanted)
        if len(ready) > 1:
            ready.sort(key=lambda want: self.turns.rank(want.partition.number))
        for want in ready:
            if self._is_over():
                self.is_cut = True
                return
            if self.slices.is_over:
                await self.slices.pause()
            await self._read(want)

    async def _ready(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Those that have records for the reader, or an error."""
        ready = []
        for want in wanted:
            partition = want.partition
            if partition.deleted or want.offset < partition.high_watermark:
                ready.append(want)
            if self.slices.is_over:
                await self.slices.pause()
        return ready

    def _is_over(self) -> bool:
        if not self.got_bytes:
            return False
        return (
            min(self.left_bytes, self.room.allowed_bytes) <= 0
            or self.slices.spent_s > WORK_S_MAX
            or (self._waited and asyncio.get_running_loop().time() >= self.deadline_s)
        )

    async def _read(self, want: Wanted) -> None:
        most_bytes = max(0, min(self.left_bytes, self.room.allowed_bytes))
        budget_bytes = max(0, min(want.bytes_max, most_bytes))
        try:
            entries = await self._entries(want, budget_bytes)
            size_bytes = _size_of(entries)
            if not self.got_bytes and size_bytes > most_bytes and not self.room.fits(size_bytes):
                # Others need the memory: it is read again when there is room.
                entries = []
                if not await self.room.wait_for(size_bytes):
                    self.is_cut = True
                    return
                entries = await self._entries(want, budget_bytes)
                size_bytes = _size_of(entries)
            if not self.got_bytes or size_bytes <= budget_bytes:
                self._found(want, entries, size_bytes)
                return
            self.is_cut = True  # only the very first batch of a reply may be larger than its budget
            if size_bytes > most_bytes:
                self.left_bytes = 0  # it is the first of the next reply
        except WalError as error:
            want.partition.tell_damage(error)
            want.error = error
            self.has_failed = True
        finally:
            self.room.become(self.got_bytes)

    def _found(self, want: Wanted, entries: Sequence[Entry], size_bytes: int) -> None:
        if entries:
            want.records = _records(entries, size_bytes)
            self.turns.served(want.partition.number)
            self.got_bytes += size_bytes
            self.left_bytes -= size_bytes

    async def _entries(self, want: Wanted, bytes_max: int) -> list[Entry]:
        """Whole batches from memory or, when they are older, from storage."""
        partition = want.partition
        if partition.deleted:
            raise Truncated("the topic was deleted")
        if want.offset < partition.log_start_offset:
            raise Truncated("the records were deleted")  # while another partition was read
        entries = partition.read_tail(want.offset, bytes_max)
        if entries is None or self._is_too_little(entries, partition.high_watermark):
            self._waited = True
            enough_bytes = max(0, self.enough_bytes - self.got_bytes)
            with self.room.reserved(self.got_bytes + bytes_max):
                entries = await partition.read(want.offset, bytes_max, enough_bytes)
            self.slices.resume()
        return entries

    def _is_too_little(self, entries: Sequence[Entry], end_offset: int) -> bool:
        """Whether there may be more, and it is needed."""
        return (
            bool(entries)
            and entries[-1].end_offset < end_offset
            and self.got_bytes + _size_of(entries) < self.enough_bytes
        )


def _records(entries: Sequence[Entry], size_bytes: int) -> list[Buffer]:
    """The payloads; joined when they are small, for each piece costs more than its copy, or would
    keep much more in memory than they are.

    They are views of blocks and requests, which caches forget while a slow client has not taken its
    reply. What it keeps must be what is counted.
    """
    payloads: list[Buffer] = [entry.payload for entry in entries]
    if size_bytes < JOINED_BYTES_MAX * len(payloads):
        return [b"".join(payloads)]
    kept: dict[int, int] = {}
    for payload in payloads:
        holder = cast("Sized", payload.obj) if isinstance(payload, memoryview) else payload
        kept[id(holder)] = len(holder)
    if sum(kept.values()) <= 2 * size_bytes:
        return payloads
    return [b"".join(payloads)]


def _size_of(entries: Sequence[Entry]) -> int:
    return sum(len(entry.payload) for entry in entries)
