"""Logs of one process share what there is: no more than that in all, and something for each."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wal_core import Budgets, LogConfig, MemoryStore, SegmentStore, Unavailable, open_store
from wal_core.budgets import CatchUp, SharedMemory, Unconfirmed, WriteBucket
from wal_core.format.chain import Sealed
from wal_core.testing.faulty_object_store import FaultyObjectStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness
from wal_core.upkeep.maintenance import Maintenance

OBJECT = LogConfig.preset("object")

# -- each of them alone -------------------------------------------------------------------------


class Holder:
    def __init__(self, memory: SharedMemory) -> None:
        self.bytes_count = 0
        self.memory = memory
        memory.join(self)

    def hold(self, bytes_count: int) -> None:
        self.bytes_count += bytes_count
        self.memory.fit()

    def give_back(self) -> None:
        self.bytes_count -= min(10, self.bytes_count)


def test_who_holds_most_gives_back_first():
    memory = SharedMemory(300)
    a, b, c = (Holder(memory) for _ in range(3))
    a.hold(500)
    assert a.bytes_count == 300  # all that is free
    b.hold(100)
    assert (a.bytes_count, b.bytes_count) == (200, 100)
    c.hold(20)
    assert (a.bytes_count, b.bytes_count, c.bytes_count) == (180, 100, 20)
    memory.leave(a)
    b.hold(200)
    assert (b.bytes_count, c.bytes_count) == (280, 20)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 400)), max_size=60))
def test_no_more_than_the_memory_is_held_and_an_equal_part_is_safe(steps):
    memory = SharedMemory(300)
    holders = [Holder(memory) for _ in range(3)]
    for at, bytes_count in steps:
        before = [holder.bytes_count for holder in holders]
        holders[at].hold(bytes_count)
        assert memory.bytes_count <= 300
        for other, held in enumerate(before):
            if other != at:
                assert holders[other].bytes_count >= min(held, 100 - 10)


class Appender:
    unconfirmed_bytes = 0


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 500), st.booleans()), max_size=100),
)
@example(2, [(0, 500, False), (1, 300, False), (1, 300, False)])
def test_bytes_on_their_way_are_bounded_and_a_part_is_guaranteed(count, steps):
    shared = Unconfirmed(1_000)
    writers = [Appender() for _ in range(count)]
    for writer in writers:
        shared.join(writer)
    assert shared.part_bytes == (1_000 if count == 1 else 500 // count)
    for at, bytes_count, is_confirmed in steps:
        writer = writers[at % count]
        if is_confirmed:
            writer.unconfirmed_bytes = max(writer.unconfirmed_bytes - bytes_count, 0)
        elif writer.unconfirmed_bytes + bytes_count <= shared.limit_bytes(writer):
            writer.unconfirmed_bytes += bytes_count
        assert sum(writer.unconfirmed_bytes for writer in writers) <= 1_000
        assert all(shared.limit_bytes(writer) >= shared.part_bytes for writer in writers)


def test_a_log_alone_may_have_all_that_the_others_neither_use_nor_are_owed():
    shared = Unconfirmed(1_000)
    a, b = Appender(), Appender()
    shared.join(a)
    assert shared.limit_bytes(a) == shared.largest_bytes == 1_000
    shared.join(b)
    assert shared.limit_bytes(a) == shared.largest_bytes == 750
    b.unconfirmed_bytes = 400
    assert shared.limit_bytes(a) == 600
    shared.leave(b)
    assert shared.limit_bytes(a) == 1_000


@given(
    st.floats(0.5, 100),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), max_size=200),
)
def test_a_bucket_never_gives_more_than_its_rate(rate, burst, pauses):
    bucket, now, taken = WriteBucket(rate, burst), 0.0, 0
    assert bucket.take("first", now) == 0
    taken += 1
    for who, pause in pauses:
        now += pause
        taken += bucket.take(who, now) == 0
        assert taken <= burst + rate * now + 1e-6


@given(st.floats(0.5, 100), st.integers(1, 20), st.lists(st.floats(0, 1), max_size=50))
def test_one_log_alone_gets_its_token_when_it_was_told(rate, burst, pauses):
    bucket, now = WriteBucket(rate, burst), 0.0
    for pause in pauses:
        now += pause
        if wait := bucket.take("only", now):
            now += wait
            assert bucket.take("only", now) == 0


def test_writes_are_given_in_the_order_in_which_logs_began_to_wait():
    bucket = WriteBucket(1, 1)
    assert bucket.take("a", 0) == 0
    assert bucket.take("a", 0) == 1
    assert bucket.take("b", 0.5) == 1.5
    assert bucket.take("b", 1) == 1  # there is one, but a was first
    assert bucket.take("a", 1) == 0
    assert bucket.take("a", 1) == 2  # in line again
    assert bucket.take("b", 2) == 0
    assert bucket.take("a", 3) == 0


def test_who_does_not_come_back_holds_up_nobody():
    bucket = WriteBucket(1, 1)
    bucket.take("a", 0)
    bucket.take("a", 0)  # for one at 1 s
    assert bucket.take("b", 0) == 2
    assert bucket.take("b", 2) > 0
    assert bucket.take("b", 2.1) == 0
    bucket.take("a", 2.1)
    bucket.leave("a")
    assert bucket.take("b", 3.1) == 0


def test_who_has_least_under_way_comes_next():
    async def main() -> None:
        shared = CatchUp(100)
        busy, idle = shared.room(), shared.room()
        await busy.take(100)
        served: list[str] = []

        async def wait(name: str, bytes_count: int) -> None:
            room = busy if name == "busy" else idle
            await room.take(bytes_count)
            served.append(name)
            assert shared.taken_bytes <= 100

        waits = [asyncio.ensure_future(wait("busy", 50)) for _ in range(4)]
        await asyncio.sleep(0)
        waits.append(asyncio.ensure_future(wait("idle", 50)))
        await asyncio.sleep(0)
        busy.give_back(50)
        await asyncio.sleep(0)
        assert served == ["idle"]
        busy.give_back(50)
        await asyncio.sleep(0)
        assert served == ["idle", "busy"]
        idle.give_back(50)
        idle.close()
        await asyncio.sleep(0)
        assert served == ["idle", "busy", "busy"]
        for waiting in waits:
            waiting.cancel()

    run(main)


# -- logs on one store --------------------------------------------------------------------------

SMALL = dataclasses.replace(
    OBJECT,
    block_bytes_max=4_000,
    gather_ms=0,
    segment_blocks_max=40,
    unconfirmed_bytes_max=60_000,
    tail_bytes_max=40_000,
    block_cache_bytes_max=40_000,
    table_cache_bytes_max=20_000,
    catch_up_bytes_max=20_000,
    writes_per_s_max=50.0,
    writes_burst_count=2,
    garbage_grace_ms=1_000,
)


async def opened(store: SegmentStore, count: int) -> tuple[Budgets, list[Harness]]:
    budgets = Budgets(SMALL)
    logs = [
        await Harness.open(store, dataclasses.replace(SMALL, log_id=log_id), budgets=budgets)
        for log_id in range(count)
    ]
    return budgets, logs


@pytest.mark.parametrize("count", [1, 3])
def test_the_sum_stays_within_the_budgets_and_no_log_starves(count):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        faulty = FaultyObjectStore(MemoryStore())
        budgets, logs = await opened(await open_store("", "object", objects=faulty), count)
        faulty.latency_s = 0.05
        ended = asyncio.Event()
        small_waits_s: list[float] = []

        def within() -> None:
            writers = [h.log._writer for h in logs]
            assert sum(writer.unconfirmed_bytes for writer in writers) <= 60_000
            assert budgets.tails.bytes_count <= 40_000
            assert budgets.blocks.bytes_count <= 40_000
            assert budgets.tables.bytes_count <= 20_000
            assert budgets.catch_up.taken_bytes <= 20_000

        async def flood(h: Harness) -> None:
            """As much as is taken, read again from the start all the time."""
            refused_count = 0
            while not ended.is_set():
                try:
                    h.add(0, bytes(900))
                except Unavailable:
                    refused_count += 1
                    await asyncio.sleep(0.01)
                within()
                if h.log.end_offset(0) % 50 == 0:
                    await asyncio.sleep(0.001)
            assert refused_count

        async def reread(h: Harness) -> None:
            while not ended.is_set():
                await h.read_all(0, 10_000)
                within()
                await asyncio.sleep(0.01)

        async def trickle(h: Harness) -> None:
            """One small record at a time, and the last of them from memory."""
            for _ in range(30):
                begun_s = loop.time()
                await h.add(1, b"small")
                small_waits_s.append(loop.time() - begun_s)
                within()
                confirmed = h.log.confirmed_offset(1)
                assert h.log.read_tail(1, confirmed - 1, 100).pieces
                await asyncio.sleep(0.05)

        floods = [asyncio.ensure_future(work(logs[0])) for work in (flood, reread)]
        if count > 1:
            await asyncio.gather(*map(trickle, logs[1:]))
            # In line with one that always waits, at 50 writes a second.
            assert max(small_waits_s) < 0.5
            for h in logs[1:]:
                assert h.log.read_tail(1, 0, 1000).pieces  # nothing was pushed out by the flood
        else:
            await asyncio.sleep(3)
        ended.set()
        await asyncio.gather(*floods)
        for h in logs:
            await h.log.close()
        assert budgets.tails.bytes_count == budgets.blocks.bytes_count == 0

    run(main)


def test_one_log_at_a_time_compacts(monkeypatch):
    active: list[int] = []
    compacted: set[int] = set()
    original = Maintenance._compact

    async def watched(self, run, take_room):
        assert not active
        active.append(self._tenure.log_id)
        await asyncio.sleep(0.5)
        await original(self, run, take_room)
        compacted.add(active.pop())

    monkeypatch.setattr(Maintenance, "_compact", watched)

    async def main() -> None:
        store = await open_store("", "object", objects=MemoryStore())
        _, logs = await opened(store, 3)
        for h in logs:
            for _ in range(8):
                await h.add(0, bytes(100))
                h.log.complete_segment()
        await asyncio.gather(*(h.log.until_quiet() for h in logs))
        await asyncio.sleep(10)
        assert compacted == {0, 1, 2}
        for h in logs:
            assert any(isinstance(link, Sealed) for link in h.log._contents.chain.links)
            await h.log.close()

    run(main)


def test_a_log_that_failed_holds_nothing_of_what_is_on_its_way():
    async def main() -> None:
        faulty = FaultyObjectStore(MemoryStore())
        budgets, (a, b) = await opened(await open_store("", "object", objects=faulty), 2)
        faulty.latency_s = 100.0
        with pytest.raises(Unavailable):
            while True:
                a.add(0, bytes(900))
        assert budgets.unconfirmed.limit_bytes(b.log._writer) < 20_000
        a.log._writer.fail(Unavailable("lost"))
        assert budgets.unconfirmed.limit_bytes(b.log._writer) == 60_000
        await a.crash()
        await b.crash()

    run(main)
