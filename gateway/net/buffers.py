"""Memory for requests: blocks for large frames, and the budget that all connections share.

A frame is received into memory of its own and never copied again: its record bytes stay a view of
it until the last reader is done. A block comes back into use when nobody looks
at it any more.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import deque
from collections.abc import Callable

# A cached batch holds its whole block: with powers of two from here on, at most twice its frame.
BLOCK_BYTES_MIN = 64 * 1024
REUSE_TRIES_COUNT = 4
CALLED_AT_ONCE_COUNT = 32  # of those who wait for room: some milliseconds, as in frame_lanes


class BlockPool:
    """Blocks of power-of-two sizes, mapped from the system.

    A fresh block costs memory only as far as it is written to, so that a client's announcement
    alone costs nothing. Reusing one saves the kernel finding and zeroing its pages again. Keeps at
    most `kept_bytes_max` of blocks in sight; one that is dropped is freed by its last viewer.
    """

    def __init__(self, kept_bytes_max: int) -> None:
        self._kept_bytes_max = kept_bytes_max
        self._kept_bytes = 0
        # Oldest first: the one most likely to be out of use. Blocks still in use are in here too.
        self._kept: dict[int, deque[mmap.mmap]] = {}
        self._taken: set[int] = set()  # ids of those handed out since the last trim

    def take(self, size_bytes: int) -> mmap.mmap:
        """A block of at least `size_bytes` that nobody else looks at; its content is undefined."""
        block_bytes = max(BLOCK_BYTES_MIN, 1 << (size_bytes - 1).bit_length())
        kept = self._kept.setdefault(block_bytes, deque())
        for _ in range(min(REUSE_TRIES_COUNT, len(kept))):
            block = kept.popleft()
            kept.append(block)
            if _is_unwatched(block):
                self._taken.add(id(block))
                return block
        block = mmap.mmap(-1, block_bytes)
        if self._kept_bytes + block_bytes <= self._kept_bytes_max and _is_unwatched(block):
            kept.append(block)
            self._kept_bytes += block_bytes
            self._taken.add(id(block))
        return block

    def trim(self) -> bool:
        """Free what nobody looks at and nobody was given since the last call; whether another call
        would find something to free.
        """
        is_more_due = False
        for block_bytes, kept in self._kept.items():
            for _ in range(len(kept)):
                block = kept.popleft()
                is_idle = _is_unwatched(block)
                if is_idle and id(block) not in self._taken:
                    self._kept_bytes -= block_bytes
                    continue
                is_more_due |= is_idle
                kept.append(block)
        self._taken.clear()
        return is_more_due


def _is_unwatched(block: mmap.mmap) -> bool:
    """Whether no memoryview looks at `block`: one that is watched refuses to change its size, even
    to the same. Counting references would say it too, but not in every Python: from 3.14 on, some
    of our own are borrowed and not counted.
    """
    try:
        block.resize(len(block))
    except BufferError:
        return False
    except (AttributeError, OSError, SystemError, ValueError):
        return False  # a system that cannot change sizes: no block is kept there
    return True


class ByteBudget:
    """Bytes of requests that are read and not yet done, over all connections.

    `take` never refuses: what has arrived has arrived. While the budget is exceeded nothing more is
    read, but for one connection at a time that is inside a frame: the finisher. It brings the rest
    of its frame and passes the role to the request, which keeps it until it is done: so memory held
    by frames that are not whole always comes back, one frame after another. Connections that wait
    are called in the order of asking, some in each turn of the loop.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._finisher: object | None = None
        self._is_calling = False
        self._is_turning = False  # the next turn of the loop goes on with calling
        self._due_count = 0  # of those who wait, who have not been called yet

    @property
    def is_exceeded(self) -> bool:
        return self.used_bytes > self.limit_bytes

    def take(self, count_bytes: int) -> None:
        self.used_bytes += count_bytes

    def give_back(self, count_bytes: int) -> None:
        self.used_bytes -= count_bytes
        assert self.used_bytes >= 0
        self._call_waiting()

    def may_finish(self, connection: object) -> bool:
        """Whether `connection`, inside a frame, may read on though the budget is exceeded."""
        if self._finisher is None:
            self._finisher = connection
        return self._finisher is connection

    def is_finisher(self, connection: object) -> bool:
        return self._finisher is connection

    def hand_over(self, connection: object, request: object) -> None:
        """The frame of `connection` is whole: if it was its turn, it is now the request's."""
        if self._finisher is connection:
            self._finisher = request

    def has_finished(self, finisher: object) -> None:
        """It is done, or cannot go on: the next may. Whoever is not the finisher may say it too."""
        if self._finisher is finisher:
            self._finisher = None
            self._call_waiting()

    def call_when_free(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when there may be room. It asks again if there is none for it."""
        self._waiting.append(callback)

    def forget(self, callback: Callable[[], None]) -> None:
        if callback in self._waiting:
            self._waiting.remove(callback)

    def _call_waiting(self) -> None:
        if self._is_calling:
            return  # by one that is called: the loop below goes on
        # Those who ask again go to the end of the line and are not called twice.
        self._due_count = len(self._waiting)
        if not self._is_turning:
            self._call_some()

    def _call_some(self) -> None:
        self._is_turning = False
        self._is_calling = True
        try:
            for _ in range(CALLED_AT_ONCE_COUNT):
                if not self._waiting or (self.is_exceeded and self._finisher is not None):
                    self._due_count = 0
                if not self._due_count:
                    return
                self._due_count -= 1
                self._waiting.popleft()()
        finally:
            self._is_calling = False
        if self._due_count:
            self._is_turning = True
            asyncio.get_running_loop().call_soon(self._call_some)
