"""The seam between a log and where its blocks live: one writer, any number of stores.

A segment is a row of numbered slots; a slot takes one block and never changes afterwards. Data
blocks fill the slots densely from 0, the footer takes the one behind the last. Everything the log
promises rests on two properties of a store: an append that returned is durable, and a slot that
somebody else filled is never overwritten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from wal_core.block_format import Block
from wal_core.config import Mode
from wal_core.persistence import Persistence
from wal_core.types import Buffer


class Slot(NamedTuple):
    """The place of one block."""

    log_id: int
    segment: int
    block: int
    position: int  # bytes before it in the segment; stores of whole objects ignore it


class SegmentStore(Protocol):
    """Implementations pass tests/segment_store_contract.py. Errors: see wal_core.errors;
    whatever may pass is Unavailable. A block read is verified, or Corrupt is raised."""

    mode: Mode
    location: str  # for error messages
    locks: bool
    """True: `lock` keeps every other writer out. False: whoever fills a slot first owns it, and
    taking over means filling the next slot oneself."""

    async def lock(self, log_id: int) -> int:
        """Become the only writer where the store can promise that (else nothing happens).

        Returns the highest term noted, 0 for none. Raises Unavailable naming the holder's place.
        """
        ...

    async def note_term(self, log_id: int, term: int) -> None:
        """Remember a term nobody has written under yet; a store without locks need not."""
        ...

    async def unlock(self, log_id: int) -> None:
        """Let others write. Appends still in flight are waited for first."""
        ...

    async def segments(self, log_id: int) -> list[int]:
        """Numbers of all segments, ascending."""
        ...

    async def append(self, slot: Slot, pieces: Sequence[Buffer], *, final: bool) -> None:
        """Fill a slot; durable on return. `final`: this is the footer.

        The same call may be repeated after any error or cancellation and has one effect in all:
        an own earlier success is recognised. The pieces must not change until the segment is
        done with them, which may be later than an error. Raises Fenced when the slot is another
        writer's, Unavailable when a repetition may succeed.
        """
        ...

    async def read_block(self, slot: Slot, length: int | None) -> Block:
        """The block in a slot; `length` in bytes if known. Corrupt when it is missing."""
        ...

    async def read_footer(self, log_id: int, segment: int) -> Block | None:
        """The footer block, None when the segment has none (yet)."""
        ...

    def recover_segment(
        self, log_id: int, segment: int, persist: Persistence
    ) -> AsyncIterator[Block]:
        """The blocks from slot 0 to the first free one (or the footer, inclusive), in order.

        When exhausted, a torn tail has been cut. Reads go through `persist`.
        Only the log's writer may call this.
        """
        ...

    async def delete_segment(self, log_id: int, segment: int) -> None:
        """Remove a segment and everything in it, durably; a missing one is fine."""
        ...

    async def close(self) -> None:
        """Release threads, files and locks."""
        ...
