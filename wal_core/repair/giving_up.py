"""Going on without logstores: a log ends where its bucket does, because somebody says so.

Where two of the three that had a log's tail are lost for good, nobody can tell what was confirmed
behind what is uploaded. What the bucket has is whole by itself (its last index holds what a start
needs), and becomes the log: one manifest and one pointer, of a term, with segments and under
numbers far behind all that any owner of before may still write. The pointer names no logstores, and
the next opener chooses them.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import msgspec

from wal_core.clock import Clock, Rng
from wal_core.config import LogConfig
from wal_core.errors import Invalid, Unavailable, WalError
from wal_core.format.block import NONCE_BYTES
from wal_core.format.chain import Sealed
from wal_core.format.checkpoint import CHECKPOINT_STREAM_ID
from wal_core.format.sealed_index import SealedIndex
from wal_core.quorum.pointers import Pointer, Pointers
from wal_core.repair.lagging import JUMP
from wal_core.state.start import Start
from wal_core.state.table_loading import stored_tables
from wal_core.stores.manifests import Manifest, Manifests
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.tenure import Tenure
from wal_core.types import Buffer, LogState
from wal_core.upkeep.sealed_writer import SealedWriter


class GivenUpTail(NamedTuple):
    """Of one log."""

    log_id: int
    kept_until: int  # the last segment that the bucket has, -1: none
    next_segment: int  # the log goes on there
    stores: tuple[str, ...]  # logstores that had what is given up
    ends: dict[int, int]  # of streams, as they are kept


async def give_up_tail(
    objects: ObjectStore,
    state: LogState,
    config: LogConfig,
    *,
    clock: Clock,
    rng: Rng,
    to_commit: bool,
) -> GivenUpTail:
    """Say where a log ends in its bucket, and with `to_commit` let it end there. `state` becomes
    that of the end. Nobody may own the log any more: who does is fenced. May be repeated. Raises
    Corrupt where the bucket is damaged: that is for a repair, before."""
    opening = Tenure(config=config, clock=clock, rng=rng, nonce=rng.random_bytes(NONCE_BYTES))
    giving = _GivingUp(objects, state, opening)
    told = await giving.plan()
    if to_commit:
        await giving.commit(told)
    return told


class _GivingUp:
    """Of one log."""

    def __init__(self, objects: ObjectStore, state: LogState, opening: Tenure) -> None:
        self._objects = objects
        self._state = state
        self._opening = opening
        self._config = opening.config
        self._persist = Persistence(opening.config, opening.rng)
        self._manifests = Manifests(objects, opening.log_id, self._persist, opening.nonce)
        self._pointers = Pointers(objects, opening.log_id, opening.nonce)
        self._start: Start
        self._pointer: Pointer
        self._changes: Buffer | None = b""

    async def plan(self) -> GivenUpTail:
        """Writes nothing."""
        log_id = self._opening.log_id
        pointer = await self._persist(self._pointers.newest)
        if pointer is None:
            raise Invalid("the log has no tail on logstores", log_id=log_id)
        self._pointer = pointer
        store = ObjectSegmentStore(self._objects)
        self._start = start = Start(
            store,
            self._state,
            self._config,
            self._manifests,
            self._persist,
            overtaken=self._overtaken,
        )
        if await start.run(may_end_sealed=True) is not None or start.newest_footers:
            raise Invalid("segments lie in the bucket that no logstore had", log_id=log_id)
        links = start.chain.links
        if links:
            tables = await self._persist(lambda: stored_tables(store, log_id, links[-1]))
            assert isinstance(tables, SealedIndex)
            self._changes = tables.changes
        ends = {id_: one.end for id_, one in start.streams.items() if id_ != CHECKPOINT_STREAM_ID}
        last = max(start.chain.last, pointer.segment - 1)
        stores = tuple(sorted(member.store for member in pointer.ensemble))
        return GivenUpTail(log_id, start.chain.last, last + 1 + JUMP, stores, ends)

    async def commit(self, told: GivenUpTail) -> None:
        """Fill up to where it goes on, and say so: the manifest first, which fences."""
        start, pointer = self._start, self._pointer
        term = max(start.manifest.term, start.term, pointer.term) + JUMP
        number = start.manifest.number + 1
        filler = await self._filler(told, self._opening.of_term(term), number)
        manifest = msgspec.structs.replace(
            start.manifest,
            number=number,
            term=term,
            sealed=[*start.manifest.sealed, filler],
            garbage=[row for row in start.manifest.garbage if row.segment is None],
        )
        await self._manifests.commit(manifest)
        moved = Pointer(
            number=pointer.number + 1, term=term, segment=told.next_segment, ensemble=()
        )
        await self._persist(lambda: self._pointers.commit(moved))

    async def _filler(self, told: GivenUpTail, own: Tenure, number: int) -> Sealed:
        """Stands for the segments that are given up, and all numbers up to where it goes on."""
        writer = SealedWriter(
            self._objects,
            own,
            self._persist,
            folder=f"sealed/{own.log_id}/{number:020d}-{own.rng.random_bytes(8).hex()}/",
            segments=(told.kept_until + 1, told.next_segment - 1),
            take_room=lambda count_bytes: nullcontext(),
        )
        rows = [stream.row(id_) for id_, stream in sorted(self._start.streams.items())]
        return await writer.finish(rows, own.clock.now_ms(), self._changes)

    async def _overtaken(self, newest: Manifest) -> WalError:
        text = f"somebody writes here, manifest {newest.number} has come: stop the brokers"
        return Unavailable(text, log_id=self._opening.log_id)
