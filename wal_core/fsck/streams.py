"""Whether the offsets of every stream follow each other, over all segments."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from wal_core.fsck.findings import Finding, Kind, LogReport, Records


class StreamCheck:
    """Fed with runs in log order.

    Only streams are looked at that the newest table knows. One that a sealed segment does not know
    any more, although it had records before, was dropped when that was written: what is left of it
    elsewhere does not count. Records that are missing behind something unreadable (`hole`) are put
    down to that; any others are a finding of their own.
    """

    def __init__(self, starts: dict[int, int], report: LogReport) -> None:
        self._starts = starts
        self._report = report
        self._ends: dict[int, int] = {}
        self._absent: set[int] = set()  # unknown to a sealed segment: dropped, or younger
        self._dropped: set[int] = set()
        self._holes: list[Finding] = []
        self._holes_before: dict[int, int] = {}  # how many there were when a stream was last seen

    def alive(self, known: Collection[int]) -> None:
        """The next sealed segment knows these streams; its runs follow."""
        for stream_id in [*self._starts]:
            if stream_id in known:
                continue
            if stream_id in self._ends:
                self._drop(stream_id)
            else:
                self._absent.add(stream_id)

    def hole(self, finding: Finding) -> None:
        """Here nobody knows what there was."""
        self._holes.append(finding)

    def run(
        self, stream_id: int, first_offset: int, end_offset: int, place: str, *, known: bool = True
    ) -> None:
        """The next records of a stream; not `known`: it may be newer than every table."""
        if not known and stream_id not in self._dropped:
            self._starts.setdefault(stream_id, 0)
        start = self._starts.get(stream_id)
        if start is None:
            return
        expected = self._ends.get(stream_id)
        # Below the start records may be missing, and at first they may begin there.
        wanted = start if expected is None else max(start, expected)
        if first_offset > wanted:
            if not self._miss(Records(stream_id, wanted, first_offset), place):
                return
        elif expected is not None and first_offset < expected:
            finding = self._report.add(Kind.OVERLAP, place, "holds records that are there already")
            twice_end = min(expected, end_offset)
            finding.records.append(Records(stream_id, first_offset, twice_end))
        self._saw(stream_id, max(end_offset, expected or 0))

    def end(self, stream_id: int, end_offset: int, place: str) -> None:
        """What a table says is the stream's end behind its segment."""
        start = self._starts.get(stream_id)
        if start is None or end_offset <= start:
            return
        known = max(start, self._ends.get(stream_id, 0))
        if known < end_offset:
            if self._miss(Records(stream_id, known, end_offset), place):
                self._saw(stream_id, end_offset)
        elif known > end_offset:
            finding = self._report.add(Kind.OVERLAP, place, "says that streams end earlier")
            finding.records.append(Records(stream_id, end_offset, known))

    def readable(self, records: Iterable[Records]) -> list[Records]:
        """The part that clients could read, neighbours joined. Once everything is through."""
        joined: list[Records] = []
        for stream_id, first, end in sorted(records):
            start = self._starts.get(stream_id)
            if start is None or end <= start:
                continue
            last = joined[-1] if joined else None
            if last is not None and last.stream_id == stream_id and first <= last.end_offset:
                joined[-1] = last._replace(end_offset=max(end, last.end_offset))
            else:
                joined.append(Records(stream_id, max(first, start), end))
        return joined

    def streams(self) -> dict[int, Records]:
        """Every stream that is alive."""
        return {
            stream_id: Records(stream_id, start, max(start, self._ends.get(stream_id, 0)))
            for stream_id, start in sorted(self._starts.items())
        }

    def _saw(self, stream_id: int, end_offset: int) -> None:
        self._ends[stream_id] = end_offset
        self._holes_before[stream_id] = len(self._holes)

    def _miss(self, records: Records, place: str) -> bool:
        """Records that are nowhere; False when nobody misses them."""
        stream_id = records.stream_id
        if stream_id in self._absent:
            self._drop(stream_id)
            return False
        seen_count = self._holes_before.get(stream_id, 0)
        if seen_count < len(self._holes):
            self._holes[seen_count].records.append(records)
        else:
            text = "records before it, or in it, are nowhere"
            self._report.add(Kind.GAP, place, text).records.append(records)
        return True

    def _drop(self, stream_id: int) -> None:
        del self._starts[stream_id]
        self._dropped.add(stream_id)
