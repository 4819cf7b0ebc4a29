"""Repair: making a damaged log whole, as far as anything is left to make it of.

The log is taken over like any opener does, so never beside a writer. Then what is damaged is sealed
again from what can be read, completed segments with all that are before them, since sealed ones
come first; what is lost for good stays as a hole that the new index names. One manifest makes all
of it count: a crash before leaves the log as it was, but for a fence, and objects that the next
opener removes. What was replaced is garbage, and what of it was damaged is kept as long as a fence
is: somebody may know how to get more out of it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence

import msgspec

from wal_core.clock import Clock, Rng
from wal_core.config import LogConfig
from wal_core.errors import Corrupt, WalError
from wal_core.format.block import NONCE_BYTES
from wal_core.format.chain import Completed, Link, Sealed
from wal_core.format.footer import Footer
from wal_core.format.places import Place
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.segment_end import slot_number
from wal_core.format.stream_tables import StreamRow
from wal_core.fsck.check import check_log
from wal_core.fsck.findings import Kind, LogReport
from wal_core.repair.resealing import Resealing
from wal_core.state.rebuild import Known, Rebuild, known_after
from wal_core.state.survey import Starts
from wal_core.state.table_loading import stored_tables
from wal_core.state.tables import Tables, place_of
from wal_core.stores.manifests import Garbage, Manifest, Superseded, manifest_key
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.tenure import Tenure
from wal_core.types import LogState
from wal_core.upkeep.compaction import Source
from wal_core.upkeep.compaction_plan import UNSEALED_COUNT
from wal_core.upkeep.garbage import garbage_of
from wal_core.upkeep.sealed_writer import SealedWriter
from wal_core.write.recovery import Recovery

_logger = logging.getLogger(__name__)

_NOT_DAMAGE = frozenset({Kind.DOOMED, Kind.ORPHAN})


@dataclasses.dataclass(slots=True)
class Repaired:
    """What a repair has done."""

    sealed: list[Sealed] = dataclasses.field(default_factory=list)
    added: list[int] = dataclasses.field(default_factory=list)
    """Segments with nothing in them, in the place of some that are gone, or behind the last ones,
    so that these can be sealed."""
    spared_count: int = 0  # objects in use that will not be deleted any more
    garbage_count: int = 0  # objects that nothing named and that will be


async def repair_log(
    store: SegmentStore,
    state: LogState,
    config: LogConfig,
    report: LogReport,
    *,
    clock: Clock,
    rng: Rng,
) -> Repaired:
    """Repair what a check has found. The store is one to write to, nobody may have the log open.

    Raises Unavailable when another process holds the log, Fenced when one takes it meanwhile,
    NoRoom, and Corrupt where not even a start is possible: then nothing was changed.
    """
    opening = Tenure(config=config, clock=clock, rng=rng, nonce=rng.random_bytes(NONCE_BYTES))
    recovery = Recovery(store, state, opening)
    try:
        await store.room.open(config)
        await recovery.run()
        return await _Repair(store, recovery, report).run()
    finally:
        await store.room.close()
        if recovery.locked:
            await store.unlock(config.log_id)


class _Repair:
    """Of a log that is ours."""

    def __init__(self, store: SegmentStore, recovery: Recovery, report: LogReport) -> None:
        self._store = store
        self._recovery = recovery
        self._tenure = recovery.tenure
        self._config = recovery.tenure.config
        self._log_id = recovery.tenure.log_id
        self._persist = Persistence(self._config, self._tenure.rng)
        self._rebuild = Rebuild(store, self._log_id, recovery.manifests, self._persist)
        self._chain = recovery.chain
        self._manifest: Manifest = recovery.manifest
        self._report = report
        self._garbage: list[Garbage] = []  # what was replaced
        self._created: list[str] = []
        self._done = Repaired()
        self._starts: Starts = {
            stream_id: stream.start
            for stream_id, stream in recovery.streams.items()
            if not stream.dropped
        }

    async def run(self) -> Repaired:
        if not self._report.judged:
            # The check had no manifest to go by, but the start had.
            await self._renew_manifests()
            self._report = await self._check(deep=True)
        try:
            await self._seal_anew()
            garbage = await self._spared([*self._manifest.garbage, *self._garbage])
            if self._done.sealed or self._done.spared_count:
                sealed = [link for link in self._chain.links if isinstance(link, Sealed)]
                await self._commit(
                    msgspec.structs.replace(self._manifest, sealed=sealed, garbage=garbage)
                )
        except WalError as error:
            if not isinstance(error, Superseded):
                await self._persist(lambda: self._store.objects.delete(*self._created))
            raise
        for sealed_anew in self._done.sealed:
            first, last = sealed_anew.first, sealed_anew.last
            _logger.info("segments %d to %d were sealed anew", first, last)
        await self._renew_manifests()
        await self._list_orphans()
        return self._done

    # -- what to do ------------------------------------------------------------------------

    def _bad_places(self) -> set[str]:
        return {
            finding.place
            for finding in self._report.findings
            if not (finding.harmless or finding.kind in _NOT_DAMAGE)
        }

    def _doomed(self) -> set[str]:
        return {f.place for f in self._report.findings if f.kind is Kind.DOOMED}

    async def _check(self, *, deep: bool) -> LogReport:
        return await check_log(self._store, self._config, self._tenure.rng, deep=deep)

    async def _seal_anew(self) -> None:
        damaged = await self._damaged_links()
        completed = [link for link in damaged if isinstance(link, Completed)]
        await self._lengthen(completed[-1].segment if completed else None)
        for run in self._runs(damaged):
            await self._reseal(run)

    async def _damaged_links(self) -> list[Link]:
        damaged: list[Link] = []
        for link in self._chain.links:
            try:
                tables = await self._stored(link)
            except Corrupt:
                damaged.append(link)
                continue
            if self._is_concerned(link, tables):
                damaged.append(link)
        return damaged

    def _is_concerned(self, link: Link, tables: Tables) -> bool:
        """Whether a finding of the check is about it."""
        if isinstance(tables, SealedIndex):
            assert isinstance(link, Sealed)
            keys = {link.index, *(row.key for row in tables.objects)}
            return not keys.isdisjoint(self._bad_places())
        if tables.term >= self._tenure.term:
            return False  # only ended now, by what can be read of it
        name = f"logs/{self._log_id}/{link.first:020d}"
        return any(place.startswith(name) for place in self._bad_places())

    async def _lengthen(self, last_damaged: int | None) -> None:
        """Add segments where the last ones are gone, and where those are to be sealed: the newest
        footers hold the state of the log, so whole ones have to follow."""
        end = max((_segment_of(place) for place in self._bad_places()), default=-1)
        if last_damaged is not None:
            end = max(end, last_damaged + UNSEALED_COUNT)
        while self._chain.last < end:
            await self._recovery.add_segment()
            self._done.added.append(self._chain.last)
        self._tenure = self._recovery.tenure

    def _runs(self, damaged: Sequence[Link]) -> list[Sequence[Link]]:
        """Each damaged sealed segment alone, completed ones with all before the last of them."""
        links = self._chain.links
        runs: list[Sequence[Link]] = [[link] for link in damaged if isinstance(link, Sealed)]
        last = max((link.last for link in damaged if isinstance(link, Completed)), default=-1)
        completed = [link for link in links if isinstance(link, Completed) and link.last <= last]
        count = self._config.seal_segments_max_count
        return runs + [completed[at : at + count] for at in range(0, len(completed), count)]

    # -- sealing ---------------------------------------------------------------------------

    async def _stored(self, link: Link) -> Tables:
        return await self._persist(lambda: stored_tables(self._store, self._log_id, link))

    async def _tables(self, link: Link, before: Sequence[StreamRow]) -> tuple[Tables, bool]:
        """And whether they are as they were stored."""
        try:
            return await self._stored(link), True
        except Corrupt:
            others = [other for other in self._chain.links if isinstance(other, Sealed)]
            after = await self._known_behind(link)
            return await self._rebuild.tables(link, before, after, others), False

    async def _known_behind(self, link: Link) -> Mapping[int, Known]:
        links = self._chain.links
        at = links.index(link) + 1
        try:
            return known_after(await self._stored(links[at]) if at < len(links) else None)
        except Corrupt:
            return {}

    async def _rows_before(self, run: Sequence[Link]) -> list[StreamRow]:
        """All before a run is whole by now."""
        at = self._chain.links.index(run[0])
        return [*(await self._stored(self._chain.links[at - 1])).streams()] if at else []

    async def _reseal(self, run: Sequence[Link]) -> None:
        writer = self._writer(run)
        rows = await self._rows_before(run)
        resealing = Resealing(self._store, self._config, self._persist, writer, rows)
        sources: list[tuple[Source, bool]] = []
        try:
            for link in run:
                tables, is_stored = await self._tables(link, rows)
                source = Source(link, tables, self._starts, self._place)
                is_whole = await resealing.take(source, await self._known_behind(link))
                sources.append((source, is_stored and is_whole))
                rows = [*tables.streams()]
            sealed = await resealing.finish(self._tenure.clock.now_ms())
        finally:
            self._created += writer.created
        for source, is_whole in sources:
            self._garbage += self._garbage_of(source, writer.referenced, is_whole=is_whole)
        self._chain.replace(run, sealed)
        self._done.sealed.append(sealed)

    def _garbage_of(
        self, source: Source, referenced: frozenset[str], *, is_whole: bool
    ) -> list[Garbage]:
        config = self._config
        if not is_whole:
            grace_ms = max(config.garbage_grace_ms, config.fence_grace_ms)
            config = dataclasses.replace(config, garbage_grace_ms=grace_ms)
        now_ms = self._tenure.clock.now_ms()
        return garbage_of(source, referenced, self._store, config, now_ms)

    def _writer(self, run: Sequence[Link]) -> SealedWriter:
        unique = self._tenure.rng.random_bytes(8).hex()
        return SealedWriter(
            self._store.objects,
            self._tenure,
            Persistence(self._config, self._tenure.rng, waits_for_room=False),
            folder=f"sealed/{self._log_id}/{self._manifest.number + 1:020d}-{unique}/",
            segments=(run[0].first, run[-1].last),
            take_room=self._store.room.taking,
        )

    def _place(self, tables: Tables, number: int) -> Place:
        return place_of(self._store, self._log_id, tables, number)

    # -- manifests -------------------------------------------------------------------------

    async def _commit(self, manifest: Manifest) -> None:
        manifest = msgspec.structs.replace(
            manifest, number=self._manifest.number + 1, term=self._tenure.term
        )
        await self._recovery.manifests.commit(manifest)
        self._manifest = manifest

    async def _renew_manifests(self) -> None:
        """With whole ones in front of them nobody needs those that are damaged, nor older ones."""
        prefix = f"manifests/{self._log_id}/"
        bad = [place for place in self._bad_places() if place.startswith(prefix)]
        if not bad:
            return
        for _ in range(2):  # one would stand alone, should the next damage hit it
            await self._commit(self._manifest)
        numbers = await self._recovery.manifests.numbers()
        keys = [key for n in numbers if (key := manifest_key(self._log_id, n)) <= max(bad)]
        if keys:
            await self._persist(lambda: self._store.objects.delete(*keys))

    async def _spared(self, garbage: Sequence[Garbage]) -> list[Garbage]:
        """Without what is in use."""
        doomed = self._doomed()
        if not doomed:
            return [*garbage]
        keys: set[str] = set()
        segments: set[int] = set()
        for link in self._chain.links:
            tables = await self._stored(link)
            if isinstance(tables, Footer):
                segments.add(link.first)
            else:
                assert isinstance(link, Sealed)
                keys |= {link.index, *(row.key for row in tables.objects)}
        self._done.spared_count = len(doomed)
        rows = [self._spare(row, keys, segments) for row in garbage]
        return [row for row in rows if row is not None]

    def _spare(self, row: Garbage, keys: set[str], segments: set[int]) -> Garbage | None:
        """What is left of a row."""
        left = [key for key in row.keys if key not in keys and _segment_of(key) not in segments]
        segment = row.segment
        if segment is None:
            return msgspec.structs.replace(row, keys=left) if left else None
        used = [key for key in keys if _segment_of(key) == segment]
        if segment in segments or (used and self._store.segment_is_one_object):
            return msgspec.structs.replace(row, segment=None, keep=[], keys=left) if left else None
        keep = sorted({*row.keep, *map(slot_number, used)})
        return msgspec.structs.replace(row, keep=keep, keys=left)

    async def _list_orphans(self) -> None:
        """Once every table is whole, what nothing names is nothing."""
        report = await self._check(deep=False)
        orphans = [f for f in report.findings if f.kind is Kind.ORPHAN]
        if not orphans or any(not f.harmless and f not in orphans for f in report.findings):
            return
        grace_ms = max(self._config.garbage_grace_ms, self._config.fence_grace_ms)
        due_ms = self._tenure.clock.now_ms() + grace_ms
        row = Garbage(due_ms=due_ms, keys=[finding.place for finding in orphans])
        await self._commit(
            msgspec.structs.replace(self._manifest, garbage=[*self._manifest.garbage, row])
        )
        self._done.garbage_count = len(orphans)


def _segment_of(place: str) -> int:
    """That a key, or the name of a segment, is of; -1 for what is below other folders."""
    folder, _, name = (*place.split("/", 2), "", "")[:3]
    number = name[:20]
    return int(number) if folder == "logs" and number.isascii() and number.isdigit() else -1
