"""The blocks of finished segments and of the unfinished one: through the cache, with neighbours and
read-ahead, around what is damaged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import partial
from weakref import WeakKeyDictionary

from wal_core.budgets import Budgets
from wal_core.config import MIB, LogConfig
from wal_core.errors import Corrupt
from wal_core.format.footer import Footer
from wal_core.format.places import Place
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.segment_index import SegmentIndex, SegmentView
from wal_core.format.stream_tables import Run
from wal_core.read.cache import LoadingCache
from wal_core.read.laid_out import LaidOut
from wal_core.read.scans import Scans
from wal_core.state.tables import Tables, place_of
from wal_core.stores.at_hand import AtHand
from wal_core.stores.segments.base import SegmentStore
from wal_core.stores.stretches import (
    AT_ONCE_BYTES_MAX,
    STRETCH_BLOCKS_MAX_COUNT,
    STRETCH_BYTES_MAX,
    Blocks,
    Stretch,
    entries_at_once,
    read_entries,
    stretches_around,
)
from wal_core.tally import ReadTally
from wal_core.types import Entry, Payloads

_READ_AHEAD_COUNT = 16
_READ_AHEAD_BYTES = 4 * MIB
_READ_AHEAD_BLOCKS_COUNT = 2 * STRETCH_BLOCKS_MAX_COUNT
"""Bounds of what one sequential reader has loaded ahead; larger hides more latency of the store
and throws away more when the reader does not go on."""

_READ_AHEAD_AGAIN_COUNT = 8
"""With so many single blocks loaded ahead no more are looked for."""

_STRETCHES_IN_CACHE_COUNT = 8
"""Where the block cache is so small that fewer would fit, stretches are smaller."""

_DAMAGED_MAX_COUNT = 1_000
"""So many damaged stretches are remembered, a few hundred bytes each."""

_FOUND_MAX_COUNT = 1_000
"""So many stretches that were looked for are remembered, a few hundred bytes each: those ahead of
some tens of readers."""


_AT_HAND_MAX_COUNT = 16
"""Stretches in the cache that the system has in memory, too. More: what is copied and sent next is
not in the processor's caches; fewer: of some tens of readers each reads twice what two replies
share."""


class Turn(Enum):
    """What may be loaded for a reader."""

    NOTHING = "nothing"
    THIS_ONE = "what it asks for"
    GO_ON = "what it will ask for next, too"


class StoredBlocks:
    """Of one log. Knows places and runs, and nothing of what the streams are by now."""

    def __init__(self, store: SegmentStore, config: LogConfig, budgets: Budgets) -> None:
        self._store = store
        self._log_id = config.log_id
        self._cache: LoadingCache[Stretch, Blocks] = LoadingCache(
            budgets.blocks,
            lambda stretch: read_entries(store.objects, stretch),
            lambda blocks: blocks.bytes_count + 400 * blocks.entry_count,
            config.store_timeout_ms,
            room=budgets.catch_up.room(),
            expected_bytes=lambda stretch: stretch.length,
        )
        self._stretch_bytes_max = min(
            STRETCH_BYTES_MAX, budgets.blocks.bytes_max // _STRETCHES_IN_CACHE_COUNT
        )
        # Stretches with damage in them, so that what is whole is not read again with it each time.
        self._damaged: set[Stretch] = set()
        # What was read at hand last.
        self._at_hand: OrderedDict[Stretch, None] = OrderedDict()
        self._laid_out = LaidOut()
        # What was found in the tables of finished segments, by stream and run, while they are kept.
        self._found: WeakKeyDictionary[Tables, dict[tuple[int, int], tuple[Stretch, int]]] = (
            WeakKeyDictionary()
        )
        self._found_count = 0
        self._far = not store.segment_is_one_object
        # A file that was read lately is in the system's memory: there everybody reads on its own.
        window_bytes = budgets.blocks.bytes_max // 2
        crowd_count = max(1, window_bytes // _READ_AHEAD_BYTES)
        self._scans = Scans(window_bytes, crowd_count) if self._far else None

    @property
    def reads(self) -> ReadTally:
        """Of the cache."""
        return self._cache.reads

    @property
    def bytes_count(self) -> int:
        """In the cache."""
        return self._cache.bytes_count

    async def block(self, view: SegmentView, number: int) -> Blocks:
        """One of a segment, through the cache."""
        place = self.place(view, number)
        if place.length == 0:
            raise Corrupt("these records are lost", **place.ids())
        return await self._cache.get(Stretch.between(place, place))

    def place(self, view: SegmentView, number: int) -> Place:
        """Where a block of a segment is."""
        assert isinstance(view, Footer | SealedIndex | SegmentIndex)
        return place_of(self._store, self._log_id, view, number)

    async def around(
        self, view: SegmentView, runs: Sequence[Run], at: int, turn: Turn, *, wait: bool
    ) -> Blocks | None:
        """The block of a run, with neighbours; None if it is not here and `wait` is False.

        One that is damaged must not spoil its neighbours: then smaller stretches are tried, the
        block alone last.
        """
        here = self.place(view, runs[at].block)
        if here.length == 0:
            raise Corrupt("these records are lost", **here.ids())
        read_ahead = self._read_ahead if turn is Turn.GO_ON else _leave
        for stretch, end in self._tries(view, runs, at):
            blocks = self._cache.peek(stretch)
            following = _run_of_block(runs, end, at)
            if blocks is None and not wait:
                read_ahead(view, runs, at)
                return None
            if blocks is None:
                if self._far:
                    # Each read takes long, however many there are at once.
                    self._cache.prefetch(stretch)
                    read_ahead(view, runs, following)
                try:
                    blocks = await self._cache.get(stretch)
                except Corrupt:
                    if stretch.block_count == 1:
                        raise
                    self._note_damaged(stretch)
                    continue
            read_ahead(view, runs, following)
            return blocks
        raise AssertionError("a block alone is always tried")

    def at_hand(self, view: SegmentView, runs: Sequence[Run], at: int) -> Blocks | None:
        """The block of a run, with neighbours, if that takes no wait, and nobody writes; None: ask
        `around`."""
        files = self._store.at_hand
        if files is None:
            return None
        here = self.place(view, runs[at].block)
        for stretch in reversed(self._at_hand):
            if stretch.holds(here) and (blocks := self._cache.peek(stretch)) is not None:
                return blocks
        if here.length == 0:
            return None
        stretch, end = self._largest(view, runs, at)
        blocks = self._cache.peek(stretch)
        if blocks is not None:
            # It was waited for, and so will be those behind it.
            self._read_ahead(view, runs, _run_of_block(runs, end, at))
            return blocks
        return self._read_at_hand(files, stretch)

    def _read_at_hand(self, files: AtHand, stretch: Stretch) -> Blocks | None:
        if stretch.length > AT_ONCE_BYTES_MAX:
            return None
        buffer = files.read(stretch.key, stretch.position, stretch.length)
        blocks = None if buffer is None else entries_at_once(stretch, buffer)
        if buffer is not None and blocks is not None:
            self._keep_at_hand(stretch, blocks)
            self._laid_out.add(stretch, buffer, blocks.entry_count)
        return blocks

    def regions(self, stream_id: int, offset: int, bytes_max: int) -> Payloads | None:
        """Of files, what is there to be sent as it is, verified before; else None, and nothing is
        said of why."""
        files = self._store.at_hand
        if files is None:
            return None
        return self._laid_out.payloads(files, stream_id, offset, bytes_max)

    def _keep_at_hand(self, stretch: Stretch, blocks: Blocks) -> None:
        """For whoever asks for the rest of it, in a moment; the system has it anyway."""
        self._cache.put(stretch, blocks)
        self._at_hand[stretch] = None
        if len(self._at_hand) > _AT_HAND_MAX_COUNT:
            self._cache.forget(self._at_hand.popitem(last=False)[0])

    async def turn(
        self,
        stream_id: int,
        offset: int,
        view: SegmentView,
        runs: Sequence[Run],
        at: int,
        *,
        wait: bool,
    ) -> Turn:
        """What may be loaded for who asks for `offset`, in the run `at`; waits a while for those
        who will want it too."""
        if self._scans is None:
            return Turn.GO_ON
        position = runs[at].bytes_before
        if not self._scans.must_wait(stream_id, offset, position):
            return Turn.GO_ON
        if self._is_known(view, runs, at):
            return Turn.THIS_ONE
        if not wait:
            return Turn.NOTHING
        went_on = await self._scans.turn(stream_id, offset, position)
        return Turn.GO_ON if went_on else Turn.THIS_ONE

    def moved(self, stream_id: int, offset: int, run: Run, entries: Sequence[Entry]) -> None:
        """A reader who asked for `offset`, in that run, has got these."""
        if self._scans is not None:
            got_bytes = sum(len(entry.payload) for entry in entries)
            end_offset = entries[-1].end_offset
            self._scans.moved(stream_id, offset, end_offset, run.bytes_before + got_bytes)

    def _is_known(self, view: SegmentView, runs: Sequence[Run], at: int) -> bool:
        if self.place(view, runs[at].block).length == 0:
            return True  # that it is lost need not be loaded
        stretch, _ = self._largest(view, runs, at)
        return self._cache.knows(stretch)

    def _note_damaged(self, stretch: Stretch) -> None:
        if len(self._damaged) >= _DAMAGED_MAX_COUNT:
            self._damaged.clear()
        self._damaged.add(stretch)
        self._forget_found()

    def _stretches(
        self, view: SegmentView, runs: Sequence[Run], at: int
    ) -> Iterator[tuple[Stretch, int]]:
        """Those that may be read to get the block of `runs[at]`, and the number behind each."""
        place_of = partial(self.place, view)
        found = stretches_around(view.block_count, place_of, runs, at, self._stretch_bytes_max)
        return (pair for pair in found if pair[0] not in self._damaged)

    def _tries(
        self, view: SegmentView, runs: Sequence[Run], at: int
    ) -> Iterator[tuple[Stretch, int]]:
        """The largest, and smaller ones where that is damaged."""
        largest = self._largest(view, runs, at)
        yield largest
        yield from (pair for pair in self._stretches(view, runs, at) if pair != largest)

    def _largest(self, view: SegmentView, runs: Sequence[Run], at: int) -> tuple[Stretch, int]:
        """The first of these. It is asked for again and again by whoever reads ahead."""
        if not isinstance(view, Footer | SealedIndex):
            return next(self._stretches(view, runs, at))  # it grows
        found = self._found.setdefault(view, {})
        key = (runs[at].stream_id, at)
        pair = found.get(key)
        if pair is None:
            if self._found_count >= _FOUND_MAX_COUNT:
                self._forget_found()
                found = self._found.setdefault(view, {})
            pair = found[key] = next(self._stretches(view, runs, at))
            self._found_count += 1
        return pair

    def _forget_found(self) -> None:
        self._found.clear()
        self._found_count = 0

    def _read_ahead(self, view: SegmentView, runs: Sequence[Run], at: int) -> None:
        """Have the next blocks of the stream loaded meanwhile: one in any case, more small ones."""
        if self._is_far_ahead(view, runs, at):
            return
        ahead_bytes = ahead_blocks = 0
        for _ in range(_READ_AHEAD_COUNT):
            if at >= len(runs):
                return
            stretch, end = self._largest(view, runs, at)
            if stretch.length and not self._is_at_hand(stretch):  # else it is lost
                self._cache.prefetch(stretch)
            ahead_bytes += stretch.length
            ahead_blocks += stretch.block_count
            if ahead_bytes >= _READ_AHEAD_BYTES or ahead_blocks >= _READ_AHEAD_BLOCKS_COUNT:
                return
            at = _run_of_block(runs, end, at)

    def _is_at_hand(self, stretch: Stretch) -> bool:
        files = self._store.at_hand
        return (
            files is not None
            and not self._cache.knows(stretch)
            and files.holding(stretch.key, stretch.position, stretch.length) is not None
        )

    def _is_far_ahead(self, view: SegmentView, runs: Sequence[Run], at: int) -> bool:
        """Whether enough has been looked for, where each block is an object of its own. To go
        through all of them again for each would cost more than the reading."""
        later = at + _READ_AHEAD_AGAIN_COUNT
        if later >= len(runs):
            return False
        stretch, _ = self._largest(view, runs, later)
        return stretch.block_count == 1 and self._cache.knows(stretch)

    async def close(self) -> None:
        """End loads in progress."""
        await self._cache.close()


def _leave(view: SegmentView, runs: Sequence[Run], at: int) -> None:
    """Nothing is read ahead."""


def _run_of_block(runs: Sequence[Run], number: int, at: int) -> int:
    """Index of the first run, from `at` on, in a block from `number` on."""
    high = min(len(runs), at + number - runs[at].block)
    return bisect_left(runs, number, at, high, key=lambda run: run.block)
