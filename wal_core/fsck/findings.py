"""What a check can find, and what it means for the data."""

from __future__ import annotations

import dataclasses
import enum
from typing import NamedTuple


class Kind(enum.Enum):
    """The value is what people read."""

    MISSING = "missing"  # named, but not there: its records are lost
    DAMAGED = "damaged"  # there, but not what was written
    GAP = "gap"  # offsets or segments that nothing holds
    OVERLAP = "overlap"  # offsets or segments that two things hold
    DOOMED = "doomed"  # in use, and listed as garbage all the same: will be deleted
    ORPHAN = "orphan"  # there, but nothing names it: costs space and nothing else
    STRAGGLER = "straggler"  # of a writer that was fenced: never acknowledged, never read
    LOST = "lost"  # a table says so: known to be gone, refused to readers, in nobody's way
    LEFTOVER = "leftover"  # of a compaction that was cut short, or is at it


HARMLESS = frozenset({Kind.STRAGGLER, Kind.LEFTOVER, Kind.LOST})
"""What killed processes leave: compaction removes stragglers, the next opening leftovers. And what
is known to be lost: nothing can be done about it, and nothing more is lost by it."""


class Records(NamedTuple):
    """Some of a stream: offsets first .. end - 1."""

    stream_id: int
    first_offset: int
    end_offset: int


@dataclasses.dataclass(slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: Kind
    place: str  # key of an object, or of the part of the log that should be there
    text: str
    records: list[Records] = dataclasses.field(default_factory=list)
    """Those that cannot be read because of it; of an overlap: those that are there twice."""

    @property
    def harmless(self) -> bool:
        return self.kind in HARMLESS


@dataclasses.dataclass(slots=True)
class LogReport:
    """All findings about a log, and what was looked at."""

    log_id: int = 0
    findings: list[Finding] = dataclasses.field(default_factory=list)
    objects_count: int = 0
    bytes_count: int = 0
    judged: bool = False  # there was a manifest to go by; else only that it is missing is known
    manifest_number: int = -1
    sealed_count: int = 0
    completed_count: int = 0
    unfinished_count: int = 0  # 0 or 1: the segment that a writer writes, or did until it ended
    blocks_read_count: int = 0
    garbage_count: int = 0  # objects that wait for their deletion
    garbage_bytes: int = 0
    unjudged_count: int = 0  # objects that only a damaged index could tell from orphans
    streams: dict[int, Records] = dataclasses.field(default_factory=dict)
    """Of every stream that is alive: where it starts and ends."""

    def add(self, kind: Kind, place: str, text: str) -> Finding:
        """Something was found; more may be said of it later."""
        finding = Finding(kind, place, text)
        self.findings.append(finding)
        return finding

    @property
    def sound(self) -> bool:
        """Nothing was found but what is harmless."""
        return all(finding.harmless for finding in self.findings)
