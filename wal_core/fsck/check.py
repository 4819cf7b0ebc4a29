"""The check of one log: manifest, sealed segments, completed ones, the unfinished one, orphans."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from wal_core.block_format import Block, BlockKind
from wal_core.chain import Sealed
from wal_core.clock import Rng
from wal_core.config import LogConfig
from wal_core.errors import Corrupt
from wal_core.footer_format import Footer
from wal_core.fsck.findings import Kind, Report
from wal_core.fsck.inventory import Inventory
from wal_core.fsck.streams import StreamCheck
from wal_core.manifest import KEPT_COUNT, Manifest, Manifests
from wal_core.persistence import Persistence
from wal_core.places import Place, Slot, read_block
from wal_core.sealed_format import SealedIndex
from wal_core.segment_store.base import SegmentStore
from wal_core.stream_tables import StreamTables
from wal_core.survey import runs_with_ends


async def check_log(
    store: SegmentStore, config: LogConfig, rng: Rng, *, deep: bool = True
) -> Report:
    """Look at everything that is stored of a log that nobody writes at the moment.

    `deep` reads every block; else only tables are read and sizes compared. Raises Unavailable,
    never Corrupt: damage is a finding.
    """
    return await _Check(store, config, rng, deep=deep).run()


class _Check:
    def __init__(self, store: SegmentStore, config: LogConfig, rng: Rng, *, deep: bool) -> None:
        self._store = store
        self._log_id = config.log_id
        self._deep = deep
        self._persist = Persistence(config, rng)
        self._manifests = Manifests(store.objects, config.log_id, self._persist, b"")
        self.report = Report()
        self._inventory = Inventory({})
        self._streams = StreamCheck({}, self.report)
        self._last = -1  # segment that the chain has come to

    async def run(self) -> Report:
        report = self.report
        self._inventory = await Inventory.of(self._store.objects, self._log_id, self._persist)
        report.objects_count = len(self._inventory.sizes)
        report.bytes_count = sum(self._inventory.sizes.values())
        manifest = await self._manifest()
        if manifest is None:
            return report  # nothing can be told from here on: all would seem orphaned
        covered = manifest.covered
        segments = await self._persist(lambda: self._store.segments(self._log_id, covered))
        footers = {segment: await self._footer(segment) for segment in segments}
        indexes = [await self._sealed(sealed) for sealed in manifest.sealed]
        starts = await self._starts(footers, [index for index in indexes if index is not None])
        report.streams_count = len(starts)
        self._streams = StreamCheck(starts, report)
        for sealed, index in zip(manifest.sealed, indexes, strict=True):
            if index is not None:
                self._runs(index, sealed.index)
        if indexes and indexes[-1] is not None:
            self._streams.sealed({row.stream_id for row in indexes[-1].streams()})
        for segment, footer in footers.items():
            if footer is not None:
                await self._completed(segment, footer)
            elif segment == segments[-1]:
                await self._unfinished(segment)
            else:
                report.add(Kind.MISSING, self._segment_name(segment), "it has no footer")
        self._garbage(manifest)
        self._orphans()
        return report

    # -- manifests -------------------------------------------------------------------------

    async def _manifest(self) -> Manifest | None:
        numbers = await self._manifests.numbers()
        name = f"manifests/{self._log_id}/"
        kept = [number for number in numbers if number > numbers[-1] - KEPT_COUNT]
        self._inventory.name(f"{name}{number:020d}" for number in kept)
        if not numbers:
            return await self._manifests.newest()
        try:
            return await self._manifests.read(numbers[-1])
        except Corrupt as error:
            self.report.add(Kind.DAMAGED, f"{name}{numbers[-1]:020d}", error.message)
            return None

    async def _starts(
        self, footers: dict[int, Footer | None], indexes: list[SealedIndex]
    ) -> dict[int, int]:
        """Where every live stream starts, as the newest tables have it."""
        newest = [footer for footer in footers.values() if footer is not None]
        tables: list[StreamTables] = [*newest[-1:], *indexes]
        if not tables:
            return {}
        starts = {row.stream_id: row.start_offset for row in tables[0].streams()}
        for other in tables[1:]:
            for row in other.streams():
                if row.stream_id in starts:
                    starts[row.stream_id] = max(starts[row.stream_id], row.start_offset)
        return starts

    # -- sealed segments -------------------------------------------------------------------

    async def _index(self, sealed: Sealed) -> SealedIndex | None:
        place = Place(sealed.index, 0, None, self._log_id, sealed.last, 0)
        if sealed.index not in self._inventory.sizes:
            self.report.add(Kind.MISSING, sealed.index, self._covers(sealed))
            return None
        try:
            return SealedIndex.of_block(
                await self._persist(lambda: read_block(self._store.objects, place))
            )
        except Corrupt as error:
            self.report.add(Kind.DAMAGED, sealed.index, f"{error.message}; {self._covers(sealed)}")
            return None

    def _covers(self, sealed: Sealed) -> str:
        return f"the index of segments {sealed.first} to {sealed.last}"

    async def _sealed(self, sealed: Sealed) -> SealedIndex | None:
        self.report.sealed_count += 1
        self._follows(sealed.first, sealed.last, sealed.index)
        self._inventory.name([sealed.index])
        index = await self._index(sealed)
        if index is None:
            return None
        self._inventory.name(row.key for row in index.objects)
        whole = set()
        for key, size_bytes in index.objects:
            found = self._inventory.sizes.get(key)
            text = f"{sealed.index} names it"
            if found is None:
                self.report.add(Kind.MISSING, key, text)
            elif found < size_bytes:
                text = f"{found} bytes instead of {size_bytes}; {text}"
                self.report.add(Kind.DAMAGED, key, text)
            else:
                whole.add(key)
        places = [index.place(number) for number in range(index.block_count)]
        await self._blocks(place for place in places if place.key in whole)
        return index

    # -- segments as their writers left them -----------------------------------------------

    async def _footer(self, segment: int) -> Footer | None:
        try:
            block = await self._persist(lambda: self._store.read_footer(self._log_id, segment))
            return None if block is None else Footer.of_block(block)
        except Corrupt as error:
            self.report.add(Kind.DAMAGED, self._segment_name(segment), error.message)
            return None

    async def _completed(self, segment: int, footer: Footer) -> None:
        self.report.completed_count += 1
        self._follows(segment, segment, self._segment_name(segment))
        places = []
        for number in range(footer.block_count):
            at = footer.extent(number)
            slot = Slot(self._log_id, segment, number, at.position)
            places.append(self._store.place(slot, at.length))
        found = [place for place in places if self._there(place)]
        end = self._store.place(Slot(self._log_id, segment, footer.block_count, 0), None)
        self._inventory.name([*(place.key for place in places), end.key])
        self._stragglers(segment)
        self._runs(footer, self._segment_name(segment))
        await self._blocks(found)

    def _there(self, place: Place) -> bool:
        size_bytes = self._inventory.sizes.get(place.key)
        if size_bytes is None:
            self.report.add(Kind.MISSING, place.key, f"block {place.block} of the segment")
            return False
        needed_bytes = place.position + (place.length or 0)
        if size_bytes < needed_bytes:
            text = f"it ends at byte {size_bytes}, before block {place.block} does"
            self.report.add(Kind.DAMAGED, place.key, text)
            return False
        return True

    def _stragglers(self, segment: int) -> None:
        """Slots behind the footer, where a fenced writer had blocks in flight."""
        if self._store.segment_is_one_object:
            return
        unnamed = set(self._inventory.unnamed())
        for key in self._inventory.under(f"logs/{self._log_id}/{segment:020d}/"):
            if key in unnamed:
                self.report.add(Kind.STRAGGLER, key, "behind the end of its segment")
                self._inventory.name([key])

    async def _unfinished(self, segment: int) -> None:
        self._follows(segment, segment, self._segment_name(segment))
        async for block in self._readable(segment):
            header = block.header
            slot = Slot(self._log_id, segment, header.block, 0)
            place = self._store.place(slot, header.total_bytes)
            self._inventory.name([place.key])
            self.report.blocks_read_count += 1
            for entry in block.entries():
                stream_id, first, end = entry.stream_id, entry.base_offset, entry.end_offset
                self._streams.run(stream_id, first, end, place.key, known=False)
        if self._store.segment_is_one_object:
            key = self._store.place(Slot(self._log_id, segment, 0, 0), None).key
            self._inventory.name([key])
        self._stragglers(segment)

    async def _readable(self, segment: int) -> AsyncIterator[Block]:
        """Data blocks of the unfinished segment, up to the first that is missing."""
        blocks = self._store.recover_segment(self._log_id, segment, self._persist, cut=False)
        try:
            async for block in blocks:
                if block.header.kind == BlockKind.DATA:
                    yield block
        except Corrupt as error:
            self.report.add(Kind.DAMAGED, self._segment_name(segment), str(error))

    # -- everything ------------------------------------------------------------------------

    def _follows(self, first: int, last: int, place: str) -> None:
        """A link of the chain. Numbers of segments in files that held nothing may be missing."""
        if first <= self._last:
            self.report.add(Kind.OVERLAP, place, f"segment {first} is there twice")
        elif first > self._last + 1 and not self._store.segment_is_one_object:
            text = f"segments {self._last + 1} to {first - 1} before it are missing"
            self.report.add(Kind.GAP, place, text)
        self._last = max(self._last, last)

    def _runs(self, tables: StreamTables, place: str) -> None:
        try:
            for live in runs_with_ends(tables):
                run = live.run
                self._streams.run(run.stream_id, run.first_offset, live.end_offset, place)
            for row in tables.streams():
                self._streams.end(row.stream_id, row.end_offset, place)
        except Corrupt as error:
            self.report.add(Kind.DAMAGED, place, error.message)

    async def _blocks(self, places: Iterable[Place]) -> None:
        """Read and verify, one after the other: this is patient work."""
        if not self._deep:
            return
        for place in places:
            self.report.blocks_read_count += 1
            try:
                await self._read(place)
            except Corrupt as error:
                text = f"block {place.block} at byte {place.position}: {error.message}"
                self.report.add(Kind.DAMAGED, place.key, text)

    async def _read(self, place: Place) -> None:
        await self._persist(lambda: read_block(self._store.objects, place))

    def _garbage(self, manifest: Manifest) -> None:
        """What waits for its deletion is named, whether or not it is still there."""
        before = len(self._inventory.unnamed())
        for row in manifest.garbage:
            self._inventory.name(row.keys)
            if row.segment is None:
                continue
            if self._store.segment_is_one_object:
                slot = Slot(self._log_id, row.segment, 0, 0)
                self._inventory.name([self._store.place(slot, None).key])
            else:
                prefix = f"logs/{self._log_id}/{row.segment:020d}/"
                self._inventory.name(self._inventory.under(prefix))
        self.report.garbage_count = before - len(self._inventory.unnamed())

    def _orphans(self) -> None:
        for key in self._inventory.unnamed():
            if key != f"logs/{self._log_id}/lock":
                self.report.add(Kind.ORPHAN, key, f"{self._inventory.sizes[key]} bytes")

    def _segment_name(self, segment: int) -> str:
        return f"logs/{self._log_id}/{segment:020d}"
