"""A finished segment, sealed or not: do its blocks hold what its tables say?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from wal_core.errors import Corrupt
from wal_core.format.footer import Footer
from wal_core.format.places import Place
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.stream_tables import StreamTables, with_maxima
from wal_core.fsck.contents import disagreement
from wal_core.fsck.findings import Finding, Kind, Records
from wal_core.fsck.look import Look
from wal_core.fsck.reading import Problem
from wal_core.fsck.writers import STRANGER, Writers
from wal_core.state.survey import LiveRun, runs_with_ends

_SEGMENT_FILE = ".seg"


class TableCheck:
    """Of one segment; `name` is the key of its tables."""

    def __init__(self, look: Look, tables: Footer | SealedIndex, name: str) -> None:
        self._look = look
        self._tables = tables
        self._name = name
        self._runs: dict[int, list[LiveRun]] = {}
        self._bad: dict[str, Finding] = {}

    async def run(self, segment: int) -> None:
        """`segment` is the last one that the tables stand for."""
        try:
            places = self._places(segment)
            for live in runs_with_ends(self._tables):
                self._runs.setdefault(live.run.block, []).append(live)
        except Corrupt as error:
            self._look.hole(Kind.DAMAGED, self._name, error.message)
            return
        self._look.inventory.name(self._name, *(place.key for place in places))
        self._feed()
        self._tell_lost(places)
        sizes = self._sizes(places)
        readable = []
        for number, place in enumerate(places):
            if place.length and await self._is_there(place, sizes[place.key], number):
                readable.append(place)
        if self._look.deep:
            await self._read(readable, {place: number for number, place in enumerate(places)})

    def _tell_lost(self, places: Sequence[Place]) -> None:
        """What the tables themselves say is gone."""
        blocks = [number for number, place in enumerate(places) if not place.length]
        rows = [row for number in blocks for row in self._records(number)]
        if rows:
            finding = self._look.report.add(Kind.LOST, self._name, "its table says what is gone")
            finding.records.extend(rows)
        elif blocks:
            text = f"its table says that {len(blocks)} blocks are gone, and not what was in them"
            self._look.report.add(Kind.LOST, self._name, text)

    def _places(self, segment: int) -> list[Place]:
        tables = self._tables
        if isinstance(tables, SealedIndex):
            self._look.inventory.name(*(row.key for row in tables.objects))
            return [tables.place(number) for number in range(tables.block_count)]
        extents = map(tables.extent, range(tables.block_count))
        return [
            self._look.place(segment, number, at.position, at.length)
            for number, at in enumerate(extents)
        ]

    def _sizes(self, places: Sequence[Place]) -> dict[str, int]:
        """What every object should have; of files: at least."""
        if isinstance(self._tables, SealedIndex):
            return dict(self._tables.objects)
        sizes: dict[str, int] = {}
        for place in places:
            sizes[place.key] = max(sizes.get(place.key, 0), _end_of(place))
        return sizes

    def _feed(self) -> None:
        """Tell who watches the streams what should be in here."""
        streams = self._look.streams
        for live in sorted(live for runs in self._runs.values() for live in runs):
            run = live.run
            streams.run(run.stream_id, run.first_offset, live.end_offset, self._name)
        for row in self._tables.streams():
            streams.end(row.stream_id, row.end_offset, self._name)
        self._check_times()

    def _check_times(self) -> None:
        """Whoever looks for a time passes over segments by what their stream rows say."""
        rows = list(self._tables.streams())
        wrong = [
            row.stream_id
            for row, right in zip(rows, with_maxima(rows, self._tables.all_runs()), strict=True)
            if row != right or row.segment_max_timestamp_ms > row.max_timestamp_ms
        ]
        if wrong:
            text = f"its rows say other greatest times than its runs, of stream {wrong[0]} first"
            self._look.report.add(Kind.DAMAGED, self._name, text)

    async def _is_there(self, place: Place, wanted_bytes: int, number: int) -> bool:
        """As far as sizes tell. One finding for an object, however many blocks are lost."""
        found_bytes = await self._look.size_bytes(place.key, wanted_bytes)
        finding = self._bad.get(place.key)
        if finding is None and not _fits(place.key, found_bytes, wanted_bytes):
            finding = self._bad[place.key] = self._misfit(place.key, found_bytes, wanted_bytes)
        if found_bytes is not None and found_bytes >= _end_of(place):
            return True
        assert finding is not None
        finding.records.extend(self._records(number))
        return False

    def _misfit(self, key: str, found_bytes: int | None, wanted_bytes: int) -> Finding:
        report, named = self._look.report, f"named by {self._name}"
        if found_bytes is None:
            return report.add(Kind.MISSING, key, named)
        text = f"{found_bytes} bytes, should be {wanted_bytes}; {named}"
        return report.add(Kind.DAMAGED, key, text)

    def _records(self, number: int) -> list[Records]:
        return [
            Records(live.run.stream_id, live.run.first_offset, live.end_offset)
            for live in self._runs.get(number, ())
        ]

    async def _read(self, places: Sequence[Place], numbers: dict[Place, int]) -> None:
        alive = _alive(self._tables)
        writers: Writers[Place] = Writers()
        async with aclosing(self._look.reader.blocks(places)) as found:
            async for place, block in found:
                number = numbers[place]
                if isinstance(block, Problem):
                    kind, text = block
                else:
                    writers.note(block, place)
                    kind = Kind.DAMAGED
                    text = disagreement(block, self._runs.get(number, ()), alive)
                if text and place.key not in self._bad:
                    self._unreadable(Problem(kind, text), place, number)
        if isinstance(self._tables, Footer):  # a sealed segment has blocks of many
            for place in writers.strangers():
                self._unreadable(Problem(Kind.DAMAGED, STRANGER), place, numbers[place])

    def _unreadable(self, problem: Problem, place: Place, number: int) -> None:
        text = f"{_where(place)}{problem.text}"
        finding = self._look.report.add(problem.kind, place.key, text)
        finding.records.extend(self._records(number))


def _alive(tables: StreamTables) -> frozenset[int] | None:
    """Streams of which the tables name all there is. An index leaves out what had died."""
    if isinstance(tables, SealedIndex):
        return None
    return frozenset(row.stream_id for row in tables.streams())


def _fits(key: str, found_bytes: int | None, wanted_bytes: int) -> bool:
    """A segment file also has a footer behind its blocks; any other object is as large as said."""
    if found_bytes is None:
        return False
    return found_bytes == wanted_bytes or (
        key.endswith(_SEGMENT_FILE) and found_bytes > wanted_bytes
    )


def _end_of(place: Place) -> int:
    return place.position + (place.length or 0)


def _where(place: Place) -> str:
    """Which part of an object; nothing where a block is the whole of it."""
    alone = place.position == 0 and not place.key.endswith(_SEGMENT_FILE)
    return "" if alone else f"block {place.block} at byte {place.position}: "
