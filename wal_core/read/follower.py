"""Reading a log that another process writes, without disturbing it: nothing is created, locked or
fenced.

A follower has the state that an opener would have, a little later: it starts the same way
(state/start.py), goes through the unfinished segment block by block, and waits at its next slot.

What it shows is confirmed. In a bucket, a block that is there with all blocks before it can never
be taken back: a fence takes the first free slot, which lies behind it. Its writer may not have
heard of it yet, so a follower can be ahead of what clients were told, never of what is durable.
Blocks above a free slot are not shown. In files, what is shown was noted by the owner after a sync.

That a slot is empty means nothing by itself: the segment may have been finished, sealed and deleted
meanwhile. It is the end only if a manifest and a listing that were read *after* it show nothing
newer; else the follower begins again from the manifest, with a state of its own, which takes the
place of the old one once it has come as far.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Generic, NamedTuple, TypeVar

from wal_core.clock import Rng
from wal_core.config import LogConfig
from wal_core.errors import Corrupt, Unavailable, WalError
from wal_core.format.block import Block
from wal_core.format.footer import Footer
from wal_core.format.places import Lost
from wal_core.format.segment_index import SegmentIndex
from wal_core.state.replay import Replay
from wal_core.state.start import Start
from wal_core.state.streams import Stream
from wal_core.stores.manifests import Manifest, Manifests
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore
from wal_core.types import LogState

POLL_S = 5.0
"""For so long a follower that nobody wakes does not look."""
_BEGINNINGS_MAX_COUNT = 20
"""So often the log may move on under one that begins."""

State = TypeVar("State", bound=LogState)


class FollowerPosition(NamedTuple):
    """How far a log was read: blocks before this one. Rises."""

    segment: int
    block: int


class _MovedOn(WalError):
    """What was to be read has been replaced: begin again."""


class Follower(Generic[State]):
    """Of one log. `make_state` makes an empty state; `state` is the one that counts, and another
    object after the follower had to begin again."""

    def __init__(
        self,
        store: SegmentStore,
        make_state: Callable[[], State],
        config: LogConfig,
        *,
        rng: Rng,
        poll_s: float = POLL_S,
    ) -> None:
        self._store = store
        self._make_state = make_state
        self._config = config
        self._persist = Persistence(config, rng)
        self._manifests = Manifests(store.objects, config.log_id, self._persist, b"")
        self._poll_s = poll_s
        self._woken = asyncio.Event()
        self._reading = asyncio.Lock()
        self._pass: _Pass[State] | None = None
        self.beginnings_count = 0

    @property
    def state(self) -> State:
        """As of `position`. There is one after the first `catch_up`."""
        assert self._pass is not None
        return self._pass.state

    @property
    def position(self) -> FollowerPosition:
        return FollowerPosition(0, 0) if self._pass is None else self._pass.position

    def end_offset(self, stream_id: int) -> int:
        """Where a stream ends, as far as it was read; 0 for one that is not alive."""
        stream = None if self._pass is None else self._pass.streams.get(stream_id)
        return 0 if stream is None else stream.confirmed

    def start_offset(self, stream_id: int) -> int:
        """Where it starts, as of the newest footer."""
        stream = None if self._pass is None else self._pass.streams.get(stream_id)
        return 0 if stream is None else stream.start

    def wake(self) -> None:
        """There may be something new."""
        self._woken.set()

    async def follow(self) -> AsyncIterator[FollowerPosition]:
        """Each time there is something new: looks when woken, and now and then by itself."""
        before: FollowerPosition | None = None
        while True:
            self._woken.clear()
            position = await self.catch_up()
            if position != before:
                before = position
                yield position
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def catch_up(self) -> FollowerPosition:
        """Read all that was confirmed before the call. A store that does not answer is asked again
        for ever: put a deadline around it; a cancelled one goes on where it was. Raises Corrupt
        where too little is left to go by, Unavailable when the log changes faster than it can be
        read."""
        async with self._reading:
            current = self._pass
            # One that was stopped in the middle of something may have lost count.
            if current is not None and not current.is_broken and await self._advanced(current):
                return current.position
            for _ in range(_BEGINNINGS_MAX_COUNT):
                self.beginnings_count += 1
                fresh = _Pass(
                    self._store, self._make_state(), self._config, self._manifests, self._persist
                )
                if not await self._advanced(fresh):
                    continue
                if fresh.position < self.position:
                    raise Corrupt(
                        "the log ends before what was read of it", log_id=self._config.log_id
                    )
                self._pass = fresh
                return fresh.position
            raise Unavailable(f"{self._store.location} changes faster than it can be followed")

    async def _advanced(self, one: _Pass[State]) -> bool:
        """To the end; False: it cannot go on, what it was to read has been replaced."""
        one.is_broken = True
        try:
            await one.advance()
        except _MovedOn:
            return False
        except Corrupt:
            if (await self._manifests.newest()).number <= one.manifest.number:
                raise
            return False
        one.is_broken = False
        return True


class _Pass(Generic[State]):
    """Once through the log, from a start on."""

    def __init__(
        self,
        store: SegmentStore,
        state: State,
        config: LogConfig,
        manifests: Manifests,
        persist: Persistence,
    ) -> None:
        self._store = store
        self._log_id = config.log_id
        self._manifests = manifests
        self._persist = persist
        self._start = Start(store, state, config, manifests, persist, overtaken=self._moved_on)
        self._is_started = False
        self.is_broken = False
        self.state = state
        self.streams: dict[int, Stream] = self._start.streams

    @property
    def manifest(self) -> Manifest:
        return self._start.manifest

    @property
    def position(self) -> FollowerPosition:
        if not self._is_started:
            return FollowerPosition(0, 0)
        return FollowerPosition(self._replay.index.segment, self._replay.index.block_count)

    async def advance(self) -> None:
        """To the end. Raises _MovedOn."""
        if not self._is_started:
            unfinished = await self._start.run()
            await self._check_covered(self._start.chain.last)
            self._begin(self._start.chain.last + 1 if unfinished is None else unfinished)
            self._is_started = True
        looked_again = False
        while True:
            if await self._read():
                looked_again = False
            elif await self._is_end():
                return
            elif looked_again:
                raise await self._moved_on(self.manifest)
            else:
                looked_again = True  # what is newer came after the look

    def _begin(self, segment: int) -> None:
        self._tail = self._store.follow(self._log_id, segment)
        self._replay = Replay(SegmentIndex(segment), self.streams, self._start.checkpoint.apply)
        self._footer: Footer | None = None

    async def _read(self) -> bool:
        """What has come in the unfinished segment; whether that was anything."""
        before = self.position
        async with aclosing(self._tail.blocks(self._persist)) as blocks:  # type: ignore[type-var]
            async for block in blocks:
                if isinstance(block, Lost):
                    await self._start.damaged(before.segment, f"block {block.block}: {block.text}")
                    self._replay.lose(block)
                elif block.is_footer:
                    await self._end(block)
                else:
                    self._replay.take(block)
        return self.position != before

    async def _end(self, block: Block) -> None:
        """The segment is finished: streams that were dropped are gone, starts have moved."""
        segment = self._replay.index.segment
        footer = Footer.of_block(block)
        # Whoever was paused may have put a fence where everything had long been deleted. (Not where
        # logstores agree on an end, of segments that are sealed as soon as they have one.)
        if not self._store.uploads:
            await self._check_covered(segment)
        if footer.block_count != self._replay.index.block_count:
            raise Corrupt("the footer counts other blocks than there are", segment=segment)
        self.streams.clear()
        for row in footer.streams():
            self.streams[row.stream_id] = Stream(*row[1:5])
        self._begin(segment + 1)

    async def _is_end(self) -> bool:
        """Whether nothing was there, and nothing is newer."""
        segment = self.position.segment
        newest = await self._manifests.newest()
        later = await self._persist(lambda: self._store.segments(self._log_id, segment))
        return newest.covered < segment and not later

    async def _check_covered(self, segment: int) -> None:
        """What was read of a segment counts, unless it had been sealed by then."""
        newest = await self._manifests.newest()
        if segment >= 0 and newest.covered >= segment and newest.number > self.manifest.number:
            raise await self._moved_on(newest)

    async def _moved_on(self, newest: Manifest) -> WalError:
        return _MovedOn("the log has moved on", log_id=self._log_id)
