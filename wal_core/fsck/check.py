"""The check of one log: manifests, sealed segments, finished ones, the unfinished one, the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from wal_core.clock import Rng
from wal_core.config import LogConfig
from wal_core.errors import Corrupt
from wal_core.format.chain import Completed, Link, Sealed
from wal_core.format.places import Place
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.stream_tables import StreamTables
from wal_core.fsck.findings import Finding, Kind, LogReport
from wal_core.fsck.history import newest_manifest
from wal_core.fsck.inventory import Inventory
from wal_core.fsck.leftovers import judge_garbage, judge_rest, judge_slots_behind
from wal_core.fsck.look import Look
from wal_core.fsck.reading import BlockReader, Problem
from wal_core.fsck.segments import Ending, ending_of, read_without_footer
from wal_core.fsck.streams import StreamCheck
from wal_core.fsck.tables import TableCheck
from wal_core.state.checkpoint import Checkpoint
from wal_core.state.checkpoint_loading import CheckpointLoader
from wal_core.state.rebuild import Rebuild, known_after
from wal_core.state.tables import Tables
from wal_core.stores.manifests import Manifest, Manifests
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.types import LogState

_LOOKS_MAX_COUNT = 3
"""Of a log in use, something may be listed before and something after a change: what seems wrong
is looked at again while it changes, and is then only reported if it is there each time."""
PATIENCE_S = 60
"""For so long a store that does not answer is asked again."""
LISTING_TIMEOUT_MS = 1_800_000
"""A listing is one call, however many pages it has: a tenth of a second for a thousand objects."""


async def check_log(
    store: SegmentStore,
    config: LogConfig,
    rng: Rng,
    *,
    deep: bool = True,
    new_state: Callable[[], LogState] | None = None,
) -> LogReport:
    """Look at everything that is stored of a log. Nothing is written; it may be in use.

    `deep` reads every block; else only tables are read and sizes compared. `new_state` makes what
    is restored, and applied to, as far as there is anything to read; the last one fits the report.
    Raises Unavailable when the store does not answer for `PATIENCE_S`, never Corrupt: damage is a
    finding, and so is what that state cannot understand.
    """
    persist = Persistence(config, rng, patience_s=PATIENCE_S)
    long = dataclasses.replace(config, store_timeout_ms=LISTING_TIMEOUT_MS)
    list_persist = Persistence(long, rng, patience_s=PATIENCE_S)
    seen: set[tuple[Kind, str]] | None = None
    judged_count = 0
    for _ in range(2 * _LOOKS_MAX_COUNT):
        inventory = await Inventory.of(store.objects, config.log_id, list_persist)
        state = None if new_state is None else new_state()
        report = await _Check(store, config, persist, inventory, state, deep=deep).run()
        if report.sound:
            break
        after = await Inventory.of(store.objects, config.log_id, list_persist)
        if after.sizes == inventory.sizes:
            break  # nothing moved: it is as it says
        if not report.judged:
            continue  # the manifest was not where it was listed: this look tells nothing
        found = {(finding.kind, finding.place) for finding in report.findings}
        seen = found if seen is None else seen & found
        judged_count += 1
        if judged_count == _LOOKS_MAX_COUNT:
            report.findings = [
                finding
                for finding in report.findings
                if finding.harmless or (finding.kind, finding.place) in seen
            ]
            break
    return report


class _Check:
    """One look."""

    def __init__(
        self,
        store: SegmentStore,
        config: LogConfig,
        persist: Persistence,
        inventory: Inventory,
        state: LogState | None,
        *,
        deep: bool,
    ) -> None:
        report = LogReport(config.log_id)
        self._look = Look(
            store=store,
            log_id=config.log_id,
            deep=deep,
            persist=persist,
            reader=BlockReader(store.objects, persist),
            inventory=inventory,
            report=report,
            streams=StreamCheck({}, report),
            state=state,
            checkpoint=None if state is None else Checkpoint(state, config.checkpoint_piece_bytes),
        )
        self._bad_seals: list[Sealed] = []
        self._last = -1  # segment that the chain has come to
        self._ends_sealed = False  # the last index has what a start needs

    async def run(self) -> LogReport:
        look, report = self._look, self._look.report
        report.objects_count = len(look.inventory.sizes)
        report.bytes_count = sum(look.inventory.sizes.values())
        manifest = await newest_manifest(look)
        if manifest is not None:  # else nothing can be told: all would seem orphaned
            report.judged = True
            report.manifest_number = manifest.number
            await self._history(manifest)
            judge_garbage(look, manifest)
            judge_rest(look, manifest, self._bad_seals)
        for finding in [*report.findings]:
            left = look.streams.readable(finding.records)
            if finding.kind is Kind.LOST and finding.records and not left:
                report.findings.remove(finding)  # deleted since: nobody misses it
            finding.records = left
        report.streams = look.streams.streams()
        report.blocks_read_count = look.reader.blocks_count
        return report

    async def _history(self, manifest: Manifest) -> None:
        look = self._look
        indexes = [(sealed, await self._index(sealed)) for sealed in manifest.sealed]
        covered = manifest.covered
        segments = [n for n in look.inventory.segments(look.log_id) if n > covered]
        endings = [(segment, await ending_of(look, segment)) for segment in segments]
        tables: list[StreamTables] = [
            index for _, index in indexes if isinstance(index, SealedIndex)
        ]
        tables += [ending.footer for _, ending in endings if ending.footer is not None]
        newest = indexes[-1][1] if indexes else None
        self._ends_sealed = isinstance(newest, SealedIndex) and newest.changes is not None
        look.streams = StreamCheck(_starts(tables), look.report)
        stored: dict[Link, Tables | Problem] = dict(indexes)
        for segment, ending in endings:
            missing = ending.problem or Problem(Kind.MISSING, "it has no footer")
            stored[Completed(segment)] = ending.footer or missing
        found = await self._made_whole(stored)
        await self._restore([*stored], found, endings)
        for sealed, index in indexes:
            await self._sealed(sealed, index, found.get(sealed))
        for segment, ending in endings:
            # Behind sealed segments there is always a finished one: a start needs its checkpoint.
            finished = segment != segments[-1] or (covered >= 0 and len(segments) == 1)
            await self._segment(segment, ending, last=not finished)
        self._end(manifest, [ending for _, ending in endings])
        noted = await look.persist(lambda: look.store.noted_end(look.log_id))
        if noted is not None and noted.segment > self._last:
            text = f"a file of {noted.bytes_count} bytes or more, as is noted in the lock file"
            look.report.add(Kind.MISSING, look.segment_name(noted.segment), text)

    async def _made_whole(self, stored: dict[Link, Tables | Problem]) -> dict[Link, Tables]:
        """Tables in log order, made anew from the blocks where they cannot be read, like those that
        readers go by. Not all where blocks are to be left unread, or too little is left."""
        look = self._look
        manifests = Manifests(look.store.objects, look.log_id, look.persist, b"")
        rebuild = Rebuild(look.store, look.log_id, manifests, look.persist)
        links = [*stored]
        others = [link for link in links if isinstance(link, Sealed)]
        found: dict[Link, Tables] = {}
        for at, link in enumerate(links):
            tables = stored[link]
            if not isinstance(tables, Problem):
                found[link] = tables
                continue
            is_end = at + 1 == len(links)
            if not look.deep or (is_end and isinstance(link, Completed)):
                continue  # the end may be unfinished
            before = found.get(links[at - 1]) if at else None
            behind = None if is_end else stored[links[at + 1]]
            after = known_after(None if isinstance(behind, Problem) else behind)
            rows = () if before is None else before.streams()
            try:
                found[link] = await rebuild.tables(link, rows, after, others)
            except Corrupt:
                pass  # nobody can read by it
        return found

    async def _restore(
        self,
        links: Sequence[Link],
        found: dict[Link, Tables],
        endings: Sequence[tuple[int, Ending]],
    ) -> None:
        """What a start takes over from the newest footer."""
        look = self._look
        if look.checkpoint is None or look.state is None:
            return
        footers = [ending for _, ending in endings if ending.footer is not None]
        tables: Tables
        if footers and footers[-1].footer is not None:
            tables, key, last = footers[-1].footer, footers[-1].key, footers[-1].footer.segment
        else:
            sealed = [link for link in links if isinstance(link, Sealed)]
            if not self._ends_sealed or sealed[-1] not in found:
                return
            tables, key, last = found[sealed[-1]], sealed[-1].index, sealed[-1].last
        before = [link for link in links if link.last <= last]
        whole = [link for link in before if link in found]

        async def load(link: Link) -> Tables:
            return found[link]

        loader = CheckpointLoader(look.store, look.log_id, look.persist, load)
        try:
            lost = await loader.load(
                whole, tables.streams(), tables.changes, look.checkpoint, look.state
            )
        except Corrupt as error:
            look.not_understood(error, key)
            return
        if not look.deep and whole == before:  # else the damage itself is found
            for pieces in lost:
                look.report.add(Kind.DAMAGED, key, f"{pieces}: {pieces.text}")

    # -- sealed segments -------------------------------------------------------------------

    async def _index(self, sealed: Sealed) -> SealedIndex | Problem:
        place = Place(sealed.index, 0, None, self._look.log_id, sealed.last, 0)
        block = await self._look.reader.block(place)
        if isinstance(block, Problem):
            return block
        try:
            index = SealedIndex.of_block(block)
        except Corrupt as error:
            return Problem(Kind.DAMAGED, error.message)
        if (index.first, index.last) != (sealed.first, sealed.last):
            return Problem(Kind.DAMAGED, "it stands for other segments than the manifest says")
        return index

    async def _sealed(
        self, sealed: Sealed, index: SealedIndex | Problem, tables: Tables | None
    ) -> None:
        look = self._look
        look.report.sealed_count += 1
        look.inventory.name(sealed.index)
        self._follows(sealed.first, sealed.last)
        if isinstance(index, Problem):
            what = f"the index of segments {sealed.first} to {sealed.last}"
            if tables is not None:
                what += ", which readers make anew from its blocks"
            look.hole(index.kind, sealed.index, f"{index.text}; {what}")
            self._bad_seals.append(sealed)
        else:
            look.streams.alive({row.stream_id for row in index.streams()})
        if tables is not None:
            await TableCheck(look, tables, sealed.index).run(sealed.last)

    # -- segments as their writers left them -----------------------------------------------

    async def _segment(self, segment: int, ending: Ending, *, last: bool) -> None:
        look, report = self._look, self._look.report
        self._follows(segment, segment)
        if ending.footer is not None:
            report.completed_count += 1
            await TableCheck(look, ending.footer, ending.key).run(segment)
        else:
            finding = self._without_footer(ending, last=last)
            await read_without_footer(look, segment, last=last)
            if finding is not None:
                look.streams.hole(finding)
        await judge_slots_behind(look, segment)

    def _without_footer(self, ending: Ending, *, last: bool) -> Finding | None:
        report = self._look.report
        if ending.problem is not None:
            self._look.inventory.name(ending.key)
            return report.add(ending.problem.kind, ending.key, ending.problem.text)
        if last:
            report.unfinished_count = 1
            return None
        if self._look.store.segment_is_one_object:
            return report.add(Kind.DAMAGED, ending.key, "it has no whole footer")
        return report.add(Kind.MISSING, ending.key, "the footer of its segment")

    # -- the chain -------------------------------------------------------------------------

    def _follows(self, first: int, last: int) -> None:
        """A link of the chain, which has every number once."""
        missing = self._last + 1
        if first > missing:
            name = self._look.segment_name(missing)
            text = "nothing holds this segment"
            if first > missing + 1:
                text = f"nothing holds segments {missing} to {first - 1}"
            self._look.hole(Kind.GAP, name, text)
        self._last = max(self._last, last)

    def _end(self, manifest: Manifest, endings: list[Ending]) -> None:
        """Whoever commits a manifest has a segment behind everything that is sealed; in a bucket
        also one of its own term, or a later writer has."""
        look = self._look
        term = max((ending.term for ending in endings), default=-1)
        unknown = any(ending.problem is not None for ending in endings)
        unsealed = look.store.mode == "quorum" and not manifest.sealed  # all is on logstores
        ends_sealed = (self._ends_sealed or unsealed) and not endings
        lost = not look.store.segment_is_one_object and manifest.term > term and not unknown
        if not ends_sealed and (lost or (manifest.sealed and not endings)):
            name = look.segment_name(self._last + 1)
            text = f"the end of the log is missing: manifest {manifest.number} was written later"
            look.report.add(Kind.GAP, name, text)


def _starts(tables: list[StreamTables]) -> dict[int, int]:
    """Where every live stream starts: the newest of `tables` knows which, any of them how far."""
    if not tables:
        return {}
    starts = {row.stream_id: row.start_offset for row in tables[-1].streams()}
    for other in tables[:-1]:
        for row in other.streams():
            if row.stream_id in starts:
                starts[row.stream_id] = max(starts[row.stream_id], row.start_offset)
    return starts
