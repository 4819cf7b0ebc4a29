"""What is looked at again, and when; what is damaged parts its neighbours."""

from __future__ import annotations

import asyncio
import dataclasses

from wal_core import CHECKPOINT_STREAM_ID, LogConfig, MemoryStore, open_store
from wal_core.format.chain import Completed, Sealed
from wal_core.state.streams import Stream
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness

CONFIG = dataclasses.replace(LogConfig.preset("object"), seal_segments_min_count=1_000)
NEVER = float("inf")


async def completed(count: int) -> Harness:
    h = await Harness.open(await open_store("", "object", objects=MemoryStore()), CONFIG)
    for _ in range(count):
        await h.add(0, b"x")
        h.log.complete_segment()
        await asyncio.sleep(1)
    await h.log._maintenance.stop()
    return h


def test_a_look_is_due_after_something_died_and_not_too_often():
    async def main() -> None:
        h = await completed(4)
        loop = asyncio.get_running_loop()
        candidates = h.log._maintenance._candidates
        assert candidates.due_s() == NEVER
        assert await candidates.dead() == set()
        candidates.something_died()
        assert candidates.due_s() <= loop.time()
        assert await candidates.dead() == set()
        assert candidates.due_s() == NEVER
        candidates.something_died()
        assert candidates.due_s() == loop.time() + CONFIG.dead_check_ms / 1000
        assert await candidates.dead() == set()
        assert candidates.due_s() < NEVER  # it was too early
        await asyncio.sleep(CONFIG.dead_check_ms / 1000)
        h.log._contents.streams[0].truncate(4)
        # The opening's fence has nothing in it, and the newest two are left alone.
        assert await candidates.dead() == {*h.log._contents.chain.links[1:-2]}
        assert candidates.due_s() < NEVER  # there may be more
        await h.log.close()

    run(main)


def test_dead_pieces_of_the_checkpoint_are_worth_a_look_once():
    async def main() -> None:
        h = await completed(1)
        candidates = h.log._maintenance._candidates
        pieces = h.log._contents.streams[CHECKPOINT_STREAM_ID] = Stream(0, 8)
        candidates.look_for_pieces()
        assert candidates.due_s() == NEVER
        pieces.truncate(3)
        candidates.look_for_pieces()
        assert candidates.due_s() < NEVER
        assert await candidates.dead() == set()
        pieces.truncate(7)  # of those that the last look has seen not all are dead
        candidates.look_for_pieces()
        assert candidates.due_s() == NEVER
        del h.log._contents.streams[CHECKPOINT_STREAM_ID]
        await h.log.close()

    run(main)


def test_nothing_behind_a_damaged_completed_segment_is_worked_on():
    async def main() -> None:
        h = await completed(3)
        candidates = h.log._maintenance._candidates
        chain = h.log._contents.chain
        links = [*chain.links]
        assert candidates.workable() == [links]
        candidates.avoid(links[2])
        assert candidates.workable() == [links[:2]]
        sealed = [
            Sealed(first=n, last=n, index="", index_bytes=0, live_bytes=0) for n in (90, 91, 92)
        ]
        chain.links = (*sealed, Completed(93), Completed(94))
        candidates.avoid(sealed[1])
        assert candidates.workable() == [sealed[:1], [sealed[2], Completed(93), Completed(94)]]
        chain.links = tuple(links)
        await h.log.close()

    run(main)
