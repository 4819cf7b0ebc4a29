"""The seam between a log and where its blocks live: one writer, any number of stores.

A segment is a row of numbered slots; a slot takes one block and never changes afterwards. Data
blocks fill the slots densely from 0, the footer takes the one behind the last. Everything the log
promises rests on two properties of a store: an append that returned is durable, and a slot that
somebody else filled is never overwritten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Protocol

from wal_core.config import Mode
from wal_core.format.block import Block
from wal_core.format.places import Lost, Place, Slot
from wal_core.stores.at_hand import AtHand
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.room import Room
from wal_core.stores.segments.end_note import EndNote
from wal_core.tally import StoreTally
from wal_core.types import Buffer

Told = Callable[[Exception | None], None]
"""What became of a block, on the loop; None: it is durable."""


class SegmentTail(Protocol):
    """Reads a segment as it grows. Nothing is changed, and nothing shown that is not confirmed."""

    def blocks(self, persist: Persistence) -> AsyncIterator[Block | Lost]:
        """What has come since the last time, in order, the footer last; as of `recover_segment`.
        Nothing, too, where the segment is gone: whoever asks has to look whether it was replaced.
        """
        ...


class SegmentStore(Protocol):
    """Implementations pass tests/segment_store_contract.py. Errors: see wal_core.errors;
    whatever may pass is Unavailable. A block read is verified, or Corrupt is raised."""

    mode: Mode
    location: str  # for error messages
    locks: bool
    """True: `lock` keeps every other writer out. False: whoever fills a slot first owns it, and
    taking over means filling the next slot oneself."""
    claims: bool
    """True: `lock` takes the log from whoever has it, whose appends raise Fenced from then on, and
    the term it returns is the one below that of the claim. Fenced is final then."""
    segment_is_one_object: bool
    """True: all blocks of a segment share an object. False: each is one."""
    uploads: bool
    """True: segments lie elsewhere than `objects`, where they can only stay until they are sealed:
    that happens to all as soon as they are finished, the newest as well."""

    room: Room
    """How much more fits."""

    tally: StoreTally
    """What was asked of the store."""

    @property
    def objects(self) -> ObjectStore:
        """The same location as objects: what lies beside the segments is kept here, and every
        block is read from here."""
        ...

    async def lock(self, log_id: int) -> int:
        """Become the only writer where the store can promise that (else nothing happens).

        Returns the highest term noted, 0 for none. Raises Unavailable naming the holder's place.
        """
        ...

    async def note_term(self, log_id: int, term: int) -> None:
        """Remember a term nobody has written under yet; a store without locks need not. After a
        claim: the opening is over, and nobody of a lower term may come behind it; raises Fenced."""
        ...

    async def check_claim(self, log_id: int, term: int) -> None:
        """Raises Fenced if another had claimed the log before the call, or if it is not claimed
        here under that term any more. Where nobody claims, it does nothing."""
        ...

    async def unlock(self, log_id: int) -> None:
        """Let others write. Appends still in flight are waited for first."""
        ...

    def when_spare(self, log_id: int, call: Callable[[], None]) -> None:
        """Until it is unlocked: `call` on the loop, now and then, while one of the places that keep
        the next segment is away and the one behind that would have another instead. Who writes
        nothing for long should end a segment then. Nothing, where there is one place."""
        ...

    def away_count(self, log_id: int) -> int:
        """Places that do not answer, of those that keep the unfinished end of a log locked here."""
        ...

    async def segments(self, log_id: int, after: int = -1) -> list[int]:
        """Numbers of all segments above `after`, ascending; the cost depends on these alone."""
        ...

    def place(self, slot: Slot, length: int | None) -> Place:
        """Where the block in a slot is; `length` in bytes if known."""
        ...

    async def append(self, slot: Slot, pieces: Sequence[Buffer], *, final: bool) -> None:
        """Fill a slot; durable on return. `final`: this is the footer.

        The same call may be repeated after any error or cancellation and has one effect in all:
        an own earlier success is recognised. The pieces must not change until the segment is
        done with them, which may be later than an error. Raises Fenced when the slot is another
        writer's, Unavailable when a repetition may succeed.
        """
        ...

    def begin(self, slot: Slot, pieces: Sequence[Buffer], told: Told) -> bool:
        """An `append` of a data block, without a task to wait in; True: `told` will be called, in
        another turn of the loop and without a deadline, and after an error it takes an `append`.
        False: nothing has been done, it takes that at once. What `append` says of pieces and
        repetitions holds here too."""
        ...

    async def let_writes_pass(self) -> None:
        """For a read that has much to do on the loop, between two pieces of it: let everybody who
        is ready take a step. Where a write takes no longer than some steps of the loop, what is
        being written comes back and is answered first, or some time passes that is as short."""
        ...

    @property
    def at_hand(self) -> AtHand | None:
        """Those of `objects` that may be read on the loop now, without `let_writes_pass`; None:
        none may, for somebody writes, or it is no local folder."""
        ...

    async def read_footer(self, log_id: int, segment: int) -> Block | None:
        """The footer block, None when the segment has none (yet)."""
        ...

    def recover_segment(
        self,
        log_id: int,
        segment: int,
        persist: Persistence,
        *,
        first: int = 0,
        cut: bool = True,
        finished: bool = False,
    ) -> AsyncIterator[Block | Lost]:
        """The blocks from slot `first` to the first free one (or the footer, inclusive), in order,
        and in the place of those that cannot be read, though they were durable: that they are Lost.
        Where a lock keeps others out, `first` is 0.

        When exhausted, a torn tail has been cut: only the log's writer may do that, others say
        `cut=False`. `finished`: there was a footer, for later segments exist. Reads go through
        `persist`. A footer that is there and cannot be read comes last, as Lost.
        """
        ...

    def follow(self, log_id: int, segment: int) -> SegmentTail:
        """A segment that another process may be writing, from its first block on."""
        ...

    async def noted_end(self, log_id: int) -> EndNote | None:
        """How far the newest segment was durable, at least; None where nobody notes it."""
        ...

    async def delete_segment(self, log_id: int, segment: int, keep: Collection[int] = ()) -> None:
        """Remove a segment and everything in it, durably; a missing one is fine.

        `keep` names slots that stay, where blocks are objects.
        """
        ...

    async def close(self) -> None:
        """Release threads, files and locks."""
        ...
