"""The five things that can go wrong with a log, named for what the caller must do.

`retriable` says whether the very same call may succeed later without anybody's help.
"""

from __future__ import annotations

REMEDY = (
    "; `woodpecker-gateway fsck` tells what it costs, and with --repair what can be done; "
    "a copy of the data may have it"
)
"""Behind what is logged about damage."""


class WalError(Exception):
    """Base of every error this package raises on purpose; names the place when it is known."""

    retriable = False

    def __init__(
        self,
        message: str,
        *,
        log_id: int | None = None,
        segment: int | None = None,
        block: int | None = None,
    ) -> None:
        self.message = message
        self.log_id = log_id
        self.segment = segment
        self.block = block
        place = [
            f"{word} {number}"
            for word, number in (("log", log_id), ("segment", segment), ("block", block))
            if number is not None
        ]
        super().__init__(f"{message} ({', '.join(place)})" if place else message)


class Fenced(WalError):
    """Stop: the log has a newer writer, nothing this one appends can ever become durable."""


class Resigned(Fenced):
    """Nothing comes of the term any more, and nobody has the log instead: it has to be claimed."""


class Unavailable(WalError):
    """Try again later: the store does not answer, is locked or full, or a bound was reached."""

    retriable = True


class NoRoom(Unavailable):
    """The store is full, or nearly: it becomes available once something has been deleted."""


class Truncated(WalError):
    """Move forward: the offset lies below the start of the stream."""


class Corrupt(WalError):
    """Stop and report: stored bytes are not what was written. Never repaired silently."""


class Invalid(WalError):
    """The caller's mistake: a wrong argument, location or setting. Repeating it cannot help."""
