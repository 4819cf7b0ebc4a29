"""Flushing, confirming, rolling and failing, on the virtual clock."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from typing import Any

import pytest

from wal_core import Corrupt, LogConfig, MemoryStore, Payloads, Unavailable, open_store
from wal_core.format.segment_index import SegmentIndex
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness
from wal_core.write.log_writer import LogWriter

OBJECT = LogConfig.preset("object")


async def opened(config: LogConfig = OBJECT, **faults) -> tuple[Harness, FaultyObjectStore]:
    latency_s = faults.pop("latency_s", 0.0)
    faulty = FaultyObjectStore(MemoryStore(), **faults)
    h = await Harness.open(await open_store("", "object", objects=faulty), config)
    faulty.latency_s = latency_s
    return h, faulty


def test_sixteen_appends_over_a_few_ms_cost_one_latency():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        h, faulty = await opened(latency_s=0.2)
        faulty.calls.clear()
        start = loop.time()
        futures = []
        for n in range(16):
            futures.append(h.add(n, b"x" * 100))
            await asyncio.sleep(0.0003)
        await asyncio.gather(*futures)
        assert loop.time() - start <= 0.2055
        assert faulty.count("create") == 2

    run(main)


def test_what_arrives_in_one_turn_rides_in_one_block():
    async def main() -> None:
        h, faulty = await opened(latency_s=0.2)
        faulty.calls.clear()
        futures = {h.add(n, b"x") for n in range(100)}
        assert len(futures) == 1
        await futures.pop()
        assert faulty.count("create") == 1
        assert h.state.confirmed_calls == [dict.fromkeys(range(100), 1)]

    run(main)


def test_an_idle_log_writes_nothing():
    async def main() -> None:
        h, faulty = await opened()
        await h.add(0, b"x")
        faulty.calls.clear()
        await asyncio.sleep(OBJECT.segment_age_max_ms / 1000 - 1)
        assert faulty.calls == []
        await asyncio.sleep(2)  # too old: completed
        assert [call.operation for call in faulty.calls] == ["create"]
        faulty.calls.clear()
        await asyncio.sleep(1e5)
        assert faulty.calls == []

    run(main)


def test_confirmation_is_in_order_though_writes_finish_out_of_order():
    async def main() -> None:
        latencies = iter([0.5, 0.1, 0.3, 0.2])
        h, faulty = await opened(dataclasses.replace(OBJECT, gather_ms=0))
        faulty.latency_s = lambda operation, key: next(latencies)
        done: list[int] = []
        for n in range(4):
            h.add(0, b"%d" % n).add_done_callback(lambda _, n=n: done.append(n))
            await asyncio.sleep(0.001)
        assert faulty.in_flight_max_count == 4
        await asyncio.sleep(0.4)
        assert (done, h.log.confirmed_offset(0)) == ([], 0)
        await asyncio.sleep(0.2)
        assert done == [0, 1, 2, 3]
        assert h.state.confirmed_calls == [{0: 1}, {0: 2}, {0: 3}, {0: 4}]

    run(main)


def test_nothing_unconfirmed_is_visible():
    async def main() -> None:
        h, _ = await opened(latency_s=1.0)
        future = h.add(0, b"x", ts=5)
        await asyncio.sleep(0.5)
        assert h.log.end_offset(0) == 1
        assert h.log.confirmed_offset(0) == 0
        assert h.log.read_tail(0, 0, 100) == Payloads([], 0, 0)
        assert await h.log.read(0, 0, 100) == []
        assert await h.log.find_timestamp(0, 5) is None
        await future
        assert h.log.read_tail(0, 0, 100).end_offset == 1

    run(main)


def test_flushes_in_flight_are_bounded_and_bytes_come_back():
    async def main() -> None:
        config = dataclasses.replace(
            OBJECT, block_bytes_max=1000, gather_ms=0, flushes_in_flight_max_count=3
        )
        h, faulty = await opened(config, latency_s=0.1)
        h.log._writer._listener = None  # its looks would count
        for _ in range(50):
            h.add(0, bytes(500))
        assert h.log.unconfirmed_bytes >= 50 * 500
        await h.log.close()
        assert faulty.in_flight_max_count == 3
        assert h.log.unconfirmed_bytes == 0
        assert h.log.confirmed_offset(0) == 50

    run(main)


def test_an_outage_is_ridden_out_in_order():
    async def main() -> None:
        h, faulty = await opened(latency_s=0.01)
        faulty.fault_rate = 1.0
        futures = []
        for n in range(10):
            futures.append(h.add(0, b"%d" % n))
            await asyncio.sleep(0.006)
        await asyncio.sleep(1)
        assert h.log.confirmed_offset(0) == 0
        faulty.fault_rate = 0.3
        await asyncio.gather(*futures)
        assert [p for _, p in await h.read_all(0)] == [b"%d" % n for n in range(10)]

    run(main)


def test_the_write_rate_is_bounded_without_losing_latency_when_idle():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        config = dataclasses.replace(OBJECT, writes_per_s_max=10, writes_burst_count=2)
        h, faulty = await opened(config, latency_s=0.001)
        faulty.calls.clear()
        start = loop.time()
        for _ in range(300):
            h.add(0, b"x")
            await asyncio.sleep(0.01)
        await h.log.close()
        took = loop.time() - start
        assert faulty.count("create") <= 2 + 10 * took + 1
        assert h.log.confirmed_offset(0) == 300

    run(main)


def test_full_blocks_do_not_wait_for_the_rate_and_small_ones_do():
    config = dataclasses.replace(
        OBJECT, block_bytes_max=1000, gather_bytes=1000, writes_per_s_max=4, writes_burst_count=1
    )

    async def main() -> None:
        loop = asyncio.get_running_loop()
        h, faulty = await opened(config, latency_s=0.01)
        faulty.calls.clear()
        await h.add(0, b"x")
        start = loop.time()
        full = [h.add(0, b"x" * 800) for _ in range(20)]
        await full[-2]  # the last one is not followed by anything, so it is not full
        assert loop.time() - start < 0.05
        await full[-1]
        assert loop.time() - start == pytest.approx(0.25, abs=0.02)
        assert faulty.count("create") == 21

    run(main)


def test_appends_go_on_while_a_segment_is_completed():
    async def main() -> None:
        config = dataclasses.replace(OBJECT, segment_blocks_max=3, gather_ms=1)
        h, _ = await opened(config, latency_s=0.05)
        futures = []
        for n in range(400):
            futures.append(h.add(n % 5, b"%d" % n))
            await asyncio.sleep(0.003)
        await asyncio.gather(*futures)
        assert len(h.log._contents.chain.links) > 5
        assert h.state.ends == dict.fromkeys(range(5), 80)
        await h.log.close()
        again = await Harness.open(h.store)
        assert again.state.applied_count == 0
        assert again.state.entries == h.state.entries
        assert await again.stored() == sorted(h.state.entries)

    run(main)


def test_the_next_segment_waits_for_the_footer_of_the_last():
    """Else a crash would leave a segment without a footer before the last one."""

    async def main() -> None:
        config = dataclasses.replace(OBJECT, segment_blocks_max=2)
        h, faulty = await opened(config)
        first = h.log._contents.chain.last + 1
        faulty.plan.append(Planned("create", f"{first:020d}/{2:010d}", Fault.HANG))
        for n in range(4):
            pending = h.add(0, b"%d" % n)
            await asyncio.sleep(0.01)
        segments = {row.key.split("/")[2] for row in await faulty.inner.list("logs/")}
        assert f"{first + 1:020d}" not in segments
        assert not pending.done()
        await pending  # the hanging attempt is given up and repeated
        assert h.log.confirmed_offset(0) == 4

    run(main)


@pytest.mark.parametrize("crash_after_ms", range(100, 900, 37))
def test_a_footers_checkpoint_is_the_sum_of_its_segment(crash_after_ms):
    """Appends that arrive while the segment is being ended belong to the next one only."""

    async def main() -> None:
        config = dataclasses.replace(OBJECT, segment_blocks_max=3, gather_ms=1)
        h, faulty = await opened(config, latency_s=0.05)
        futures = []
        for n in range(crash_after_ms // 3):
            futures.append(h.add(n % 5, b"%d" % n))
            await asyncio.sleep(0.003)
        acked = sum(future.done() for future in futures)
        appended = list(h.state.entries)
        await h.crash()
        faulty.latency_s = 0
        again = await Harness.open(h.store)
        assert len(again.state.entries) >= acked
        assert again.state.entries == appended[: len(again.state.entries)]
        assert again.state.applied_count < len(again.state.entries) or crash_after_ms < 400

    run(main)


def test_a_close_during_the_end_of_an_idle_segment_waits_for_it_without_spinning(monkeypatch):
    waits_count = 0
    wait_idle = LogWriter._wait_idle

    async def counted(self: LogWriter) -> None:
        nonlocal waits_count
        waits_count += 1
        assert waits_count < 10, "it asks again and again"
        await wait_idle(self)

    async def main() -> None:
        h, _ = await opened(latency_s=1.0)
        await h.add(0, b"x")
        h.log.complete_segment()  # as its age does, while nothing is under way
        await asyncio.sleep(0.5)
        await h.log.close()
        assert h.log._contents.active is None

    monkeypatch.setattr(LogWriter, "_wait_idle", counted)
    run(main)


def test_a_segment_ends_empty_only_where_nothing_is_written():
    async def main() -> None:
        h, _ = await opened(latency_s=0.1)
        writer, chain = h.log._writer, h.log._contents.chain
        count = len(chain.links)
        writer.end_empty_segment()
        writer.end_empty_segment()  # the first is under way
        before = h.add(0, b"waits for the next")
        await before
        assert len(chain.links) == count + 1
        writer.end_empty_segment()  # there is one with something in it
        assert h.log._contents.active is not None
        again = h.add(0, b"y")
        await h.log.close()
        await again
        assert len(chain.links) == count + 2
        writer.end_empty_segment()  # closed
        assert h.log._contents.active is None
        after = await Harness.open(h.store)
        assert await after.read_all(0) == [(0, b"waits for the next"), (1, b"y")]
        await after.crash()
        after.log._writer.end_empty_segment()
        assert after.log._contents.active is None

    run(main)


def test_a_late_store_makes_close_give_up_and_fail_the_rest():
    async def main() -> None:
        h, faulty = await opened()
        faulty.latency_s = 1e9
        future = h.add(0, b"x")
        with pytest.raises(Unavailable):
            await h.log.close()
        with pytest.raises(Unavailable):
            await future
        assert not h.log.failed.done()
        with pytest.raises(Unavailable):
            h.add(0, b"y")

    run(main)


def test_a_state_that_raises_stops_the_log():
    async def main() -> None:
        h, _ = await opened()

        def confirmed(ends: object) -> None:
            raise KeyError("bug")

        h.state.confirmed = confirmed
        future = h.add(0, b"x")
        with pytest.raises(Corrupt, match="KeyError"):
            await future
        with pytest.raises(Corrupt):
            await h.log.failed

    run(main)


def test_a_dropped_stream_is_gone_from_the_next_footer_on():
    async def main() -> None:
        config = dataclasses.replace(OBJECT, segment_blocks_max=2)
        h, _ = await opened(config)
        for n in range(7):
            await h.add(n % 2, b"%d" % n)
        h.log.drop_stream(1)
        assert h.log.stream_ids() == [0]
        assert h.log.end_offset(1) == 0
        assert h.log.read_tail(1, 0, 100) == Payloads([], 0, 0)
        assert await h.log.read(1, 0, 100) == []
        with pytest.raises(Exception, match="dropped"):
            h.log.append(1, 3, 1, 0, b"x")
        for n in range(4):
            await h.add(0, b"%d" % n)
        await h.log.close()
        again = await Harness.open(h.store)
        assert again.log.stream_ids() == [0]
        assert len(await again.read_all(0)) == 8

    run(main)


def test_a_stream_dropped_during_a_roll_is_still_in_that_footer():
    """The checkpoint of the footer knows the stream, so the footer must, too."""

    async def main() -> None:
        config = dataclasses.replace(OBJECT, segment_blocks_max=1)
        h, faulty = await opened(config)
        faulty.latency_s = 0.1
        h.add(0, b"x")
        h.add(1, b"y")
        await asyncio.sleep(0.05)  # the block is cut, the footer to come
        h.log.drop_stream(1)
        await asyncio.sleep(1)
        await h.crash()
        again = await Harness.open(h.store)
        assert sorted(again.log.stream_ids()) == [0, 1]

    run(main)


async def test_a_large_footer_is_encoded_beside_the_loop(monkeypatch):
    threads = []
    encode = SegmentIndex.encode_footer

    def noted(self: SegmentIndex, *args: Any) -> bytes:
        threads.append(threading.get_ident())
        return encode(self, *args)

    monkeypatch.setattr(SegmentIndex, "encode_footer", noted)
    store = await open_store("memory:", "object")
    h = await Harness.open(store, dataclasses.replace(OBJECT, segment_blocks_max=2))
    threads.clear()
    for _ in range(2):
        await asyncio.gather(*(h.add(stream, b"x") for stream in range(1_000)))
    await h.log.close()
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    again = await Harness.open(store)
    assert len(await again.stored()) == 2_000
    await again.log.close()


def test_a_cancelled_appender_harms_nobody():
    async def main() -> None:
        h, _ = await opened(latency_s=0.1)
        first, second = h.add(0, b"x"), h.add(1, b"y")
        assert first is second

        async def careless() -> None:
            await asyncio.shield(first)

        task = asyncio.ensure_future(careless())
        await asyncio.sleep(0.01)
        task.cancel()
        await second
        assert h.log.confirmed_offset(1) == 1

    run(main)
