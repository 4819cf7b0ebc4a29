"""What a writer or a reader asks of a logstore, wherever that is: here, or behind a connection.

`logstore.Logstore` is one by itself. Whoever puts a wire between keeps the shapes, the errors and
the order of the calls. A reply that does not come in time is Unavailable, and so is one over a
connection that breaks: what was asked may have been done, or may be done later. All of it may be
repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from wal_core.errors import Fenced, Unavailable, WalError
from wal_core.format.logstore_records import Final
from wal_core.types import Buffer


class Asker(NamedTuple):
    """Who asks for something, about which log under which birth. Of a reader without a promise,
    term and nonce say nothing."""

    log_id: int
    birth: bytes
    term: int
    nonce: bytes


class Tail(NamedTuple):
    """How much of a segment is held."""

    segment: int
    end: int  # number of blocks, all on the disk
    final: Final | None


class Promised(Fenced):
    """The logstore has promised the log to somebody else."""

    def __init__(self, message: str, *, log_id: int, term: int) -> None:
        super().__init__(message, log_id=log_id)
        self.term = term
        """To whom: a higher one is needed."""


class Unknown(Unavailable):
    """The logstore does not know the log under that birth, and never will again: it lost what it
    had, or never had it. It counts as no reply at all. It may `join`, under another birth."""

    retriable = False


T = TypeVar("T")

Told: TypeAlias = Callable[[int | WalError], None]
"""What came of a block: what `Replica.append` returns or raises."""


def tell(future: asyncio.Future[T], reply: T | WalError) -> None:
    """Whoever waits for it, if anybody does."""
    if future.done():
        return
    if isinstance(reply, WalError):
        future.set_exception(reply)
    else:
        future.set_result(reply)


class Replica(Protocol):
    """Also raises NoRoom, for a block that does not fit until others were forgotten; Invalid, for
    what can never be taken; Corrupt, for what was damaged on its way or on the disk; and
    Unavailable, for all that may pass.

    Many calls may be under way at once. Those of one task take effect in the order in which they
    were made, as long as none of them is Unavailable.
    """

    async def join(self, log_id: int, term: int, nonce: bytes) -> bytes:
        """Keep this log from now on, promised to who asks; returns its birth here. A log that is
        known keeps its birth. Raises Promised as `promise` does."""
        ...

    async def promise(self, asker: Asker) -> list[Tail]:
        """Take nothing from anybody of a lower term any more; tells all that is held, as one act.
        Raises Promised for who has no higher term than the last, unless it is the same; Unknown."""
        ...

    async def look(self, asker: Asker) -> list[Tail]:
        """What is confirmed of all segments, and their finals, which need not have been chosen; for
        readers, who have no promise. Raises Unknown."""
        ...

    async def append(self, asker: Asker, stored: Buffer) -> int:
        """Take a whole data block; returns how many of its segment are on the disk now, which are
        fewer if one before it is missing. May be repeated. The bytes must not change until it
        returns. Raises Promised, Unknown, NoRoom, Invalid for a block that differs from the one
        there."""
        ...

    def begin_append(self, asker: Asker, stored: Buffer, told: Told) -> None:
        """As `append`, for who has no task to wait in: `told` is called in another turn of the
        loop. Raises what is known at once; Unavailable as well where something had to be waited for
        first."""
        ...

    async def confirm(self, asker: Asker, segment: int, count: int) -> None:
        """So many blocks of a segment are confirmed: what an idle writer says, who sends no block
        that would. Raises Promised, Unknown."""
        ...

    async def end(self, asker: Asker, final: Final) -> None:
        """Take a segment's final. May be repeated. Raises Unavailable for one with more blocks
        before it than are there, Promised, Unknown."""
        ...

    async def forget(self, asker: Asker, before: int) -> None:
        """Remove the segments before that one, which the bucket has. Raises Promised, Unknown."""
        ...

    async def read(
        self, asker: Asker, segment: int, first: int, bytes_max: int, *, recovering: bool = False
    ) -> bytes:
        """Whole blocks from that one on, one at least if there is any: of those that are confirmed,
        or lie before a final, which counts for who knows that it was chosen; of all for who
        recovers the log with a promise, which others need not have. Raises Unknown, and Promised
        while recovering."""
        ...
