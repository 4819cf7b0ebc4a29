"""A segment takes numbers for its blocks, is due, ends; pure but for the store of its footer."""

from __future__ import annotations

import asyncio
import dataclasses
import threading

import pytest

from wal_core import Changes, LogConfig, MemoryStore, SystemClock, open_store
from wal_core.format.chain import Chain
from wal_core.format.stream_tables import StreamRow
from wal_core.state.checkpoint import Checkpoint
from wal_core.state.contents import Contents
from wal_core.state.streams import Stream
from wal_core.tenure import Tenure
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng, Recorder
from wal_core.types import Entry
from wal_core.write.flights import Gathering, Waiting
from wal_core.write.roll import Roll

CONFIG = dataclasses.replace(LogConfig.preset("object"), segment_blocks_max=3)


class World:
    def __init__(self, roll: Roll, contents: Contents) -> None:
        self.roll = roll
        self.contents = contents
        self.waiting = Waiting()
        self.old_count = 0

    @classmethod
    async def open(cls) -> World:
        store = await open_store("", "object", objects=MemoryStore())
        contents = Contents({}, Chain())
        tenure = Tenure(
            config=CONFIG, clock=SystemClock(), rng=CountingRng(), nonce=bytes(16), term=1
        )
        state = Recorder()
        state.changes = Changes()
        checkpoint = Checkpoint(state, CONFIG.checkpoint_piece_bytes)

        def too_old() -> None:
            world.old_count += 1

        world = cls(Roll(store, tenure, contents, checkpoint, too_old=too_old), contents)
        return world

    def gather(self) -> None:
        block = Gathering(asyncio.get_running_loop().create_future(), 0.0)
        self.waiting.begin(block)

    def confirm_one(self) -> None:
        """The first block that waits is cut, and durable at once."""
        flight = self.roll.cut(self.waiting.pop())
        self.roll.check(1)
        active = self.contents.active
        assert active is not None
        active.add_block(flight.encoded.length, flight.encoded.data_bytes)
        self.roll.check(0)


def test_a_segment_is_due_with_what_waits_counted_and_ends_behind_it():
    async def main() -> None:
        world = await World.open()
        roll, waiting = world.roll, world.waiting
        world.gather()
        world.confirm_one()
        assert not roll.is_due(waiting)
        world.gather()
        assert not roll.is_due(waiting)
        world.gather()
        assert roll.is_due(waiting)
        roll.begin(waiting)
        world.gather()  # this one is the next segment's
        assert (roll.is_begun, roll.holds_back, roll.is_due(waiting)) == (True, False, False)
        world.confirm_one()
        world.confirm_one()
        assert roll.holds_back
        footer = await roll.write_footer()
        assert (footer.segment, footer.block_count) == (0, 3)
        roll.end()
        assert roll.is_over
        world.confirm_one()
        assert world.contents.active is not None
        assert world.contents.active.segment == 1
        roll.stop()

    run(main)


def test_no_more_blocks_go_in_than_waited_when_the_end_began():
    async def main() -> None:
        world = await World.open()
        world.gather()
        world.roll.begin(world.waiting)
        world.gather()
        world.confirm_one()
        with pytest.raises(AssertionError):
            world.roll.cut(world.waiting.pop())
        world.roll.stop()

    run(main)


def test_a_segment_tells_when_it_is_too_old_until_it_ends():
    async def main() -> None:
        world = await World.open()
        world.gather()
        world.confirm_one()
        await asyncio.sleep(CONFIG.segment_age_max_ms / 1000 + 1)
        assert world.old_count == 1
        world.roll.begin(world.waiting)
        await world.roll.write_footer()
        world.roll.end()
        world.gather()
        world.confirm_one()
        world.roll.begin(world.waiting)
        await world.roll.write_footer()
        await asyncio.sleep(CONFIG.segment_age_max_ms / 1000 + 1)
        assert world.old_count == 1

    run(main)


def test_a_stream_dropped_during_the_end_goes_with_it():
    async def main() -> None:
        world = await World.open()
        roll, streams = world.roll, world.contents.streams
        streams[1], streams[2] = Stream(), Stream()
        roll.drop(1)
        assert (1 in streams, roll.was_dropped(1), roll.states(1)) == (False, True, False)
        world.gather()
        world.waiting.last.entries.append(Entry(2, 0, 1, 1, -1, b"x"))
        roll.begin(world.waiting)
        roll.drop(2)
        assert (2 in streams, roll.was_dropped(2), roll.states(2)) == (True, True, True)
        world.confirm_one()
        await roll.write_footer()
        roll.end()
        assert (2 in streams, roll.was_dropped(2), roll.states(2)) == (False, True, False)

    run(main)


@pytest.mark.parametrize(("count", "thread"), [(10, "MainThread"), (3_000, "wal-writer_0")])
def test_the_rows_of_many_streams_are_made_beside_the_loop(monkeypatch, count: int, thread: str):
    """Also where few of them have anything in this segment."""
    made_in = set()
    row_of = Stream.row

    def row(stream: Stream, stream_id: int) -> StreamRow:
        made_in.add(threading.current_thread().name)
        return row_of(stream, stream_id)

    async def main() -> None:
        world = await World.open()
        for stream_id in range(count):
            world.contents.streams[stream_id] = Stream(0, 1)
        world.gather()
        world.confirm_one()
        world.roll.begin(world.waiting)
        monkeypatch.setattr(Stream, "row", row)
        writing = asyncio.ensure_future(world.roll.write_footer())
        await asyncio.sleep(0)
        world.contents.streams[count] = Stream()  # its first entry waits for the next segment
        footer = await writing
        assert len([*footer.streams()]) == count
        assert made_in == {thread}

    asyncio.run(main())
