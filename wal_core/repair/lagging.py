"""Making a log of a lagging copy: its longest whole prefix counts, and nothing else.

A copy of a bucket, made by replication or while a broker wrote, may lack any of the newest objects.
What is whole from the first segment on is kept (prefix.py), what was not sealed of it is sealed,
and the log goes on far behind everything the copy has. So no key is created that the source may
have used, and which may still arrive: segments, manifests and terms jump. One manifest makes it
count; until then nothing has changed but for objects that nothing names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from wal_core.clock import Clock, Rng
from wal_core.config import LogConfig
from wal_core.errors import Corrupt, Invalid, Unavailable
from wal_core.format.block import NONCE_BYTES, BlockIds, BlockKind, encode_payload
from wal_core.format.chain import Completed, Link, Sealed
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.places import Place, Slot
from wal_core.repair.prefix import Prefix, Survey
from wal_core.repair.shown import Shown
from wal_core.state.table_loading import stored_tables
from wal_core.state.tables import Tables, place_of
from wal_core.stores.manifests import (
    KEPT_COUNT,
    LOG_FOLDERS,
    Garbage,
    Manifest,
    encode_manifest,
    manifest_key,
)
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import read_block
from wal_core.stores.segments.base import SegmentStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.tenure import Tenure
from wal_core.types import LogState
from wal_core.upkeep.compaction import Compaction, Source
from wal_core.upkeep.compaction_plan import UNSEALED_COUNT
from wal_core.upkeep.sealed_writer import SealedWriter
from wal_core.write.recovery import Recovery

JUMP = 1 << 16
"""So far behind what the copy shows it goes on: more than a source can have done meanwhile."""


class GivenUp(NamedTuple):
    """Of a stream: offsets first .. end - 1 were written, as the copy shows, and are not whole."""

    stream_id: int
    first_offset: int
    end_offset: int


@dataclasses.dataclass(slots=True)
class CutLog:
    """What is kept of a log, and what is not."""

    log_id: int
    prefix: Prefix
    next_segment: int  # the log goes on there
    given_up: list[GivenUp] = dataclasses.field(default_factory=list)
    """As far as anything shows that it was there: what is missing without a trace, nobody knows."""
    moved_starts: dict[int, int] = dataclasses.field(default_factory=dict)
    """Streams that start later than they did where the log is cut: what is before was deleted."""
    left_count: int = 0  # objects that do not count, listed as garbage


async def cut_log(
    store: SegmentStore,
    state: LogState,
    config: LogConfig,
    *,
    clock: Clock,
    rng: Rng,
    to_commit: bool,
) -> CutLog:
    """Choose the prefix of a log in a bucket, and with `to_commit` make it the log. `state` becomes
    that of the prefix.

    Nobody may write there, nor may replication run: it is refused as Unavailable where that shows.
    Raises Corrupt where what is there is damaged: that is for a repair, before.
    """
    if store.segment_is_one_object:
        raise Invalid("only a bucket can be a lagging copy: in a folder a log is cut at its start")
    opening = Tenure(config=config, clock=clock, rng=rng, nonce=rng.random_bytes(NONCE_BYTES))
    cutting = _Cutting(store, state, opening)
    await cutting.plan()
    if to_commit:
        await cutting.commit()
    return cutting.cut


class _Cutting:
    """Of one log."""

    def __init__(self, store: SegmentStore, state: LogState, opening: Tenure) -> None:
        self._store = store
        self._state = state
        self._opening = opening
        self._config = opening.config
        self._log_id = opening.log_id
        self._persist = Persistence(opening.config, opening.rng)
        self._sizes: Mapping[str, int] = {}
        self._survey: Survey
        self._shown: ObjectSegmentStore
        self._recovery: Recovery
        self._tables: dict[Link, Tables] = {}
        self._referenced: set[str] = set()
        self._number = 0  # of the manifest that will count
        self.cut: CutLog

    # -- choosing --------------------------------------------------------------------------

    async def plan(self) -> None:
        """Find the prefix, and the state at its end. Writes nothing."""
        self._sizes = await self._listed()
        self._survey = Survey(self._store, self._log_id, self._sizes, self._persist)
        await self._survey.run()
        prefix = self._survey.prefix
        self._number = self._survey.number_max + JUMP
        self.cut = CutLog(self._log_id, prefix, self._survey.segment_max + JUMP)
        self._shown = ObjectSegmentStore(
            Shown(self._store.objects, self._log_id, self._counting()), room=self._store.room
        )
        self._recovery = Recovery(self._shown, self._state, self._opening)
        await self._recovery.run_unfenced()
        for link in self._recovery.chain.links:
            self._tables[link] = await self._load(link)
        self._move_starts()
        await self._judge_rest()

    async def _listed(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for folder in LOG_FOLDERS:
            prefix = f"{folder}/{self._log_id}/"
            rows = await self._persist(lambda prefix=prefix: self._store.objects.list(prefix))  # type: ignore[misc]
            sizes |= {row.key: row.size_bytes for row in rows}
        return sizes

    def _counting(self) -> dict[str, bytes | None]:
        """What a start is to see: the prefix, and a manifest that says so."""
        shown: dict[str, bytes | None] = dict.fromkeys(self._survey.counting_keys())
        number, term = self._number - 1, self._survey.term_max
        manifest = Manifest(number=number, term=term, sealed=self._survey.prefix.sealed)
        ids = BlockIds(self._log_id, number, 0, term, 0, self._opening.nonce)
        encoded = encode_payload(BlockKind.MANIFEST, ids, encode_manifest(manifest))
        shown[manifest_key(self._log_id, number)] = b"".join(encoded.pieces)
        return shown

    async def _load(self, link: Link) -> Tables:
        if isinstance(link, Completed) and link.segment in self._recovery.newest_footers:
            return self._recovery.newest_footers[link.segment]
        return await self._persist(lambda: stored_tables(self._shown, self._log_id, link))

    def _move_starts(self) -> None:
        """What was sealed later than the log is cut lacks what was deleted until then."""
        starts = starts_behind_gaps([self._tables[link] for link in self._recovery.chain.links])
        for stream_id, stream in self._recovery.streams.items():
            if stream_id == CHECKPOINT_STREAM_ID:
                continue  # its loader knows what is missing of it
            start = max(stream.start, starts.get(stream_id, 0))
            if start > min(stream.start, stream.end):
                self.cut.moved_starts[stream_id] = start
            if start > stream.end:
                stream.skip(start)  # deleted at the source, so never to be given out again
            stream.truncate(start)

    async def _judge_rest(self) -> None:
        """What is there and does not count: whose records it has."""
        ends: dict[int, int] = {}
        for tables in self._survey.tables_behind():
            for row in tables.streams():
                ends[row.stream_id] = max(row.end_offset, ends.get(row.stream_id, 0))
        for segment, slot in self._survey.blocks_behind():
            place = self._store.place(Slot(self._log_id, segment, slot, 0), None)
            try:
                block = await self._persist(partial(read_block, self._store.objects, place))
            except Corrupt:
                continue
            if not block.is_footer:
                for entry in block.entries():
                    ends[entry.stream_id] = max(entry.end_offset, ends.get(entry.stream_id, 0))
        for stream_id, end in sorted(ends.items()):
            stream = self._recovery.streams.get(stream_id)
            kept = 0 if stream is None else stream.end
            if end > kept and stream_id != CHECKPOINT_STREAM_ID:
                self.cut.given_up.append(GivenUp(stream_id, kept, end))
        self.cut.left_count = len(self._left_keys())

    def _left_keys(self) -> list[str]:
        counting = self._survey.counting_keys()
        return [
            key
            for key in sorted(self._sizes)
            if not key.startswith("manifests/") and key not in counting
        ]

    # -- making it count -------------------------------------------------------------------

    async def commit(self) -> None:
        """Seal, go on behind the jump, and name it in a manifest."""
        recovery = self._recovery
        term = max(recovery.term, self._survey.term_max) + JUMP
        own = self._opening.of_term(term)
        await self._seal(own)
        recovery.term = term
        for _ in range(UNSEALED_COUNT):
            await recovery.add_segment()
        await self._check_quiet()
        sealed = [link for link in recovery.chain.links if isinstance(link, Sealed)]
        manifest = Manifest(
            number=self._number,
            term=recovery.term,
            sealed=sealed,
            garbage=self._garbage(),
            swept=self._number,
        )
        # As many as are looked back upon: those of the copy are no predecessors.
        for number in range(self._number, self._number + KEPT_COUNT):
            await recovery.manifests.commit(msgspec.structs.replace(manifest, number=number))

    async def _seal(self, own: Tenure) -> None:
        """What is behind the sealed ones, and all numbers up to where the log goes on."""
        chain = self._recovery.chain
        links = [link for link in chain.links if isinstance(link, Completed)]
        count = self._config.seal_segments_max_count
        runs = [links[at : at + count] for at in range(0, len(links), count)]
        last = self.cut.next_segment - 1
        for run in runs:
            end = last if run is runs[-1] else run[-1].last
            chain.replace(run, await self._sealed(own, run, (run[0].first, end)))
        if not runs:
            chain.append(await self._sealed(own, [], (chain.last + 1, last)))

    async def _sealed(self, own: Tenure, run: Sequence[Link], segments: tuple[int, int]) -> Sealed:
        unique = own.rng.random_bytes(8).hex()
        writer = SealedWriter(
            self._shown.objects,
            own,
            Persistence(self._config, own.rng, waits_for_room=False),
            folder=f"sealed/{self._log_id}/{self._number:020d}-{unique}/",
            segments=segments,
            take_room=self._store.room.taking,
        )
        now_ms = own.clock.now_ms()
        if not run:
            rows = [stream.row(id_) for id_, stream in sorted(self._recovery.streams.items())]
            return await writer.finish(rows, now_ms)
        compaction = Compaction(
            self._shown.objects,
            self._config,
            self._persist,
            writer,
            one_object=False,
            uploads=False,
        )
        sealed, _ = await compaction.run(run, self._source, now_ms)
        self._referenced |= writer.referenced
        return sealed

    async def _source(self, link: Link) -> Source:
        starts = {
            stream_id: stream.start
            for stream_id, stream in self._recovery.streams.items()
            if not stream.dropped
        }
        return Source(link, self._tables[link], starts, self._place)

    def _place(self, tables: Tables, number: int) -> Place:
        return place_of(self._shown, self._log_id, tables, number)

    def _garbage(self) -> list[Garbage]:
        """All of the copy that does not count. Kept as long as fences are: somebody may want it."""
        config = self._config
        grace_ms = max(config.garbage_grace_ms, config.fence_grace_ms)
        used = self._survey.sealed_keys() | self._referenced
        keys = [
            key
            for key in sorted(self._sizes)
            if not key.startswith("manifests/") and key not in used
        ]
        due_ms = self._opening.clock.now_ms() + grace_ms
        return [Garbage(due_ms=due_ms, keys=keys)] if keys else []

    async def _check_quiet(self) -> None:
        """Nothing may have come or gone since the prefix was chosen."""
        now = await self._listed()
        own = self._shown.objects
        assert isinstance(own, Shown)
        changed = {key for key in now.keys() ^ self._sizes.keys() if key not in own.created}
        if changed:
            raise Unavailable(
                f"{len(changed)} objects came or went meanwhile, as {min(changed)}: stop what "
                "writes here, a broker or the replication, and repeat",
                log_id=self._log_id,
            )


def starts_behind_gaps(tables: Sequence[Tables]) -> dict[int, int]:
    """From where on everything of a stream is there. `tables` of whole links that follow each
    other: what is missing between two runs was deleted, and then all before it, too."""
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    for one in tables:
        firsts: dict[int, int] = {}
        for run in one.all_runs():
            firsts.setdefault(run.stream_id, run.first_offset)
        for row in one.streams():
            known = ends.get(row.stream_id, 0)
            begins = firsts.get(row.stream_id, row.end_offset)
            start = max(row.start_offset, begins if begins > known else 0)
            starts[row.stream_id] = max(start, starts.get(row.stream_id, 0))
            ends[row.stream_id] = max(row.end_offset, known)
    return starts
