"""What a writer has on its hands: blocks that gather, blocks on their way, the end of a segment."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from wal_core.errors import Corrupt, WalError
from wal_core.format.block import HEADER_BYTES, EncodedBlock
from wal_core.format.places import Slot
from wal_core.state.streams import Stream
from wal_core.types import Entry


class Gathering:
    """A block that takes entries or waits for its turn."""

    __slots__ = ("bytes_count", "entries", "future", "owners", "since_s")

    def __init__(self, future: asyncio.Future[None], since_s: float) -> None:
        self.entries: list[Entry] = []
        self.owners: list[Stream] = []
        self.bytes_count = HEADER_BYTES  # as it will be stored
        self.future = future
        self.since_s = since_s


class Flight:
    """A block on its way to the store."""

    __slots__ = ("bytes_count", "durable", "encoded", "future", "number", "owners", "slot")

    def __init__(self, gathered: Gathering, slot: Slot, encoded: EncodedBlock) -> None:
        self.slot = slot
        self.encoded = encoded
        self.owners = gathered.owners
        self.future = gathered.future
        self.bytes_count = gathered.bytes_count
        self.durable = False


class Ending(NamedTuple):
    """What the footer of the active segment will say of the checkpoint."""

    changes: bytes
    start: int


def as_fatal(error: BaseException) -> WalError:
    """What stops a log is one of ours; anything else is a bug worth its traceback."""
    if isinstance(error, WalError):
        return error
    wrapped = Corrupt(f"the log stopped over an unexpected {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
