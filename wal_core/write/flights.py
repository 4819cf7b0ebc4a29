"""What a writer has on its hands: blocks that gather and wait, blocks on their way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from wal_core.errors import Corrupt, WalError
from wal_core.format.block import HEADER_BYTES, EncodedBlock, KnownCrc
from wal_core.format.places import Slot
from wal_core.state.streams import Stream
from wal_core.types import EntryFields


class Gathering:
    """A block that takes entries or waits for its turn."""

    __slots__ = ("bytes_count", "crcs", "entries", "future", "owners", "since_s")

    def __init__(self, future: asyncio.Future[None], since_s: float) -> None:
        self.entries: list[EntryFields] = []
        self.crcs: dict[int, KnownCrc] = {}  # by number of the entry, where one is known
        self.owners: list[Stream] = []
        self.bytes_count = HEADER_BYTES  # as it will be stored
        self.future = future
        self.since_s = since_s


class Waiting:
    """Blocks that have not begun their way: the full ones in order, then the open one, if any."""

    __slots__ = ("_full", "open")

    def __init__(self) -> None:
        self._full: deque[Gathering] = deque()
        self.open: Gathering | None = None  # takes entries; set here alone

    @property
    def first(self) -> Gathering | None:
        return self._full[0] if self._full else self.open

    @property
    def last(self) -> Gathering | None:
        return self.open or (self._full[-1] if self._full else None)

    @property
    def has_full(self) -> bool:
        return bool(self._full)

    @property
    def count(self) -> int:
        return len(self._full) + (self.open is not None)

    @property
    def bytes_count(self) -> int:
        return sum(block.bytes_count for block in self)

    def __bool__(self) -> bool:
        return self.open is not None or bool(self._full)

    def __iter__(self) -> Iterator[Gathering]:
        yield from self._full
        if self.open is not None:
            yield self.open

    def begin(self, block: Gathering) -> None:
        """From now on this one takes entries."""
        self.close_open()
        self.open = block

    def close_open(self) -> None:
        """The open one takes no more."""
        if self.open is not None:
            self._full.append(self.open)
            self.open = None

    def pop(self) -> Gathering:
        """The first one begins its way."""
        if self._full:
            return self._full.popleft()
        block, self.open = self.open, None
        assert block is not None
        return block


class Flight:
    """A block on its way to the store."""

    __slots__ = (
        "bytes_count",
        "durable",
        "encoded",
        "future",
        "owners",
        "since_s",
        "slot",
        "timer",
    )

    def __init__(self, gathered: Gathering, slot: Slot, encoded: EncodedBlock) -> None:
        self.slot = slot
        self.encoded = encoded
        self.owners = gathered.owners
        self.future = gathered.future
        self.bytes_count = gathered.bytes_count
        self.since_s = gathered.since_s
        self.durable = False
        self.timer: asyncio.TimerHandle | None = None  # while no task waits for it


def as_fatal(error: BaseException) -> WalError:
    """What stops a log is one of ours; anything else is a bug worth its traceback."""
    if isinstance(error, WalError):
        return error
    wrapped = Corrupt(f"the log stopped over an unexpected {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
