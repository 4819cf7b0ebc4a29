"""Streams that come and go leave nothing in memory, written to or not, whatever is under way."""

from __future__ import annotations

import asyncio
import dataclasses
import gc

import pytest

from wal_core import Invalid, LogConfig, MemoryStore, Truncated, open_store
from wal_core.format.segment_index import _StreamRuns
from wal_core.state.stream_tail import StreamTail
from wal_core.state.streams import Stream
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness

CONFIG = dataclasses.replace(LogConfig.preset("object"), gather_ms=0)
ROUNDS_COUNT, STREAMS_COUNT = 12, 200


async def opened(config: LogConfig = CONFIG) -> tuple[Harness, FaultyObjectStore]:
    faulty = FaultyObjectStore(MemoryStore())
    return await Harness.open(await open_store("", "object", objects=faulty), config), faulty


def objects_count() -> dict[str, int]:
    gc.collect()
    kinds = (Stream, _StreamRuns, StreamTail)
    return {kind.__name__: sum(isinstance(one, kind) for one in gc.get_objects()) for kind in kinds}


@pytest.mark.parametrize("written", [False, True])
def test_streams_that_come_and_go_leave_nothing(written):
    async def main() -> None:
        h, _ = await opened(dataclasses.replace(CONFIG, tail_bytes_max=20_000))
        await h.add(0, b"kept")
        before = objects_count()
        for turn in range(ROUNDS_COUNT):
            ids = range(1 + turn * STREAMS_COUNT, 1 + (turn + 1) * STREAMS_COUNT)
            if written:
                await asyncio.wait([h.add(stream, b"x" * 70) for stream in ids])
            for stream in ids:
                h.log.drop_stream(stream)
            await h.log.until_quiet()
        left = objects_count()
        assert list(h.log._contents.streams) == [0]
        assert len(h.log._writer._roll._dropped) == 1
        assert left["Stream"] == before["Stream"]
        assert left["_StreamRuns"] == before["_StreamRuns"]
        # Of what the tail still counts nothing is kept but that it was there.
        assert left["StreamTail"] <= before["StreamTail"] + STREAMS_COUNT
        assert h.log._writer.tail.bytes_count <= 20_000
        assert await h.read_all(0) == [(0, b"kept")]
        for stream in (1, ROUNDS_COUNT * STREAMS_COUNT):
            with pytest.raises(Invalid, match="dropped"):
                h.add(stream, b"again")
        await h.log.close()
        again = await Harness.open(h.store)
        assert again.log.stream_ids() == [0]

    run(main)


def test_what_is_on_its_way_when_its_stream_is_dropped_is_confirmed_and_forgotten():
    async def main() -> None:
        h, faulty = await opened()
        await h.add(1, b"there")
        faulty.latency_s = 1.0
        late = h.add(1, b"on its way")
        await asyncio.sleep(0.5)
        h.log.drop_stream(1)
        await late
        assert 1 not in h.log._contents.streams
        assert not h.log._contents.active.runs(1)
        await h.add(0, b"goes on")
        await h.log.close()
        assert (await Harness.open(h.store)).log.stream_ids() == [0]

    run(main)


def test_a_read_that_is_under_way_ends_as_one_of_what_was_deleted():
    async def main() -> None:
        h, faulty = await opened(dataclasses.replace(CONFIG, tail_bytes_max=0))
        for n in range(5):
            await h.add(1, b"%d" % n)
        await h.log.close()
        h = await Harness.open(
            await open_store("", "object", objects=faulty),
            dataclasses.replace(CONFIG, tail_bytes_max=0),
        )
        faulty.latency_s = 1.0
        reading = [
            asyncio.ensure_future(work)
            for work in (
                h.log.read(1, 2, 100),
                h.log.find_timestamp(1, 0),
                h.log.find_latest(1),
                h.log.offset_for_time(1, 5),
                h.log.size_bytes(1),
            )
        ]
        await asyncio.sleep(0.5)
        h.log.drop_stream(1)
        for answer in await asyncio.gather(*reading, return_exceptions=True):
            assert not isinstance(answer, BaseException) or isinstance(answer, Truncated)

    run(main)
