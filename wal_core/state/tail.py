"""The newest confirmed entries, kept in memory for readers at the end of the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from wal_core.budgets import SharedMemory
from wal_core.format.block import EncodedBlock, IndexRow
from wal_core.state.stream_tail import StreamTail
from wal_core.state.streams import Stream

ENTRY_OVERHEAD_BYTES = 48
BLOCK_OVERHEAD_BYTES = 96
"""What an entry and a block cost besides the payloads: their columns, the buffer's head, the
allocator's rounding (measured)."""


class Tail:
    """The newest confirmed blocks, the oldest evicted first, as far as the memory goes that is
    shared with other logs."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._owners: deque[StreamTail] = deque()  # of every entry
        self._counts: deque[int] = deque()  # of every block: its entries,
        self._sizes: deque[int] = deque()  # and its bytes
        self.bytes_count = 0
        memory.join(self)

    def add(self, block: EncodedBlock, rows: Sequence[IndexRow], owners: Sequence[Stream]) -> None:
        """Take over a confirmed block with these rows; `owners[i]` is the stream of its entry i."""
        size = BLOCK_OVERHEAD_BYTES + ENTRY_OVERHEAD_BYTES * len(owners) + block.data_bytes
        for row, holder, start, stream in zip(
            rows, block.holders, block.starts, owners, strict=True
        ):
            tail = stream.tail
            if tail is None:
                tail = stream.begin_tail(row[0])
            tail.append(row, holder, start)
            self._owners.append(tail)
        self._counts.append(len(owners))
        self._sizes.append(size)
        self.bytes_count += size
        self._memory.fit()

    def give_back(self) -> None:
        """See Holder: the oldest block."""
        self.bytes_count -= self._sizes.popleft()
        for _ in range(self._counts.popleft()):
            self._owners.popleft().evict_oldest()

    def close(self) -> None:
        """Nothing comes any more, and what is here counts for nobody."""
        self._memory.leave(self)
