"""What happens to a log behind its writer's back: compaction, and deletion of what it replaced.

One task, one step at a time, woken by events: a segment was finished, something was truncated or
dropped, garbage is due. A log where nothing of that happens costs no request. Nothing here can
harm what is written or read: a step that fails is tried again later, or left alone.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine, Sequence
from functools import partial

import msgspec

from wal_core.errors import Fenced, Unavailable, WalError
from wal_core.format.chain import Completed, Link, Sealed
from wal_core.read.log_reader import LogReader
from wal_core.state.contents import Contents
from wal_core.stores.manifests import KEPT_COUNT, Garbage, Manifest, Manifests, Superseded
from wal_core.stores.persistence import Persistence
from wal_core.stores.room import TakeRoom
from wal_core.stores.segments.base import SegmentStore
from wal_core.tenure import Tenure
from wal_core.upkeep.candidates import Candidates
from wal_core.upkeep.compaction import Compaction, Source
from wal_core.upkeep.compaction_plan import next_run
from wal_core.upkeep.garbage import collect, garbage_of, when_due_ms
from wal_core.upkeep.sealed_writer import SealedWriter
from wal_core.upkeep.sweep import find_orphans
from wal_core.write.log_writer import LogWriter

RESWEPT_COUNT = 64
"""Folders of so many manifests before the present one are looked at again by the next opener: a
writer that was fenced in mid-compaction may have left something there meanwhile."""
_AFTER_FAILURE_S = 60.0
_LONG_S = 60.0
"""Work that takes longer does not keep garbage from being deleted."""

_logger = logging.getLogger(__name__)


class Maintenance:
    """Belongs to an open log. `start`, `poke`, `stop`."""

    def __init__(
        self,
        store: SegmentStore,
        tenure: Tenure,
        contents: Contents,
        *,
        writer: LogWriter,
        reader: LogReader,
        manifests: Manifests,
        manifest: Manifest,
        alone: asyncio.Lock,
    ) -> None:
        self._store = store
        self._tenure = tenure
        self._config = tenure.config
        self._clock = tenure.clock
        self._chain = contents.chain
        self._manifests = manifests
        self.manifest = manifest  # the newest: nobody but us may commit another
        self._writer = writer
        self._reader = reader
        self._persist = Persistence(tenure.config, tenure.rng)
        self._candidates = Candidates(store, tenure.config, contents, reader, self._persist)
        self._alone = alone  # held while compacting: one log at a time does
        self._before: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._quiet = asyncio.Event()
        self._deleted: list[Garbage] = []  # but not forgotten yet: the manifest still lists it
        self._due_s: dict[int, float] = {}  # by the loop's time; by id of what the manifest lists
        self._note_garbage()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(self._run())

    def poke(self) -> None:
        """A segment was finished, or room lacks: then what is dead is looked for at once."""
        self._candidates.look_for_pieces()
        if self._store.room.is_low:
            self._candidates.something_died()
        self._wanted.set()

    def starts_changed(self) -> None:
        """A stream was truncated or dropped."""
        self._candidates.something_died()
        self._wanted.set()

    def compact_after(self, work: asyncio.Future[None]) -> None:
        """See Log.compact_after."""
        self._before = work

    async def stop(self) -> None:
        """What is half done is not visible; the next opener removes it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def until_quiet(self) -> None:
        """Returns when nothing is to be done now; what is due later is waited for by nobody."""
        await self._quiet.wait()

    # -- the loop --------------------------------------------------------------------------

    async def _run(self) -> None:
        step = self._tidy
        while True:
            try:
                worked = await step()
                step = self._step
                if not worked:
                    await self._sleep(self._idle_s())
            except Fenced as error:
                self._writer.fail(error)
                self._quiet.set()
                return
            except WalError as error:
                _logger.warning("maintenance of the log: %s", error)
                if not error.retriable:
                    step = self._step  # damage stays: go on with what is whole
                await self._sleep(_AFTER_FAILURE_S)
            except Exception:
                _logger.exception("maintenance of the log failed, and will be tried again")
                await self._sleep(_AFTER_FAILURE_S)

    async def _sleep(self, seconds: float) -> None:
        """Until somebody wants something, or for a while."""
        timer = None
        if seconds != float("inf"):
            timer = self._loop.call_later(max(seconds, 0), self._wanted.set)
        if not self._wanted.is_set():
            self._quiet.set()
        try:
            await self._wanted.wait()
        finally:
            self._quiet.clear()
            self._wanted.clear()
            if timer is not None:
                timer.cancel()

    def _idle_s(self) -> float:
        """How long nothing is due, if nothing happens."""
        now_ms = self._clock.now_ms()
        waits = [(self._when_due_ms(row) - now_ms) / 1000 for row in self.manifest.garbage]
        waits.append(self._candidates.due_s() - self._loop.time())
        return min(waits)

    async def _step(self) -> bool:
        """One piece of work; False when there was none."""
        if not await self._collect():
            dead = await self._candidates.dead()
            # The last piece first: what was completed waits there.
            small = await self._candidates.small()
            pieces = reversed(self._candidates.workable())
            runs = (
                next_run(piece, dead, small, self._config, uploads=self._store.uploads)
                for piece in pieces
            )
            # What gives back less than it takes meanwhile has to wait while room lacks.
            lacks_room = self._store.room.is_low and not dead
            run = None if lacks_room else next(filter(None, runs), None)
            if run is None:
                return False
            room = self._store.room
            take_room = partial(room.taking, can_wait=not dead)
            await self._beside_deletion(self._compact_alone(run, take_room))
        await self._manifests.delete(self.manifest.number - KEPT_COUNT)
        return True

    # -- compaction ------------------------------------------------------------------------

    async def _compact_alone(self, run: Sequence[Link], take_room: TakeRoom) -> None:
        if self._before is not None:
            await asyncio.wait((self._before,))
        async with self._alone:
            await self._compact(run, take_room)

    async def _compact(self, run: Sequence[Link], take_room: TakeRoom) -> None:
        # What is taken for dead must be dead for good: the entries that say so are durable before
        # anything is committed. (What is uploaded says so itself, and where logstores are full
        # nothing would become durable before it is.)
        barrier = None if self._store.uploads else self._writer.barrier()
        starts = await self._candidates.starts(run)
        number = self.manifest.number + 1
        unique = self._tenure.rng.random_bytes(8).hex()
        # A run that finds no room gives back what it has taken, and is tried again later.
        persist = Persistence(self._config, self._tenure.rng, waits_for_room=False)
        writer = SealedWriter(
            self._store.objects,
            self._tenure,
            persist,
            folder=f"sealed/{self._config.log_id}/{number:020d}-{unique}/",
            segments=(run[0].first, run[-1].last),
            take_room=take_room,
        )
        compaction = Compaction(
            self._store.objects,
            self._config,
            persist,
            writer,
            one_object=self._store.segment_is_one_object,
            uploads=self._store.uploads,
        )
        loading: list[Link] = []

        async def load(link: Link) -> Source:
            loading.append(link)
            return await self._candidates.load(link, starts)

        try:
            sealed, sources = await compaction.run(run, load, self._clock.now_ms())
            if barrier is not None:
                await asyncio.wait((barrier,))
                barrier.result()
            await self._commit(self._sealed_manifest(number, sealed, sources, writer.referenced))
        except WalError as error:
            if not isinstance(error, Superseded):
                created = writer.created
                await self._persist(lambda: self._store.objects.delete(*created))
            if not isinstance(error, Fenced | Unavailable):
                await self._reader.confirm()
                self._candidates.avoid(loading[-1])
            raise
        self._chain.replace(run, sealed)
        self._candidates.was_sealed(sealed)
        self._log_sealed(run, sealed, writer.written_bytes)

    def _sealed_manifest(
        self, number: int, sealed: Sealed, sources: Sequence[Source], referenced: frozenset[str]
    ) -> Manifest:
        replaced = [source.link for source in sources]
        rows = [row for row in self.manifest.sealed if row not in replaced]
        if self._store.uploads and isinstance(sources[-1].link, Completed):
            sources = sources[-1:]  # logstores forget all that is before a segment
        garbage = [
            row
            for source in sources
            for row in garbage_of(
                source, referenced, self._store, self._config, self._clock.now_ms()
            )
        ]
        return msgspec.structs.replace(
            self.manifest,
            number=number,
            sealed=sorted((*rows, sealed), key=lambda row: row.first),
            garbage=[*self.manifest.garbage, *garbage],
        )

    async def _commit(self, manifest: Manifest) -> None:
        manifest = msgspec.structs.replace(
            manifest, number=self.manifest.number + 1, term=self._tenure.term
        )
        await self._manifests.commit(manifest)
        self.manifest = manifest
        self._note_garbage()

    def _log_sealed(self, run: Sequence[Link], sealed: Sealed, written_bytes: int) -> None:
        _logger.info(
            "segments %d to %d sealed: %d links became one, %d bytes alive, %d written anew",
            sealed.first,
            sealed.last,
            len(run),
            sealed.live_bytes,
            written_bytes,
        )

    # -- deletion --------------------------------------------------------------------------

    async def _collect(self) -> bool:
        """Delete the garbage that is due, then forget it."""
        due = self._due()
        if not due:
            return False
        await collect(due, self._store, self._config.log_id, self._persist)
        self._deleted = due
        left = [row for row in self.manifest.garbage if row not in due]
        manifest = msgspec.structs.replace(self.manifest, garbage=left)
        await self._beside_deletion(self._commit(manifest))
        self._deleted = []
        return True

    def _due(self) -> list[Garbage]:
        now_ms = self._clock.now_ms()
        return [row for row in self.manifest.garbage if self._when_due_ms(row) <= now_ms]

    def _note_garbage(self) -> None:
        """When each row is due that was not known before, if the clock on the wall is right now. It
        may be set back later: what was to wait for seconds must not wait for as long as that."""
        known, now_s, now_ms = self._due_s, self._loop.time(), self._clock.now_ms()
        self._due_s = {
            id(row): known.get(id(row), now_s + (row.due_ms - now_ms) / 1000)
            for row in self.manifest.garbage
        }

    def _when_due_ms(self, row: Garbage) -> int:
        left_ms = math.ceil((self._due_s[id(row)] - self._loop.time()) * 1000)
        back_ms = max(0, row.due_ms - (self._clock.now_ms() + left_ms))
        return when_due_ms(row, self._config, in_want=self._store.room.is_low) - back_ms

    async def _beside_deletion(self, work: Coroutine[None, None, None]) -> None:
        """Do what may take long, and meanwhile delete what becomes due.

        On a full disk nothing can be written, no manifest either, and the write goes on trying:
        it may be the garbage that has to make room for it.
        """
        task = self._loop.create_task(work)
        try:
            while not (await asyncio.wait((task,), timeout=_LONG_S))[0]:
                due = [row for row in self._due() if row not in self._deleted]
                try:
                    await collect(due, self._store, self._config.log_id, self._persist)
                except Exception:
                    # No reason to give the work up: of a commit nobody would know what became.
                    _logger.exception("deletion beside other work failed")
                else:
                    self._deleted += due
            await task
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def _tidy(self) -> bool:
        """After an opening: remove what earlier writers left half done."""
        number = self.manifest.number
        await self._manifests.prune(number)
        orphans = await find_orphans(
            self._store.objects,
            self._config.log_id,
            self.manifest,
            lambda link: self._candidates.load(link, {}),
            self._persist,
        )
        if orphans:
            _logger.info("%d objects of a compaction that was cut short: deleted", len(orphans))
            await self._persist(lambda: self._store.objects.delete(*orphans))
        swept = max(self.manifest.swept, number - RESWEPT_COUNT)
        self.manifest = msgspec.structs.replace(self.manifest, swept=swept)
        return True
