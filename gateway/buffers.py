"""Memory for requests: blocks for large frames, and the budget that all connections share.

A frame is received into memory of its own and never copied again: its record bytes stay a view of
it until the last reader is done (DESIGN section 3). A block comes back into use when nobody looks
at it any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

BLOCK_BYTES_MIN = 128 * 1024
REUSE_TRIES_COUNT = 4


class BlockPool:
    """Blocks of power-of-two sizes. Reusing one saves the kernel zeroing its pages again.

    Keeps at most `kept_bytes_max` of blocks in sight; one that is dropped is freed by its last
    viewer.
    """

    def __init__(self, kept_bytes_max: int) -> None:
        self._kept_bytes_max = kept_bytes_max
        self._kept_bytes = 0
        # Oldest first: the one most likely to be out of use. Blocks still in use are in here as
        # well.
        self._kept: dict[int, deque[bytearray]] = {}

    def take(self, size_bytes: int) -> bytearray:
        """A block of at least `size_bytes` that nobody else looks at; its content is undefined."""
        block_bytes = max(BLOCK_BYTES_MIN, 1 << (size_bytes - 1).bit_length())
        kept = self._kept.setdefault(block_bytes, deque())
        for _ in range(min(REUSE_TRIES_COUNT, len(kept))):
            block = kept.popleft()
            kept.append(block)
            if _is_unwatched(block):
                return block
        block = bytearray(block_bytes)
        if self._kept_bytes + block_bytes <= self._kept_bytes_max:
            kept.append(block)
            self._kept_bytes += block_bytes
        return block


def _is_unwatched(block: bytearray) -> bool:
    """Whether no memoryview looks at `block`: a bytearray that is watched refuses to change
    size.
    """
    try:
        block.append(0)
    except BufferError:
        return False
    block.pop()
    return True


class ByteBudget:
    """Bytes of requests that are read and not yet done, over all connections.

    A large frame is admitted as a whole before it is received, so that those admitted can always
    finish; `take` never refuses: what has arrived has arrived. Past the limit the taker must stop
    reading; it is called back when there is room again, in the order of asking. Who needs much is
    not overtaken by those who need little, or it might wait for ever.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_calling = False  # the first of those who wait has its turn
        self._asked_again = False

    def admit(self, count_bytes: int) -> bool:
        """Take the bytes if they fit, or if nothing else is in use, and nobody waited before."""
        if self._waiting and not self._is_calling:
            return False
        if self.used_bytes and self.used_bytes + count_bytes > self.limit_bytes:
            return False
        self.used_bytes += count_bytes
        return True

    def take(self, count_bytes: int) -> None:
        self.used_bytes += count_bytes

    def give_back(self, count_bytes: int) -> None:
        self.used_bytes -= count_bytes
        assert self.used_bytes >= 0
        if self._is_calling:
            self._asked_again = False  # by the one that is called: the loop below goes on
            return
        while self._waiting and not self.is_exceeded:
            self._asked_again = False
            self._is_calling = True
            try:
                self._waiting.popleft()()
            finally:
                self._is_calling = False
            if self._asked_again:
                break

    @property
    def is_exceeded(self) -> bool:
        return self.used_bytes > self.limit_bytes

    def call_when_free(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when there is room. It may ask again and keeps its place then."""
        if self._is_calling:
            self._asked_again = True
            self._waiting.appendleft(callback)
        else:
            self._waiting.append(callback)

    def forget(self, callback: Callable[[], None]) -> None:
        if callback in self._waiting:
            self._waiting.remove(callback)
