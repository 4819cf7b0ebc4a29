"""The versions of all that a log stores: what is written, and what is read. Source: FORMAT.md.

Whatever is stored says its own version. A program of version n reads n and n - 1, once there has
been an n - 1; what is older or newer it refuses in one sentence, whole: bytes of another version
are not damage, and nothing may be made anew, cut or passed over because of them.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from wal_core.errors import Invalid
from wal_core.types import Buffer

_OLDER_REMEDY = (
    "run the older version of it that wrote them, or start with an empty location "
    "and produce the records again from there"
)
_NEWER_REMEDY = "run the newer version of it that wrote them"


class Format(NamedTuple):
    """One kind of stored bytes."""

    what: str  # for people
    version: int  # that is written
    oldest: int  # that is read

    def check(self, found: int) -> None:
        """Raises Invalid for a version that this program does not read."""
        if self.oldest <= found <= self.version:
            return
        reads = str(self.version)
        if self.oldest < self.version:
            reads = f"{self.oldest} or {self.version}"
        remedy = _OLDER_REMEDY if found < self.oldest else _NEWER_REMEDY
        raise Invalid(
            f"{self.what} is of version {found}, this program reads version {reads}: {remedy}"
        )


class _Versioned(msgspec.Struct):
    version: int


_decoder = msgspec.json.Decoder(_Versioned)


def version_in(stored: Buffer, otherwise: int) -> int:
    """Of JSON that cannot be read as a whole; `otherwise` where there is no telling."""
    try:
        return _decoder.decode(stored).version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return otherwise


LOG = Format("the log", 3, 3)
"""Of everything together: in the marker."""
BLOCK = Format("a block", 3, 3)
FOOTER = Format("a footer", 1, 1)
SEALED_INDEX = Format("the index of a sealed segment", 2, 1)
MANIFEST = Format("a manifest", 1, 1)
PIECE = Format("a piece of the checkpoint", 1, 1)
END_NOTE = Format("the end note of a log", 1, 1)
LOCK_FILE = Format("the lock file of a log", 1, 1)
IDENTITY = Format("the identity of a logstore", 1, 1)
PROMISE = Format("a promise of a logstore", 1, 1)
FINAL = Format("a final of a logstore", 1, 1)
POINTER = Format("a pointer to the tail of a log", 1, 1)
HANDOVER = Format("a call for a handover", 1, 1)
"""Written only: whoever finds a call heeds it, whatever it says."""
