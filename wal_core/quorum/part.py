"""A segment of the tail, as its owner knows it: what is to be where, and who has it."""

from __future__ import annotations

import asyncio

from wal_core.errors import WalError
from wal_core.format.logstore_records import Final
from wal_core.quorum.members import ACKS_COUNT, Ensemble, Member, parse_ensemble
from wal_core.stores.segments.base import Told
from wal_core.types import Buffer

WINDOW_BYTES_MAX = 64 * 1024 * 1024
"""Of blocks that are confirmed and kept for the slowest logstore. Who is further behind gets them
from the others."""


class Part:
    """Blocks from `window_start` on are in memory, those before on two logstores at least."""

    def __init__(self, number: int, ensemble: Ensemble, count: int = 0) -> None:
        self.number = number
        self.ensemble = ensemble
        self.decided_count = self.window_start = count  # of blocks found by who opened the log
        self.count = count  # of blocks that belong to it
        self.blocks: dict[int, bytes] = {}
        self.ends: dict[Member, int] = {}
        self.ended: set[Member] = set()  # who has taken the final
        self.final: Final | None = None
        self.confirmed_count = 0
        self.error: WalError | None = None
        self._window_bytes = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._told: dict[int, Told] = {}
        self._chosen: asyncio.Future[None] | None = None

    @property
    def is_chosen(self) -> bool:
        """Its final is."""
        return len(self.ended) >= ACKS_COUNT

    @property
    def readable_count(self) -> int:
        """Blocks that count: confirmed, or decided on by who opened the log."""
        return max(self.confirmed_count, self.decided_count)

    @property
    def footer(self) -> Buffer:
        """The footer block."""
        assert self.final is not None
        return parse_ensemble(self.final.footer)[1]

    # -- what its writer says --------------------------------------------------------------

    def add(self, number: int, stored: bytes) -> asyncio.Future[None]:
        """A block; the result is shared by all who ask for it, and done once it is confirmed."""
        future = self._waiting.get(number)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            if self.error is not None:
                future.set_exception(self.error)
                return future
            if number < self.confirmed_count:
                future.set_result(None)
                return future
            self._waiting[number] = future
            self._take(number, stored)
        return future

    def begin(self, number: int, stored: bytes, told: Told) -> bool:
        """As `add`, of a block nobody waits for: it calls `told`. False: of another one."""
        if self.error is not None or number < self.confirmed_count or number in self._told:
            return False
        self._told[number] = told
        self._take(number, stored)
        return True

    def _take(self, number: int, stored: bytes) -> None:
        if number >= self.window_start and number not in self.blocks:
            self.blocks[number] = stored
            self._window_bytes += len(stored)
            while self.count in self.blocks:
                self.count += 1

    def propose(self, final: Final) -> asyncio.Future[None]:
        """The same each time; done once it is chosen."""
        assert self.final in (None, final)
        assert final.end == self.count
        self.final = final
        if self._chosen is None or (self._chosen.done() and not self.is_chosen):
            self._chosen = asyncio.get_running_loop().create_future()
            if self.error is not None:
                self._chosen.set_exception(self.error)
        return self._chosen

    def fail(self, error: WalError) -> None:
        """Nothing of it will be confirmed any more."""
        self.error = error
        for future in (*self._waiting.values(), self._chosen):
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # seen: nobody need wait
        self._waiting.clear()
        told, self._told = self._told, {}
        for tell in told.values():
            tell(error)

    # -- what logstores say ----------------------------------------------------------------

    def heard(self, member: Member, end: int) -> None:
        """So many blocks are on the disk of a member. Confirmed is the second highest end."""
        if end <= self.ends.get(member, 0):
            return
        self.ends[member] = end
        ends = sorted(self.ends.get(member, 0) for member in self.ensemble)
        confirmed = min(ends[-ACKS_COUNT], self.count)
        before, self.confirmed_count = self.confirmed_count, max(self.confirmed_count, confirmed)
        self._forget_blocks(ends[0])
        for number in range(before, confirmed):
            future = self._waiting.pop(number, None)
            if future is not None and not future.done():
                future.set_result(None)
            # Last of all: who is told so may begin the next block at once.
            told = self._told.pop(number, None)
            if told is not None:
                told(None)

    def took_final(self, member: Member) -> None:
        """It is on the disk of a member."""
        self.ended.add(member)
        if self.is_chosen and self._chosen is not None and not self._chosen.done():
            self._chosen.set_result(None)

    def _forget_blocks(self, everywhere: int) -> None:
        """Those that all have, and for want of room those that two have."""
        while self.window_start < self.confirmed_count and (
            self.window_start < everywhere or self._window_bytes > WINDOW_BYTES_MAX
        ):
            self._window_bytes -= len(self.blocks.pop(self.window_start))
            self.window_start += 1
