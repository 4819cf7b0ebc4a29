"""Crashes around deletions: of records, which never come back, and of topics, which go as a whole.

A crash may fall between any two steps: record appended, durable, log start moved, segment
completed. Whoever saw a log start sees none below it afterwards (I3).
"""

import asyncio
import random  # noqa: TID251 - seeded

import pytest

from gateway.broker.journal_records import RecordsDeleted
from gateway.tests.harness import Client, World, batch_of, started, virtual
from protocol import ErrorCode

SMALL_SEGMENTS = {"segment_bytes_max": 65_536, "block_bytes_max": 8_192}


def _start(world: World, topic: str = "t") -> int:
    partition = world.gateway.broker.partition(topic, 0)
    assert partition is not None
    return partition.log_start_offset


@pytest.mark.parametrize("tail_bytes", [0, 70_000])
@pytest.mark.parametrize("step_ms", range(0, 100, 5))
def test_a_crash_at_every_moment_of_a_deletion(step_ms: int, tail_bytes: int) -> None:
    """Every store call takes 10 ms, so a crash meets each of them on its way; `tail_bytes` behind
    the deletion make the segment end with it, or right behind it.
    """

    @virtual
    async def body() -> None:
        world, client = await started(**SMALL_SEGMENTS)
        await client.create("t")
        for _ in range(10):
            await client.produced("t", batch_of(bytes(3_000)))
        world.objects.latency_s = 0.01
        deleting = asyncio.ensure_future(client.deleted("t", 6))
        await asyncio.sleep(0)
        for _ in range(tail_bytes // 7_000):
            world.client().produce("t", batch_of(bytes(7_000)))
        await asyncio.sleep(step_ms / 1_000)
        seen, answered = _start(world), deleting.done()
        await world.crash()
        deleting.cancel()
        world.objects.latency_s = 0.0
        await world.start()
        found = _start(world)
        assert found in (0, 6)
        assert found >= seen
        assert seen == 6 or not answered
        client = world.client()
        await _assert_readable(client, found)
        await world.restart()
        assert _start(world) == found

    body()


async def _assert_readable(client: Client, start: int) -> None:
    low = await client.fetched("t", start)
    assert (low.error_code, low.log_start_offset) == (0, start)
    if start:
        below = await client.fetched("t", start - 1)
        assert below.error_code == ErrorCode.OFFSET_OUT_OF_RANGE


@pytest.mark.parametrize("seed", range(8))
def test_no_start_goes_back_whatever_happens(seed: int) -> None:
    """Two that delete, one that writes, rolls, faults, and a watcher that sees every start."""

    @virtual
    async def body() -> None:
        rng = random.Random(seed)
        world, client = await started(**SMALL_SEGMENTS)
        await client.create("t")
        seen = [0]

        async def produce(client: Client) -> None:
            while True:
                await client.produced("t", batch_of(bytes(rng.randrange(5_000))))

        async def delete(client: Client) -> None:
            while True:
                partition = world.gateway.broker.partition("t", 0)
                assert partition is not None
                wanted = rng.randrange(partition.high_watermark + 1)
                answer = await client.deleted("t", wanted)
                assert answer.error_code == 0
                assert answer.low_watermark >= max(wanted, seen[-1])
                await asyncio.sleep(rng.random() * 0.1)

        async def watch() -> None:
            while True:
                seen.append(_start(world))
                await asyncio.sleep(0.003)

        for _ in range(5):
            world.objects.latency_s = lambda *_: rng.choice((0.0, 0.02, 0.1))
            world.objects.fault_rate = 0.05
            works = (produce(client), delete(world.client()), delete(world.client()), watch())
            tasks = [asyncio.ensure_future(work) for work in works]
            await asyncio.sleep(1 + rng.random())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            seen.append(_start(world))
            world.objects.latency_s = world.objects.fault_rate = 0.0
            await (world.stop() if rng.random() < 0.3 else world.crash())
            await world.start()
            client = world.client()
            seen.append(_start(world))
            await _assert_readable(client, seen[-1])
        assert seen == sorted(seen)
        assert seen[-1] > 0

    body()


@pytest.mark.parametrize("step_ms", range(0, 60, 5))
@pytest.mark.parametrize("tail_bytes", [0, 70_000])
def test_a_crash_at_every_moment_of_a_topic_deletion(step_ms: int, tail_bytes: int) -> None:
    """It is gone for good once that was said; until then it is there with all it had."""

    @virtual
    async def body() -> None:
        world, client = await started(**SMALL_SEGMENTS)
        await client.create("t", "other")
        for _ in range(10):
            await client.produced("t", batch_of(bytes(3_000)))
        await client.deleted("t", 3)
        world.objects.latency_s = 0.01
        deleting = asyncio.ensure_future(client.deleted_topics("t"))
        await asyncio.sleep(0)
        for _ in range(tail_bytes // 7_000):
            world.client().produce("other", batch_of(bytes(7_000)))
        await asyncio.sleep(step_ms / 1_000)
        answered = deleting.done() and deleting.result() == [0]
        stream_ids = set(world.log.stream_ids())
        await world.crash()
        deleting.cancel()
        world.objects.latency_s = 0.0
        await world.start()
        topic = world.gateway.broker.topics.named("t")
        await asyncio.sleep(1)  # what a crash brought back goes behind the start
        if topic is None:
            assert 1 not in world.log.stream_ids()
            return
        assert not answered
        assert 1 in stream_ids  # nobody was told that its bytes may go
        partition = topic.partitions[0]
        assert (partition.log_start_offset, partition.high_watermark) == (3, 10)
        await _assert_readable(world.client(), 3)

    body()


@virtual
async def test_a_name_may_be_used_again_at_once_and_nothing_old_shows() -> None:
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"old", times=[10]))
    world.objects.latency_s = 0.5
    produced = client.produce("t", batch_of(b"last"))
    parked = world.client()
    reading = asyncio.ensure_future(parked.fetched("t", 1, wait_ms=60_000, min_bytes=10_000))
    await asyncio.sleep(0.1)
    deleting = asyncio.ensure_future(world.client().deleted_topics("t"))
    await asyncio.sleep(0.01)
    creating = asyncio.ensure_future(world.client().create("t"))
    await asyncio.sleep(0.01)
    assert (await reading).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert not deleting.done()
    fresh = world.client()
    writing = fresh.produce("t", batch_of(b"new"))
    assert (await produced).responses[0].partition_responses[0].error_code == 0
    assert await deleting == [0]
    assert await creating == [0]
    assert (await writing).responses[0].partition_responses[0].base_offset == 0
    for _ in range(2):
        partition = world.gateway.broker.partition("t", 0)
        assert partition is not None
        assert (partition.log_start_offset, partition.high_watermark) == (0, 1)
        assert await world.client().fetched("t", 0)
        await world.restart()


def _starts(world: World) -> dict[int, int]:
    return {p.stream_id: p.deleted_below for p in world.gateway.broker.topics.partitions()}


@pytest.mark.parametrize("end", ["crash", "stop"])
def test_where_partitions_start_is_in_the_checkpoint(end: str) -> None:
    """A footer may be written before the start has moved that its segment tells of."""

    @virtual
    async def body() -> None:
        world, client = await started(**SMALL_SEGMENTS)
        await client.create("t", "u", partitions=2)
        for name in "tu":
            await client.produced(name, batch_of(b"a", b"b", b"c"), index=1)
            await client.deleted(name, 2, index=1)
        assert await client.deleted_topics("u") == [0]
        await client.produced("t", batch_of(bytes(70_000)))
        await asyncio.sleep(1)
        assert world.log._contents.chain.links  # it did roll
        before = _starts(world)
        await (world.crash() if end == "crash" else world.stop())
        await world.start()
        assert _starts(world) == before
        partition = world.gateway.broker.partition("t", 1)
        assert partition is not None
        assert partition.log_start_offset == 2

    body()


@virtual
async def test_a_start_behind_what_is_left_is_where_the_partition_goes_on() -> None:
    """Damage has taken its last records, which had been deleted: that keeps nobody from starting,
    and no offset is given out again."""
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"x"))
    await world.gateway.broker.logs[1]._write(RecordsDeleted(starts={1: 2}))
    for _ in range(2):
        await world.crash()
        await world.start()
        assert _start(world) == 2
        partition = world.gateway.broker.partition("t", 0)
        assert partition is not None
        end = partition.high_watermark
        await world.client().produced("t", batch_of(b"y"))
        assert partition.high_watermark == end + 1
    assert end == 3
    await _assert_readable(world.client(), 2)
