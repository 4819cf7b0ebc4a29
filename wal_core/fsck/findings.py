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
    ORPHAN = "orphan"  # there, but nothing names it: costs space and nothing else
    STRAGGLER = "straggler"  # of a writer that was fenced: never acknowledged, never read


HARMLESS = frozenset({Kind.STRAGGLER})
"""What an orderly takeover leaves behind; compaction removes it."""


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    kind: Kind
    place: str  # object key, or stream
    text: str


@dataclasses.dataclass(slots=True)
class Report:
    """All findings about a log, and what was looked at."""

    findings: list[Finding] = dataclasses.field(default_factory=list)
    objects_count: int = 0
    bytes_count: int = 0
    sealed_count: int = 0
    completed_count: int = 0
    blocks_read_count: int = 0
    streams_count: int = 0
    garbage_count: int = 0  # objects that wait for their deletion

    def add(self, kind: Kind, place: str, text: str) -> None:
        self.findings.append(Finding(kind, place, text))

    @property
    def sound(self) -> bool:
        """Nothing was found but what is harmless."""
        return all(finding.kind in HARMLESS for finding in self.findings)
