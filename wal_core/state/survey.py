"""What is still alive in a finished segment: the streams' starts against its tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from wal_core.errors import Corrupt
from wal_core.format.stream_tables import Run, StreamTables

Starts = Mapping[int, int]
"""Start offset of every live stream; a stream that is not in it was dropped."""


class LiveRun(NamedTuple):
    """A run of which at least the last record may still be read."""

    run: Run
    end_offset: int
    payload_bytes: int  # of the whole run, what is below the stream's start included


def live_runs(tables: StreamTables, starts: Starts) -> dict[int, list[LiveRun]]:
    """By number of their block, blocks in order."""
    found: dict[int, list[LiveRun]] = {}
    for live in runs_with_ends(tables):
        start = starts.get(live.run.stream_id)
        if start is not None and live.end_offset > start:
            found.setdefault(live.run.block, []).append(live)
    return dict(sorted(found.items()))


def runs_with_ends(tables: StreamTables) -> Iterator[LiveRun]:
    """Every run: it ends where the stream's next one begins, or where the stream ended."""
    before: Run | None = None
    for run in tables.all_runs():
        if before is not None:
            yield _ended(tables, before, run)
        before = run
    if before is not None:
        yield _ended(tables, before, None)


def _ended(tables: StreamTables, run: Run, following: Run | None) -> LiveRun:
    if following is not None and following.stream_id == run.stream_id:
        return LiveRun(run, following.first_offset, following.bytes_before - run.bytes_before)
    row = tables.stream(run.stream_id)
    if row is None:
        raise Corrupt(f"stream {run.stream_id} has runs, but no row")
    return LiveRun(run, row.end_offset, row.payload_bytes - run.bytes_before)
