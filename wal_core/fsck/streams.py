"""Whether the offsets of every stream follow each other, over all segments."""

from __future__ import annotations

from collections.abc import Collection

from wal_core.fsck.findings import Kind, Report


class StreamCheck:
    """Fed with runs in log order.

    Only streams are looked at that the newest table knows. One that the newest index does not know
    any more, although it had records before, was dropped in between: what is left of it does not
    count.
    """

    def __init__(self, starts: dict[int, int], report: Report) -> None:
        self._starts = starts
        self._report = report
        self._ends: dict[int, int] = {}
        self._perhaps_dropped: set[int] = set()
        self._dropped: set[int] = set()

    def sealed(self, alive: Collection[int]) -> None:
        """All sealed segments are through; `alive` are the streams of the newest."""
        for stream_id in [*self._starts]:
            if stream_id in alive:
                continue
            if stream_id in self._ends:
                self._drop(stream_id)
            else:
                self._perhaps_dropped.add(stream_id)

    def run(
        self, stream_id: int, first_offset: int, end_offset: int, place: str, *, known: bool = True
    ) -> None:
        """The next records of a stream; not `known`: it may be newer than every table."""
        if not known and stream_id not in self._dropped:
            self._starts.setdefault(stream_id, 0)
        start = self._starts.get(stream_id)
        expected = self._ends.get(stream_id)
        if start is None:
            return
        if expected is None and stream_id in self._perhaps_dropped and first_offset > 0:
            self._drop(stream_id)
            return
        # Below the start records may be missing, and at first they may begin there.
        wanted = start if expected is None else max(start, expected)
        if first_offset > wanted:
            self._gap(stream_id, wanted, first_offset, place)
        elif expected is not None and first_offset < expected:
            last = min(expected, end_offset) - 1
            text = f"offsets {first_offset} to {last} are there twice, again in {place}"
            self._report.add(Kind.OVERLAP, f"stream {stream_id}", text)
        self._ends[stream_id] = max(end_offset, expected or 0)

    def end(self, stream_id: int, end_offset: int, place: str) -> None:
        """What a segment's table says is the stream's end behind that segment."""
        start, known = self._starts.get(stream_id), self._ends.get(stream_id)
        if start is None or end_offset <= start:
            return
        if known is None and stream_id in self._perhaps_dropped:
            self._drop(stream_id)
        elif known is None or known < end_offset:
            self._gap(stream_id, max(start, known or 0), end_offset, place)
            self._ends[stream_id] = end_offset

    def _drop(self, stream_id: int) -> None:
        del self._starts[stream_id]
        self._dropped.add(stream_id)

    def _gap(self, stream_id: int, first: int, end: int, place: str) -> None:
        text = f"offsets {first} to {end - 1} are nowhere; {place} says they are before its end"
        self._report.add(Kind.GAP, f"stream {stream_id}", text)
