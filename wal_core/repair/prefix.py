"""The longest part of a log of which everything is there, of a bucket that lacks some of it.

A copy that lags behind its source may miss any of the newest objects, and what they replaced may be
deleted already. So no manifest is believed: an index of which all objects are there stands for its
segments, whether the manifest that names it has come or not. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from wal_core.errors import Corrupt
from wal_core.format.block import BlockHeader, parse_block, parse_header
from wal_core.format.chain import Sealed
from wal_core.format.footer import Footer
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.segment_end import slot_number
from wal_core.state.survey import runs_with_ends
from wal_core.state.tables import Tables
from wal_core.stores.manifests import Manifest, Manifests
from wal_core.stores.objects.base import NotFound
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore

_INDEX = "/index"


class Prefix(msgspec.Struct, frozen=True, kw_only=True):
    """Sealed segments, completed ones behind them, then some blocks of one that is not whole."""

    sealed: list[Sealed] = []
    completed: list[int] = []
    tail: int | None = None
    tail_blocks_count: int = 0

    @property
    def last(self) -> int:
        """The last segment of which there is anything, -1 for none."""
        if self.tail is not None:
            return self.tail
        return max(
            self.completed[-1] if self.completed else -1,
            self.sealed[-1].last if self.sealed else -1,
        )


class _Index(NamedTuple):
    sealed: Sealed
    tables: SealedIndex


class Survey:
    """What there is of a log; `run` it, then the attributes say it. `sizes`: all keys below the
    log's folders, with their objects' bytes."""

    def __init__(
        self, store: SegmentStore, log_id: int, sizes: Mapping[str, int], persist: Persistence
    ) -> None:
        self._store = store
        self._log_id = log_id
        self._sizes = sizes
        self._persist = persist
        self._slots: dict[int, set[int]] = {}  # of every segment
        self._indexes: list[_Index] = []  # those that can be read
        self._footers: dict[int, Footer] = {}
        self.prefix = Prefix()
        self.term_max = 0
        self.number_max = -1  # of manifests, and of those that sealed folders were made for
        self.segment_max = -1

    async def run(self) -> None:
        """Read every table, and choose."""
        for key in self._sizes:
            folder, _, name = key.split("/", 2)
            number = int(name[:20]) if name[:20].isascii() and name[:20].isdigit() else -1
            if folder == "logs" and number >= 0 and slot_number(key) >= 0:
                self._slots.setdefault(number, set()).add(slot_number(key))
                self.segment_max = max(self.segment_max, number)
            elif folder in ("manifests", "sealed"):
                self.number_max = max(self.number_max, number)
        await self._read_manifests()
        await self._read_indexes()
        for segment in sorted(self._slots):
            await self._read_segment(segment)
        self.prefix = self._longest()

    # -- reading ---------------------------------------------------------------------------

    async def _read_manifests(self) -> None:
        """For their terms and numbers alone."""
        manifests = Manifests(self._store.objects, self._log_id, self._persist, b"")
        for number in await manifests.numbers():
            try:
                manifest: Manifest = await manifests.read(number)
            except Corrupt:
                continue
            self.term_max = max(self.term_max, manifest.term)
            self.segment_max = max(self.segment_max, manifest.covered)

    async def _read_indexes(self) -> None:
        for key, size_bytes in self._sizes.items():
            if not (key.startswith("sealed/") and key.endswith(_INDEX)):
                continue
            try:
                block = parse_block(await self._get(key, None))
                tables = SealedIndex.of_block(block)
            except (Corrupt, NotFound):
                continue
            live_bytes = sum(live.payload_bytes for live in runs_with_ends(tables))
            sealed = Sealed(
                first=tables.first,
                last=tables.last,
                index=key,
                index_bytes=size_bytes,
                live_bytes=live_bytes,
            )
            self._indexes.append(_Index(sealed, tables))
            self.term_max = max(self.term_max, block.header.term)
            self.segment_max = max(self.segment_max, tables.last)

    async def _read_segment(self, segment: int) -> None:
        try:
            block = await self._persist(lambda: self._store.read_footer(self._log_id, segment))
            if block is not None:
                self._footers[segment] = Footer.of_block(block)
                self.term_max = max(self.term_max, block.header.term)
        except Corrupt:
            pass  # then it is not whole
        newest = await self.header(segment, max(self._slots[segment]))
        self.term_max = max(self.term_max, 0 if newest is None else newest.term)

    async def header(self, segment: int, slot: int) -> BlockHeader | None:
        """Of a block; None when there is none that can be read."""
        try:
            return parse_header(await self._get(self.slot_key(segment, slot), 256))
        except (Corrupt, NotFound):
            return None

    async def _get(self, key: str, length: int | None) -> memoryview:
        return memoryview(
            await self._persist(lambda: self._store.objects.get_range(key, 0, length))
        )

    def slot_key(self, segment: int, slot: int) -> str:
        """Of the object that a block is."""
        return f"logs/{self._log_id}/{segment:020d}/{slot:010d}"

    # -- choosing --------------------------------------------------------------------------

    def _longest(self) -> Prefix:
        """Of all that follow each other from the first segment on, the one that reaches furthest;
        of these one with a footer, which holds the state; of these the one that is sealed most."""
        best, best_rank = Prefix(), (-1, -1, False, -1)
        for sealed in self._sealed_chains():
            prefix = self._go_on(sealed)
            covered = sealed[-1].last if sealed else -1
            blocks_count = prefix.tail_blocks_count
            end = prefix.last + (0 if blocks_count else 1)
            rank = (end, blocks_count, bool(prefix.completed), covered)
            if rank > best_rank:
                best, best_rank = prefix, rank
        return best

    def _sealed_chains(self) -> Iterator[list[Sealed]]:
        """One for each segment that whole ones reach, among those that end there the one whose last
        was made last."""
        reached: dict[int, list[Sealed]] = {-1: []}
        yield []
        whole = [index.sealed for index in self._indexes if self._is_whole(index)]
        for sealed in sorted(whole, key=lambda one: (one.last, one.index)):
            before = reached.get(sealed.first - 1)
            if before is not None:
                reached[sealed.last] = [*before, sealed]
        for last, chain in reached.items():
            if last >= 0:
                yield chain

    def _is_whole(self, index: _Index) -> bool:
        return all(self._sizes.get(row.key) == row.size_bytes for row in index.tables.objects)

    def _go_on(self, sealed: list[Sealed]) -> Prefix:
        segment = sealed[-1].last + 1 if sealed else 0
        completed = []
        while (footer := self._footers.get(segment)) is not None and (
            self._dense_count(segment) > footer.block_count
        ):
            completed.append(segment)
            segment += 1
        blocks_count = self._dense_count(segment)
        return Prefix(
            sealed=sealed,
            completed=completed,
            tail=segment if blocks_count else None,
            tail_blocks_count=blocks_count,
        )

    def _dense_count(self, segment: int) -> int:
        """Of the blocks from the first on, without the footer's if that alone is unreadable."""
        slots = self._slots.get(segment, set())
        return next(number for number in range(len(slots) + 1) if number not in slots)

    # -- what counts, and what does not ----------------------------------------------------

    def counting_keys(self) -> set[str]:
        """Of all objects that the prefix consists of."""
        keys = self.sealed_keys()
        for segment in self.prefix.completed:
            count = self._footers[segment].block_count + 1
            keys |= {self.slot_key(segment, slot) for slot in range(count)}
        if self.prefix.tail is not None:
            count = self.prefix.tail_blocks_count
            keys |= {self.slot_key(self.prefix.tail, slot) for slot in range(count)}
        return keys

    def sealed_keys(self) -> set[str]:
        """Of the sealed part: its indexes, and all objects that these name."""
        keys: set[str] = set()
        chosen = {sealed.index for sealed in self.prefix.sealed}
        for index in self._indexes:
            if index.sealed.index in chosen:
                keys |= {index.sealed.index, *(row.key for row in index.tables.objects)}
        return keys

    def tables_behind(self) -> list[Tables]:
        """Those that speak of what lies behind the prefix."""
        last = self.prefix.last
        found: list[Tables] = [one.tables for one in self._indexes if one.sealed.last >= last]
        found += [footer for segment, footer in self._footers.items() if segment >= last]
        return found

    def blocks_behind(self) -> Iterator[tuple[int, int]]:
        """Segment and slot of the blocks behind it that no footer speaks of."""
        for segment, slots in sorted(self._slots.items()):
            if segment < self.prefix.last or segment in self._footers:
                continue
            known_count = self.prefix.tail_blocks_count if segment == self.prefix.tail else 0
            for slot in sorted(slots):
                if slot >= known_count:
                    yield segment, slot
