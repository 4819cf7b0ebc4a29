"""Reading from many partitions within the bounds of one reply.

Who has waited longest is read first. A reply ends when its bytes, its part of the memory for
replies, its share of the loop's time or the time the client would wait is used up; the first batch
found is in it whatever its size. Does not know: messages, versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence, Sized
from itertools import groupby
from typing import TYPE_CHECKING, cast

from gateway.fairness.slices import Slices
from protocol import BUFFERS, all_in_memory
from wal_core import Payloads, Truncated, WalError

if TYPE_CHECKING:
    from gateway.broker.partition import Partition
    from gateway.fairness.reply_share import ReplyRoom
    from gateway.fairness.turns import Turns
    from protocol import Buffer, Piece

JOINED_BYTES_MAX = 4 * 1024  # pieces that are smaller on average
LOOKS_COUNT = 8  # partitions are looked at between two looks at the clock: a tenth of a millisecond
WORK_S_MAX = 0.02  # of the loop's time for one reply; its client comes back for the rest


class Wanted:
    """What to read from one partition, and what was found."""

    def __init__(self, partition: Partition, offset: int, bytes_max: int) -> None:
        self.partition = partition
        self.offset = offset
        self.bytes_max = bytes_max
        self.records: Sequence[Piece] = ()  # whole batches, one after another
        self.error: WalError | None = None
        self.at_hand: Payloads | None = None  # what was in memory, while it is being read


class Reading:
    """One reply's worth of reading. Make it, `await fill`, look at what was found."""

    def __init__(
        self,
        turns: Turns,
        room: ReplyRoom,
        slices: Slices,
        *,
        left_bytes: int,
        enough_bytes: int,
        deadline_s: float,
    ) -> None:
        self.turns = turns
        self.room = room
        self.slices = slices
        self.left_bytes = left_bytes
        self.enough_bytes = enough_bytes
        """Once there are so many, more is taken from storage only if it is at hand."""
        self.deadline_s = deadline_s
        """Of the loop's clock: later no storage is waited for but for the first batch."""
        self.got_bytes = 0
        self.has_failed = False
        self.is_cut = False
        """Something that was ready did not find room."""
        self._waited = False

    async def fill(self, wanted: Sequence[Wanted]) -> None:
        """Read what is there."""
        ready = await self._ready(wanted)
        if len(ready) > 1:
            ready.sort(key=lambda want: self.turns.rank(want.partition.number))
        for want in ready:
            most_bytes = self._most_bytes()
            if self.got_bytes and self._is_over(most_bytes):
                self.is_cut = True
                return
            if self.slices.is_over:
                await self.slices.pause()
                most_bytes = self._most_bytes()
            if not self._read_at_hand(want, most_bytes):
                await self._read(want, most_bytes)

    async def _ready(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Those that have records for the reader, or an error."""
        ready = []
        for number, want in enumerate(wanted):
            partition = want.partition
            if partition.deleted or want.offset < partition.high_watermark:
                ready.append(want)
            if number % LOOKS_COUNT == 0 and self.slices.is_over:
                await self.slices.pause()
        return ready

    def _most_bytes(self) -> int:
        """What there is room for now."""
        most_bytes = min(self.left_bytes, self.room.allowed_bytes)
        return most_bytes if most_bytes > 0 else 0

    def _is_over(self, most_bytes: int) -> bool:
        return (
            most_bytes <= 0
            or self.slices.spent_s > WORK_S_MAX
            or (self._waited and asyncio.get_running_loop().time() >= self.deadline_s)
        )

    def _read_at_hand(self, want: Wanted, most_bytes: int) -> bool:
        """Take what is in memory, if that does and there is room for it; most reads are so."""
        budget_bytes = max(0, min(want.bytes_max, most_bytes))
        try:
            payloads = self._at_hand(want, budget_bytes)
        except WalError as error:
            self._failed(want, error)
            return True
        if payloads is None:
            return False
        if payloads.bytes_count > budget_bytes:
            want.at_hand = payloads
            return False
        self._found(want, payloads)
        self.room.become(self.got_bytes)
        return True

    async def _read(self, want: Wanted, most_bytes: int) -> None:
        budget_bytes = max(0, min(want.bytes_max, most_bytes))
        try:
            payloads = want.at_hand
            if payloads is None:
                payloads = await self._stored(want, budget_bytes)
            size_bytes = payloads.bytes_count
            if not self.got_bytes and size_bytes > most_bytes and not self.room.fits(size_bytes):
                # Others need the memory: it is read again when there is room.
                payloads = want.at_hand = None
                if not await self.room.wait_for(size_bytes):
                    self.is_cut = True
                    return
                payloads = self._at_hand(want, budget_bytes)
                if payloads is None:
                    payloads = await self._stored(want, budget_bytes)
                size_bytes = payloads.bytes_count
            if not self.got_bytes or size_bytes <= budget_bytes:
                self._found(want, payloads)
                return
            self.is_cut = True  # only the very first batch of a reply may be larger than its budget
            if size_bytes > most_bytes:
                self.left_bytes = 0  # it is the first of the next reply
        except WalError as error:
            self._failed(want, error)
        finally:
            want.at_hand = None
            self.room.become(self.got_bytes)

    def _failed(self, want: Wanted, error: WalError) -> None:
        want.partition.tell_damage(error)
        want.error = error
        self.has_failed = True

    def _found(self, want: Wanted, payloads: Payloads) -> None:
        if payloads.pieces:
            want.records = _records(payloads)
            self.turns.served(want.partition.number)
            self.got_bytes += payloads.bytes_count
            self.left_bytes -= payloads.bytes_count

    def _at_hand(self, want: Wanted, bytes_max: int) -> Payloads | None:
        """Whole batches that take no wait; None if they are elsewhere, or too few."""
        partition = want.partition
        if partition.deleted:
            raise Truncated("the topic was deleted")
        if want.offset < partition.log_start_offset:
            raise Truncated("the records were deleted")  # while another partition was read
        payloads = partition.read_tail(want.offset, bytes_max)
        if payloads is None:
            payloads = partition.read_at_hand(want.offset, bytes_max)
        if payloads is not None and self._is_too_little(payloads, partition):
            return None
        return payloads

    async def _stored(self, want: Wanted, bytes_max: int) -> Payloads:
        """Whole batches from wherever they are."""
        self._waited = True
        enough_bytes = max(0, self.enough_bytes - self.got_bytes)
        with self.room.reserved(self.got_bytes + bytes_max):
            entries = await want.partition.read(want.offset, bytes_max, enough_bytes)
        self.slices.resume()
        return Payloads.of(entries, want.offset)

    def _is_too_little(self, payloads: Payloads, partition: Partition) -> bool:
        """Whether there may be more, and it is needed."""
        return (
            self.got_bytes < self.enough_bytes
            and self.got_bytes + payloads.bytes_count < self.enough_bytes
            and payloads.end_offset < partition.high_watermark
        )


def _records(payloads: Payloads) -> list[Piece]:
    """Their pieces; those in memory joined when they are small, for each piece costs more than its
    copy, or would keep much more in memory than they are.

    They are views of blocks and requests, which caches forget while a slow client has not taken its
    reply. What it keeps must be what is counted.
    """
    if all_in_memory(payloads.pieces):
        return [*_joined(payloads.pieces)]
    records: list[Piece] = []
    for is_here, alike in groupby(payloads.pieces, key=lambda piece: isinstance(piece, BUFFERS)):
        pieces = [*alike]
        records += _joined(cast("list[Buffer]", pieces)) if is_here else pieces
    return records


def _joined(pieces: Sequence[Buffer]) -> list[Buffer]:
    if sum(map(len, pieces)) < JOINED_BYTES_MAX * len(pieces):
        return [b"".join(pieces)]
    records: list[Buffer] = []
    for holder_bytes, of_one in _by_holder(pieces):
        if 2 * sum(map(len, of_one)) < holder_bytes:
            records.append(b"".join(of_one))
        else:
            records += of_one
    return records


def _by_holder(pieces: Sequence[Buffer]) -> Iterator[tuple[int, Sequence[Buffer]]]:
    """Neighbours that keep the same in memory, and how much that is."""
    first, held = 0, _holder(pieces[0])
    for at, piece in enumerate(pieces):
        holder = _holder(piece)
        if holder is not held:
            yield len(held), pieces[first:at]
            first, held = at, holder
    yield len(held), pieces[first:]


def _holder(piece: Buffer) -> Sized:
    return cast("Sized", piece.obj) if isinstance(piece, memoryview) else piece
