"""Tables that cannot be read, made anew from the blocks they spoke for.

Blocks say what is in them, so of a footer or an index only the order of things and what was before
them is missing: the tables of the neighbours in the chain tell that. Nothing is written here; what
comes out serves reads, and nothing is compacted or deleted by it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from wal_core.errors import Corrupt
from wal_core.format.block import HEADER_BYTES, Block, BlockKind, parse_header
from wal_core.format.chain import Completed, Link, Sealed
from wal_core.format.footer import Footer
from wal_core.format.places import Lost, Place
from wal_core.format.sealed_index import BlockRow, ObjectRow, SealedIndex, encode_index
from wal_core.format.segment_end import slot_number
from wal_core.format.segment_index import SegmentIndex
from wal_core.format.stream_tables import NO_TIMESTAMP_MS, Run, StreamRow, with_maxima
from wal_core.state.replay import Replay
from wal_core.state.streams import Stream
from wal_core.state.tables import Tables
from wal_core.stores.manifests import Garbage, Manifests
from wal_core.stores.objects.base import NotFound, ObjectStore
from wal_core.stores.persistence import Persistence
from wal_core.stores.read_each import read_each
from wal_core.stores.segments.base import SegmentStore


class Known(NamedTuple):
    """What is known of a stream behind a segment: from its next run, or its row."""

    offset: int
    payload_bytes: int


def known_after(tables: Tables | SegmentIndex | None) -> dict[int, Known]:
    """Where streams continue in the segment behind: of those that say so."""
    if tables is None:
        return {}
    found = {}
    if isinstance(tables, SegmentIndex):
        return {run.stream_id: Known(run.first_offset, run.bytes_before) for run in tables.firsts()}
    for row in tables.streams():
        found[row.stream_id] = Known(row.end_offset, row.payload_bytes)
    for run in reversed([*tables.all_runs()]):
        found[run.stream_id] = Known(run.first_offset, run.bytes_before)
    return found


class Rebuild:
    """Of one log. Reads patiently; raises Corrupt where too little is left."""

    def __init__(
        self, store: SegmentStore, log_id: int, manifests: Manifests, persist: Persistence
    ) -> None:
        self._store = store
        self._log_id = log_id
        self._manifests = manifests
        self._persist = persist

    async def tables(
        self,
        link: Link,
        before: Iterable[StreamRow],
        after: Mapping[int, Known],
        others: Sequence[Sealed],
    ) -> Tables:
        """What a damaged footer or index said. `before`: the streams at the end of the link before,
        `others`: the sealed segments of the chain."""
        if isinstance(link, Completed):
            return await self._footer(link.segment, before, after)
        return await self._index(link, before, after, others)

    # -- footers ---------------------------------------------------------------------------

    async def _footer(
        self, segment: int, before: Iterable[StreamRow], after: Mapping[int, Known]
    ) -> Footer:
        streams = {row.stream_id: Stream(*row[1:5]) for row in before}
        replay = Replay(SegmentIndex(segment), streams)
        term = 0
        async for found in self._blocks_of(segment):
            if isinstance(found, Lost):
                replay.lose(found)
            elif not found.is_footer:
                term = max(term, found.header.term)
                replay.take(found)
        for stream_id, known in after.items():
            stream = streams.get(stream_id)
            if known.offset > (stream.end if stream else 0):
                replay.skip(stream_id, known.offset)
                streams[stream_id].recount(known.payload_bytes)
        rows = [stream.row(stream_id) for stream_id, stream in streams.items()]
        payload = replay.index.encode_footer(rows, b"", 0)
        # Of kind fence, so that whoever replaces the segment keeps the slot of its footer taken.
        return Footer(BlockKind.FENCE, segment, term, payload)

    def _blocks_of(self, segment: int) -> AsyncIterator[Block | Lost]:
        return self._store.recover_segment(
            self._log_id, segment, self._persist, cut=False, finished=True
        )

    # -- indexes ---------------------------------------------------------------------------

    async def _index(
        self,
        link: Sealed,
        before: Iterable[StreamRow],
        after: Mapping[int, Known],
        others: Sequence[Sealed],
    ) -> SealedIndex:
        pieces: list[_Piece] = []
        sizes: dict[str, int] = {}
        for key, size_bytes in await self._candidates(link, others):
            found = [piece async for piece in self._pieces_in(key, size_bytes, link)]
            if found:
                sizes[key] = size_bytes
                pieces += found
        payload = _encode(link, in_order(pieces), sizes, before, after)
        return SealedIndex(self._log_id, payload)

    async def _candidates(self, link: Sealed, others: Sequence[Sealed]) -> list[tuple[str, int]]:
        """Objects that may hold blocks of a sealed segment: in folders made until then, and in the
        folders or files of its segments, unless they are garbage or another's."""
        sealed, logs = f"sealed/{self._log_id}/", f"logs/{self._log_id}/"
        objects = self._store.objects
        rows = [
            *await self._persist(lambda: objects.list(sealed)),
            *await self._persist(lambda: objects.list(logs)),
        ]
        garbage = _GarbageKeys((await self._manifests.newest()).garbage)
        newest = _folder_number(link.index)
        indexes = {other.index for other in others}
        found = []
        for key, size_bytes, *_ in rows:
            if key in garbage or key in indexes:
                continue
            if key.startswith(sealed):
                if _folder_number(key) <= newest and not key.endswith("/index"):
                    found.append((key, size_bytes))
            elif link.first <= _segment_number(key) <= link.last:
                found.append((key, size_bytes))
        return found

    async def _pieces_in(self, key: str, size_bytes: int, link: Sealed) -> AsyncIterator[_Piece]:
        """The data blocks in an object that belong to a sealed segment."""
        if key.endswith(".seg"):
            position = 0
            async for found in self._blocks_of(_segment_number(key)):
                if isinstance(found, Lost):
                    position += found.span_bytes
                elif not found.is_footer:
                    yield _piece(key, position, found)
                    position += found.header.total_bytes
            return
        places = []
        async for place in self._places_in(key, size_bytes):
            if not link.first <= place.segment <= link.last:
                return
            places.append(place)
        async for place, block in read_each(self._store.objects, places, self._persist):
            if isinstance(block, Block) and block.header.kind == BlockKind.DATA:
                yield _piece(key, place.position, block)

    async def _places_in(self, key: str, size_bytes: int) -> AsyncIterator[Place]:
        """Of the blocks that lie one behind the other in an object; ends at what is none."""
        objects: ObjectStore = self._store.objects
        position = 0
        while position < size_bytes:
            at = position
            try:
                header = parse_header(
                    await self._persist(lambda at=at: objects.get_range(key, at, HEADER_BYTES))  # type: ignore[misc]
                )
            except (Corrupt, NotFound):
                return
            length = header.total_bytes
            yield Place(key, at, length, self._log_id, header.segment, header.block)
            position += length


class _Held(NamedTuple):
    """One stream's entries in a block."""

    first_offset: int
    end_offset: int
    payload_bytes: int
    max_timestamp_ms: int


class _Piece(NamedTuple):
    """A data block: where it is, and what of each stream is in it."""

    key: str
    position: int
    length: int
    data_bytes: int
    segment: int
    block: int
    held: dict[int, _Held]


def _piece(key: str, position: int, block: Block) -> _Piece:
    header = block.header
    held: dict[int, _Held] = {}
    for stream_id, base, span, _, timestamp_ms, payload in block.entries():
        first, _, size, latest_ms = held.get(stream_id, (base, 0, 0, NO_TIMESTAMP_MS))
        latest_ms = max(latest_ms, timestamp_ms)
        held[stream_id] = _Held(first, base + span, size + len(payload), latest_ms)
    return _Piece(
        key, position, header.total_bytes, header.data_bytes, header.segment, header.block, held
    )


def in_order(pieces: Sequence[_Piece]) -> list[_Piece]:
    """So that the offsets of every stream rise. There is such an order: that of the log."""
    holding: dict[int, list[tuple[int, int]]] = {}
    for number, piece in enumerate(pieces):
        for stream_id, held in piece.held.items():
            holding.setdefault(stream_id, []).append((held.first_offset, number))
    following: dict[int, list[int]] = {}
    waits = [0] * len(pieces)
    for own in holding.values():
        own.sort()
        for (_, earlier), (_, later) in pairwise(own):
            following.setdefault(earlier, []).append(later)
            waits[later] += 1
    ready = [number for number, count in enumerate(waits) if not count]
    heapq.heapify(ready)
    ordered = []
    while ready:
        number = heapq.heappop(ready)
        ordered.append(pieces[number])
        for later in following.get(number, ()):
            waits[later] -= 1
            if not waits[later]:
                heapq.heappush(ready, later)
    if len(ordered) < len(pieces):
        raise Corrupt("the blocks of a sealed segment contradict each other")
    return ordered


def _encode(
    link: Sealed,
    pieces: Sequence[_Piece],
    sizes: Mapping[str, int],
    before: Iterable[StreamRow],
    after: Mapping[int, Known],
) -> bytes:
    """The index of these blocks. How many bytes of a stream there were before them, the link behind
    knows best: what was deleted of it is gone from the front."""
    totals: Counter[int] = Counter()
    for piece in pieces:
        for stream_id, held in piece.held.items():
            totals[stream_id] += held.payload_bytes
    streams = {row.stream_id: Stream(*row[1:5]) for row in before}
    ends: dict[int, int] = {}
    runs: list[Run] = []
    for number, piece in enumerate(pieces):
        for stream_id, held in piece.held.items():
            stream = streams.setdefault(stream_id, Stream())
            if stream_id not in ends and stream_id in after:
                stream.recount(max(0, after[stream_id].payload_bytes - totals[stream_id]))
            if held.first_offset < ends.get(stream_id, 0):
                continue  # what a compaction has copied and could not delete any more
            latest_ms = held.max_timestamp_ms
            before_bytes = stream.recover(held.end_offset, latest_ms, held.payload_bytes)
            runs.append(Run(stream_id, number, held.first_offset, latest_ms, before_bytes))
            ends[stream_id] = held.end_offset
    keys = sorted({piece.key for piece in pieces})
    numbers = {key: number for number, key in enumerate(keys)}
    return encode_index(
        first=link.first,
        last=link.last,
        objects=[ObjectRow(key, sizes[key]) for key in keys],
        blocks=[
            BlockRow(p.position, p.length, p.data_bytes, numbers[p.key], p.segment, p.block)
            for p in pieces
        ],
        streams=with_maxima(
            [stream.row(stream_id) for stream_id, stream in sorted(streams.items())], runs
        ),
        runs=sorted(runs, key=lambda run: run[:2]),
        created_ms=0,
    )


class _GarbageKeys:
    """What a manifest wants deleted, as a set of keys."""

    def __init__(self, rows: Iterable[Garbage]) -> None:
        self._keys: set[str] = set()
        self._kept: dict[int, set[int]] = {}
        for row in rows:
            self._keys.update(row.keys)
            if row.segment is not None:
                self._kept.setdefault(row.segment, set()).update(row.keep)

    def __contains__(self, key: str) -> bool:
        if key in self._keys:
            return True
        kept = self._kept.get(_segment_number(key)) if key.startswith("logs/") else None
        return kept is not None and slot_number(key) not in kept


def _segment_number(key: str) -> int:
    """Of a segment's file, or of what lies in its folder; -1 for anything else."""
    name = key.split("/")[2].removesuffix(".seg")
    return int(name) if name.isascii() and name.isdigit() else -1


def _folder_number(key: str) -> int:
    """Of the manifest that a sealed folder was made for; -1 for what is in none."""
    name = key.split("/")[2].partition("-")[0]
    return int(name) if name.isascii() and name.isdigit() else -1
