"""Writing a sealed segment: entries gathered by stream into blocks, blocks into objects, an index.

Memory is bounded: past `seal_buffer_bytes_max` the streams with most gathered are written out, so a
stream's data may lie in several places, each of them large.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from wal_core.format.block import BlockIds, BlockKind, encode_entries, encode_payload
from wal_core.format.chain import Sealed
from wal_core.format.places import Place
from wal_core.format.sealed_index import BlockRow, ObjectRow, encode_index
from wal_core.format.stream_tables import NO_TIMESTAMP_MS, Run, StreamRow, with_maxima
from wal_core.state.survey import LiveRun
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import create_own
from wal_core.stores.room import TakeRoom
from wal_core.tenure import Tenure
from wal_core.types import Buffer, Entry

_TURN_UNITS_COUNT = 1_000
_UNIT_BYTES = 2_048
"""So many entries, or so many times so many bytes, are handled before others get the loop: one or
two milliseconds."""
_RUN_UNITS_COUNT = 10
"""What it takes to get to a run, whatever is in it."""
_BLOCK_ENTRIES_MAX_COUNT = 2_000
"""Of tiny entries a block holds no more: whoever encodes or parses it keeps the loop meanwhile."""


_stream_of = attrgetter("stream_id")


class _Gathered:
    """Entries of one stream that wait for their block."""

    __slots__ = ("bytes_before", "bytes_count", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.bytes_count = 0
        self.bytes_before = 0  # of the stream, before the first of them


class SealedWriter:
    """Takes blocks in log order (`copy`, `reference`), then `finish`."""

    def __init__(
        self,
        objects: ObjectStore,
        tenure: Tenure,
        persist: Persistence,
        *,
        folder: str,
        segments: tuple[int, int],
        take_room: TakeRoom,
    ) -> None:
        self._store = objects
        self._config = tenure.config
        self._persist = persist
        self._folder = folder
        self._first, self._last = segments
        self._tenure = tenure
        self._take_room = take_room
        self._gathered: dict[int, _Gathered] = {}
        self._gathered_bytes = 0
        self._objects: list[ObjectRow] = []
        self._numbers: dict[str, int] = {}  # of referenced objects, by key
        self._blocks: list[BlockRow] = []
        self._runs: list[Run] = []
        self._own_count = 0  # blocks written
        self._own_objects_count = 0
        self._pieces: list[Buffer] = []  # of the object that grows
        self._pieces_bytes = 0
        self._pieces_number = -1
        self._turn_units_count = 0
        self.live_bytes = 0
        self.written_bytes = 0
        self.created: list[str] = []  # keys, also of creates that are not known to have succeeded

    @property
    def referenced(self) -> frozenset[str]:
        """Keys of the objects of others that the index names."""
        return frozenset(self._numbers)

    # -- taking in -------------------------------------------------------------------------

    async def copy(self, entries: Sequence[Entry], live: LiveRun, start_offset: int) -> None:
        """Entries of one run, as they lie in its block; those below `start_offset` are left out."""
        gathered = self._gathered.setdefault(live.run.stream_id, _Gathered())
        before = live.run.bytes_before
        for entry in entries:
            if entry.end_offset > start_offset:
                if not gathered.entries:
                    gathered.bytes_before = before
                # A copy: a view would keep the whole block it lies in.
                gathered.entries.append(entry._replace(payload=bytes(entry.payload)))
                gathered.bytes_count += len(entry.payload)
                self._gathered_bytes += len(entry.payload)
            before += len(entry.payload)
            await self._breathe(1 + len(entry.payload) // _UNIT_BYTES)
        await self._breathe(_RUN_UNITS_COUNT)
        if gathered.bytes_count >= self._config.sealed_block_bytes_max:
            await self._write_streams([live.run.stream_id])
        while self._gathered_bytes > self._config.seal_buffer_bytes_max:
            largest = max(self._gathered, key=lambda stream: self._gathered[stream].bytes_count)
            await self._write_streams([largest])

    async def reference(
        self, place: Place, data_bytes: int, size_bytes: int, live: Sequence[LiveRun]
    ) -> None:
        """A block stays where it is; `size_bytes` is the size of the object it lies in."""
        # What was gathered of these streams comes before it.
        waiting = [run.run.stream_id for run in live if self._has(run.run.stream_id)]
        if waiting:
            await self._write_streams(waiting)
        number = self._numbers.get(place.key)
        if number is None:
            number = self._numbers[place.key] = len(self._objects)
            self._objects.append(ObjectRow(place.key, size_bytes))
        assert place.length is not None
        block = len(self._blocks)
        self._blocks.append(
            BlockRow(place.position, place.length, data_bytes, number, place.segment, place.block)
        )
        for run, _, payload_bytes in live:
            self._runs.append(run._replace(block=block))
            self.live_bytes += payload_bytes
        await self._breathe(1)

    async def lose(self, stream_id: int, first_offset: int, bytes_before: int) -> None:
        """A stream's records from this offset on, up to what comes next of it, are nowhere."""
        if self._has(stream_id):
            await self._write_streams([stream_id])
        block = len(self._blocks)
        self._blocks.append(BlockRow(0, 0, 0, 0, self._last, 0))
        self._runs.append(Run(stream_id, block, first_offset, NO_TIMESTAMP_MS, bytes_before))
        await self._breathe(1)

    def _has(self, stream_id: int) -> bool:
        gathered = self._gathered.get(stream_id)
        return gathered is not None and bool(gathered.entries)

    async def _breathe(self, units_count: int) -> None:
        self._turn_units_count += units_count
        if self._turn_units_count >= _TURN_UNITS_COUNT:
            self._turn_units_count = 0
            await asyncio.sleep(0)

    # -- writing out -----------------------------------------------------------------------

    async def _write_streams(self, stream_ids: Sequence[int]) -> None:
        """Everything gathered of some streams, in blocks of at most the wanted size."""
        entries: list[Entry] = []
        size = 0
        for stream_id in stream_ids:
            for entry in self._gathered[stream_id].entries:
                full = size + len(entry.payload) > self._config.sealed_block_bytes_max
                if entries and (full or len(entries) >= _BLOCK_ENTRIES_MAX_COUNT):
                    await self._write_block(entries)
                    entries, size = [], 0
                entries.append(entry)
                size += len(entry.payload)
            self._gathered_bytes -= self._gathered[stream_id].bytes_count
            self._gathered[stream_id].entries = []
            self._gathered[stream_id].bytes_count = 0
        if entries:
            await self._write_block(entries)

    async def _write_block(self, entries: list[Entry]) -> None:
        own = self._tenure
        ids = BlockIds(own.log_id, self._first, self._own_count, own.term, 0, own.nonce)
        encoded = encode_entries(ids, entries)
        if self._pieces and (
            self._pieces_bytes + encoded.length > self._config.sealed_object_bytes_max
        ):
            await self._put_object()
        if not self._pieces:
            self._pieces_number = len(self._objects)
            key = f"{self._folder}{self._own_objects_count:06d}"
            self._own_objects_count += 1
            self._objects.append(ObjectRow(key, 0))
        block = len(self._blocks)
        at = (self._pieces_bytes, encoded.length, encoded.data_bytes)
        self._blocks.append(BlockRow(*at, self._pieces_number, self._first, ids.block))
        self._own_count += 1
        self._pieces += encoded.pieces
        self._pieces_bytes += encoded.length
        self._note_runs(entries, block)
        await asyncio.sleep(0)

    def _note_runs(self, entries: Sequence[Entry], block: int) -> None:
        """One run per stream: its entries lie side by side."""
        for stream_id, of_stream in groupby(entries, key=_stream_of):
            run_entries = list(of_stream)
            gathered = self._gathered[stream_id]
            maximum = max(entry.max_timestamp_ms for entry in run_entries)
            first = run_entries[0].base_offset
            self._runs.append(Run(stream_id, block, first, maximum, gathered.bytes_before))
            bytes_count = sum(len(entry.payload) for entry in run_entries)
            gathered.bytes_before += bytes_count
            self.live_bytes += bytes_count

    async def _put_object(self) -> None:
        row = self._objects[self._pieces_number]
        self._objects[self._pieces_number] = ObjectRow(row.key, self._pieces_bytes)
        # The first block of an object tells whose it is.
        await self._create(row.key, self._pieces)
        self.written_bytes += self._pieces_bytes
        self._pieces, self._pieces_bytes = [], 0

    async def _create(self, key: str, pieces: Sequence[Buffer]) -> None:
        place = Place(key, 0, None, self._config.log_id, self._last, 0)
        with self._take_room(sum(map(len, pieces))):
            self.created.append(key)
            await self._persist(lambda: create_own(self._store, place, pieces))

    async def finish(
        self, streams: Sequence[StreamRow], created_ms: int, changes: Buffer | None = None
    ) -> Sealed:
        """Write what is left, then the index. `streams` as of the end of the last segment, and so
        the changes of the checkpoint, where the log may end there."""
        await self._write_streams([s for s in sorted(self._gathered) if self._has(s)])
        if self._pieces:
            await self._put_object()
        payload = encode_index(
            first=self._first,
            last=self._last,
            objects=self._objects,
            blocks=self._blocks,
            streams=with_maxima(streams, self._runs),
            runs=sorted(self._runs, key=lambda run: run[:2]),
            created_ms=created_ms,
            changes=changes,
        )
        own = self._tenure
        ids = BlockIds(own.log_id, self._last, 0, own.term, 0, own.nonce)
        encoded = encode_payload(BlockKind.INDEX, ids, payload)
        key = f"{self._folder}index"
        await self._create(key, encoded.pieces)
        return Sealed(
            first=self._first,
            last=self._last,
            index=key,
            index_bytes=encoded.length,
            live_bytes=self.live_bytes,
        )
