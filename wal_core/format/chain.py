"""The finished part of a log as a chain: sealed segments, then completed ones, without a gap.

The writer appends what it completes; compaction replaces a run of links by one; readers search.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from wal_core.errors import Corrupt


class Completed(NamedTuple):
    """A segment as its writer left it: blocks, then a footer."""

    segment: int

    @property
    def first(self) -> int:
        return self.segment

    @property
    def last(self) -> int:
        return self.segment


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What compaction made of the segments first..last. A row of a manifest, see FORMAT.md."""

    first: int
    last: int
    index: str  # key of the index object
    index_bytes: int
    live_bytes: int  # payload that was alive when it was written


Link: TypeAlias = Completed | Sealed


class Chain:
    """Links in order. A search works on the tuple it began with: links are replaced meanwhile."""

    def __init__(self, links: Iterable[Link] = ()) -> None:
        self.links = tuple(links)

    @property
    def last(self) -> int:
        """Number of the last finished segment, -1 when there is none."""
        return self.links[-1].last if self.links else -1

    @property
    def completed_count(self) -> int:
        return sum(isinstance(link, Completed) for link in self.links)

    def append(self, link: Link) -> None:
        """The next one. Numbers of segments that never held a block may be missing."""
        if link.first <= self.last:
            raise Corrupt(f"segment {link.first} comes after {self.last}", segment=link.first)
        self.links = (*self.links, link)

    def cover(self, sealed: Sequence[Sealed]) -> None:
        """All up to the last of these has been sealed, and these are what it was sealed into.
        Raises Corrupt if what follows them is not here."""
        covered = sealed[-1].last if sealed else -1
        behind = [link for link in self.links if link.first > covered]
        if not behind or behind[0].first != covered + 1:
            text = "segments behind the sealed ones are missing"
            raise Corrupt(text, segment=covered + 1)
        self.links = (*sealed, *behind)

    def replace(self, run: Sequence[Link], by: Sealed) -> None:
        """Put one sealed segment in the place of a run of links, which must be here."""
        at = self.links.index(run[0])
        assert self.links[at : at + len(run)] == tuple(run)
        self.links = (*self.links[:at], by, *self.links[at + len(run) :])
