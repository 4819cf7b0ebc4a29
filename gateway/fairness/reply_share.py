"""One connection's part of the memory for replies.

- A fetch may read an eighth of what is free, less what its client is owed already: the more there
  are who do not read, the less each gets, and some is always left for others. And no client
  gets more than its *window*, which doubles when it asks again after a reply that filled it: what
  has left our memory may still lie in that of the system, but who asks again has read it.
- The first batch of a fetch comes whole: beyond that share it takes up to half of what is free, or
  waits for it, clients that are known to read before all others.
- Other requests whose replies may be large begin while anything is free.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.fairness.reply_budget import ReplyBudget

SHARE_DIVISOR = 8
WINDOW_BYTES_MIN = 1024 * 1024  # about what the peer's system takes for one that does not read
PRESSED_S = 5.0  # who has taken nothing for so long is let go when others need the memory
PRESSED_BYTES_MIN = 64 * 1024  # who is owed less does not help by going


class ReplyShare:
    """What one client is owed, and how well it takes it."""

    __slots__ = (
        "_let_go",
        "_since_s",
        "_taken_bytes",
        "_unsent",
        "_unsent_bytes",
        "_window_bytes",
        "_written_bytes",
        "budget",
        "held_bytes",
        "owed_bytes",
    )

    def __init__(
        self, budget: ReplyBudget, unsent: Callable[[], int], let_go: Callable[[], None]
    ) -> None:
        """`unsent` says how many bytes are in the transport; `let_go` ends the connection."""
        self.budget = budget
        self.held_bytes = 0  # of all its replies
        self.owed_bytes = 0  # of those that are done
        self._written_bytes = 0  # of those that are in the transport
        self._window_bytes = WINDOW_BYTES_MIN
        self._taken_bytes = 0  # the largest reply since it asked last
        self._unsent, self._let_go = unsent, let_go
        self._unsent_bytes = 0  # when it was looked at last
        self._since_s = 0.0  # nothing was taken since then

    @property
    def allowed_bytes(self) -> int:
        """What a fetch may read now."""
        most_bytes = min(self._window_bytes, self.budget.free_bytes // SHARE_DIVISOR)
        return most_bytes - self.held_bytes if most_bytes > self.held_bytes else 0

    def take(self, count_bytes: int) -> None:
        self.held_bytes += count_bytes
        self.budget.take(count_bytes)

    def give_back(self, count_bytes: int) -> None:
        self.held_bytes -= count_bytes
        self.budget.give_back(count_bytes)

    async def wait_for(self, count_bytes: int) -> bool:
        """Take so much once it fits; False when that took too long."""
        is_known = self._window_bytes > WINDOW_BYTES_MIN
        if not await self.budget.wait_for(count_bytes, line=0 if is_known else 1):
            return False
        self.held_bytes += count_bytes
        return True

    def asked(self) -> None:
        """A request came that no other was in front of: what was sent before has been read."""
        if 2 * self._taken_bytes > self._window_bytes:
            self._window_bytes = min(2 * self._window_bytes, self.budget.limit_bytes)
        self._taken_bytes = 0

    def owes(self, count_bytes: int) -> None:
        """A reply is done."""
        if not self.owed_bytes:
            self._since_s = asyncio.get_running_loop().time()
            self._unsent_bytes = 0
        self.owed_bytes += count_bytes

    def wrote(self, count_bytes: int) -> None:
        """A reply was handed to the transport, which could not send all of it at once."""
        self._written_bytes += count_bytes
        self._unsent_bytes = self._unsent()

    def taken(self, count_bytes: int) -> None:
        """A reply has left."""
        self._taken_bytes = max(self._taken_bytes, count_bytes)
        self._gone(count_bytes)

    def all_taken(self) -> None:
        """The transport is empty."""
        count_bytes, self._written_bytes = self._written_bytes, 0
        self.taken(count_bytes)

    def lost(self) -> None:
        """The connection is gone, and what it was to send with it."""
        self.budget.shares.pop(self, None)
        self._unsent, self._let_go = _nothing_unsent, _nobody_left
        count_bytes, self._written_bytes = self._written_bytes, 0
        self._gone(count_bytes)

    def _gone(self, count_bytes: int) -> None:
        if count_bytes:
            self._since_s = asyncio.get_running_loop().time()
            self.owed_bytes -= count_bytes
            self.give_back(count_bytes)

    def press(self) -> None:
        """Others need the memory: let the client go if it does not take what it is owed."""
        if self.owed_bytes < PRESSED_BYTES_MIN:
            return
        now_s, unsent_bytes = asyncio.get_running_loop().time(), self._unsent()
        if unsent_bytes < self._unsent_bytes:
            self._since_s = now_s
        self._unsent_bytes = unsent_bytes
        if now_s - self._since_s >= PRESSED_S:
            self._let_go()


def _nothing_unsent() -> int:
    """Of a connection that has gone."""
    return 0


def _nobody_left() -> None:
    """Its connection has gone, and neither keeps the other."""


class ReplyRoom:
    """What one reply takes of its connection's share."""

    __slots__ = ("_is_done", "_share", "count_bytes")

    def __init__(self, share: ReplyShare) -> None:
        self._share = share
        self.count_bytes = 0
        self._is_done = False

    @property
    def allowed_bytes(self) -> int:
        return self._share.allowed_bytes

    def fits(self, count_bytes: int) -> bool:
        """Whether a batch that is larger than allowed may come nevertheless."""
        return self._share.budget.fits(count_bytes)

    @contextlib.contextmanager
    def reserved(self, count_bytes: int) -> Iterator[None]:
        """Take so much at least, while that is being read."""
        before_bytes = self.count_bytes
        self.become(max(before_bytes, count_bytes))
        try:
            yield
        finally:
            self.become(before_bytes)

    def become(self, count_bytes: int) -> None:
        """Take so much, and give back what was taken beyond it."""
        more_bytes = count_bytes - self.count_bytes
        self.count_bytes = count_bytes
        if more_bytes > 0:
            self._share.take(more_bytes)
        elif more_bytes < 0:
            self._share.give_back(-more_bytes)

    async def wait_for(self, count_bytes: int) -> bool:
        """Take so much once it fits; False when that took too long."""
        if not await self._share.wait_for(count_bytes):
            return False
        self.count_bytes += count_bytes
        return True

    @property
    def may_begin_now(self) -> bool:
        """Whether anything is free."""
        return self._share.budget.free_bytes > 0

    async def may_begin(self) -> bool:
        """True once anything is free; False when that took too long."""
        return self.may_begin_now or await self.wait_for(1)

    def done(self, count_bytes: int) -> None:
        """The reply is whole and so large."""
        self.become(count_bytes)
        self._is_done = True
        self._share.owes(count_bytes)

    def sent(self, unsent_bytes: int) -> None:
        """The reply, which is done, was handed to a transport that could not yet send so much."""
        count_bytes, self.count_bytes = self.count_bytes, 0
        if unsent_bytes:
            self._share.wrote(count_bytes)
        else:
            self._share.taken(count_bytes)

    def close(self) -> None:
        """It will not be sent."""
        if self._is_done:
            self._share.owed_bytes -= self.count_bytes
        self.become(0)
