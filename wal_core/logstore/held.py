"""What a logstore has promised and holds of one log, and what it therefore takes. No I/O here.

Whatever is asked of it names the log's birth: a logstore that lost the log and was made to know it
again must not answer for what it had before.
"""

from __future__ import annotations

from array import array

from wal_core.errors import Invalid, Unavailable
from wal_core.format.block import BlockHeader
from wal_core.format.logstore_records import Final, Promise
from wal_core.logstore.replica import Promised, Tail, Unknown


class Held:
    """A dense run of a segment's blocks: what was taken, of which the first `stored_count` are on
    the disk."""

    __slots__ = ("_ends", "_headers_crc", "confirmed_count", "final", "nonce", "stored_count")

    def __init__(self) -> None:
        self._ends = array("Q")  # of each block, in the file
        self._headers_crc = array("I")
        self.nonce: bytes | None = None  # of its one writer
        self.stored_count = 0
        self.confirmed_count = 0  # as its writer said: readers see no more
        self.final: Final | None = None

    @property
    def taken_count(self) -> int:
        return len(self._ends)

    @property
    def end_bytes(self) -> int:
        return self._ends[-1] if self._ends else 0

    def position(self, number: int) -> int:
        """Where a block begins in the file; of the next one: where it will."""
        return self._ends[number - 1] if number else 0

    @property
    def readable_count(self) -> int:
        """Confirmed, and here."""
        return min(self.confirmed_count, self.stored_count)

    @property
    def shown_count(self) -> int:
        """Also what a final says, which need not have been chosen: that is for readers to know."""
        end = 0 if self.final is None else self.final.end
        return min(max(self.confirmed_count, end), self.stored_count)

    def stretch_end(self, first: int, last: int, bytes_max: int) -> int:
        """Behind whole blocks from `first` on and before `last`, as many as fit and one at least if
        there is any."""
        if first >= last:
            return first
        end, start = first + 1, self.position(first)
        while end < last and self.position(end + 1) - start <= bytes_max:
            end += 1
        return end

    def take(self, header: BlockHeader) -> None:
        """The next block."""
        self._ends.append(self.end_bytes + header.total_bytes)
        self._headers_crc.append(header.crc)
        self.nonce = header.nonce
        self.confirm(header.durable_count)

    def drop_from(self, number: int) -> int:
        """These could not be written; returns how many bytes they are."""
        number, before = max(number, self.stored_count), self.end_bytes
        del self._ends[number:], self._headers_crc[number:]
        return before - self.end_bytes

    def confirm(self, count: int) -> None:
        self.confirmed_count = max(self.confirmed_count, count)

    def is_same(self, number: int, header: BlockHeader) -> bool:
        """As the block that is there?"""
        length = self._ends[number] - self.position(number)
        return (length, self._headers_crc[number]) == (header.total_bytes, header.crc)


class HeldLog:
    """All of a log. Whoever writes something down first asks `check_…`, and then says so."""

    def __init__(self, promise: Promise) -> None:
        self.promise = promise
        self.segments: dict[int, Held] = {}

    @property
    def held_bytes(self) -> int:
        return sum(held.end_bytes for held in self.segments.values())

    def tails(self) -> list[Tail]:
        """Of all segments, in order."""
        return [
            Tail(number, held.stored_count, held.final)
            for number, held in sorted(self.segments.items())
        ]

    def confirmed_tails(self) -> list[Tail]:
        """As `tails`, of what readers see."""
        return [
            Tail(number, held.readable_count, held.final)
            for number, held in sorted(self.segments.items())
        ]

    def check_birth(self, birth: bytes) -> None:
        if birth != self.promise.birth:
            raise Unknown(
                "this logstore lost the log since it was asked to keep it, and knows it under "
                "another birth",
                log_id=self.promise.log_id,
            )

    def check_promise(self, term: int, nonce: bytes) -> bool:
        """Whether it is a new one. Raises Promised for who comes too late."""
        last = self.promise
        if (term, nonce) == (last.term, last.nonce):
            return False
        if term <= last.term:
            raise Promised(
                f"term {term} asks for a promise, term {last.term} has one",
                log_id=last.log_id,
                term=last.term,
            )
        return True

    def check_promised(self, term: int, nonce: bytes) -> None:
        """Raises Promised for whom this was not promised to last."""
        last = self.promise
        if (term, nonce) != (last.term, last.nonce):
            raise Promised(
                f"the log is promised to term {last.term}, not to this writer of term {term}",
                log_id=last.log_id,
                term=last.term,
            )

    def check_block(self, header: BlockHeader) -> Held:
        """Raises Invalid for one that is not what is there, or of another writer. A final does not
        keep blocks out: it may be one that was never chosen."""
        held = self.segments.get(header.segment) or Held()
        number = header.block
        own = held.nonce in (None, header.nonce)
        if not own or (number < held.taken_count and not held.is_same(number, header)):
            raise Invalid(
                "another block is there" if own else "the segment has another writer's blocks",
                log_id=header.log_id,
                segment=header.segment,
                block=number,
            )
        return held

    def check_final(self, final: Final) -> bool:
        """Whether it is a new one. Raises Unavailable for who lacks blocks before it."""
        held = self.segments.get(final.segment) or Held()
        if held.stored_count < final.end:
            raise Unavailable(
                f"a final ends the segment behind {final.end} blocks, {held.stored_count} are here",
                log_id=final.log_id,
                segment=final.segment,
            )
        if held.final == final:
            return False
        if held.final is not None and held.final.term >= final.term:
            raise Invalid(
                f"term {final.term} ends the segment, term {held.final.term} has ended it",
                log_id=final.log_id,
                segment=final.segment,
            )
        return True
