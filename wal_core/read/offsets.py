"""Where an offset is, in what is sorted by offsets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from wal_core.format.stream_tables import Run
from wal_core.types import Entry


def run_of_offset(runs: Sequence[Run], offset: int) -> int:
    """Index of the run that holds `offset`, if any does; -1 when all begin behind it."""
    return bisect_right(runs, offset, key=lambda run: run.first_offset) - 1


def entry_of_offset(entries: Sequence[Entry], offset: int) -> int:
    """Index of the entry that holds `offset`; -1 if none does."""
    at = bisect_right(entries, offset, key=lambda entry: entry.base_offset) - 1
    return at if at >= 0 and offset < entries[at].end_offset else -1
