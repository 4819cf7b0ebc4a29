"""What is left of a topic that goes: tombstones, dropped streams, ids that are not used again."""

from __future__ import annotations

import asyncio

import pytest

from gateway.broker import owned_log
from gateway.broker.journal_records import JOURNAL_STREAM_ID
from gateway.broker.tests.test_owned_log import topic_of
from gateway.tests.harness import batch_of, started, virtual

SEGMENTS_COUNT = 20  # so many are worth a compaction


@virtual
async def test_a_tombstone_stays_until_all_logs_have_dropped_its_streams() -> None:
    world, client = await started(logs_count=2)
    await client.create("t", "kept", partitions=2)
    for index in range(2):
        await client.produced("t", batch_of(b"x"), index=index)
    topic, broker = topic_of(world), world.gateway.broker
    world.objects.latency_s = lambda call, key, *_: 0.5 if key.startswith("logs/2/") else 0.0
    assert await client.deleted_topics("t") == [0]
    await client.create("u")
    assert topic.id in broker.topics.tombstones
    await world.crash()
    world.objects.latency_s = 0.0
    client = await world.start() and world.client()
    await asyncio.sleep(1)
    broker = world.gateway.broker
    for owned in broker.logs:
        assert owned.log.stream_ids() == [0]
    await client.create("v")
    assert not broker.topics.tombstones
    assert topic_of(world, "kept").partitions[0].high_watermark == 0


@virtual
async def test_nothing_is_dropped_before_the_tombstone_is_durable() -> None:
    """Nor by a sweep, or by the deletion of another topic: a crash may bring the topic back."""
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"x"))
    world.objects.latency_s = lambda call, key, *_: 0.5 if key.startswith("logs/0/") else 0.0
    deleting = asyncio.ensure_future(world.client().deleted_topics("t"))
    await asyncio.sleep(0.1)
    await world.gateway.retention.sweep()
    await asyncio.sleep(0.1)
    assert not deleting.done()
    assert world.log.end_offset(0) == 1  # only the beginning of the stream
    assert world.log.end_offset(1) == 1
    await asyncio.sleep(1)
    assert deleting.result() == [0]
    assert world.log.stream_ids() == [0]


@virtual
async def test_the_stream_of_a_deleted_topic_stays_dropped() -> None:
    """The log itself forgets it at a segment's end; a crash before that brings it back."""
    world, client = await started()
    assert await client.create("t") == [0]
    assert (await client.produced("t", batch_of(b"x"))).error_code == 0
    broker = world.gateway.broker
    topic = broker.topics.named("t")
    assert topic is not None
    await broker.deletions.delete(topic)
    await world.restart()
    await asyncio.sleep(1)
    assert world.log.stream_ids() == [JOURNAL_STREAM_ID]


@virtual
async def test_streams_are_not_used_again_after_a_deletion() -> None:
    """Also when only a checkpoint knows that there was a topic."""
    world, client = await started()
    assert await client.create("t") == [0]
    broker = world.gateway.broker
    topic = broker.topics.named("t")
    assert topic is not None
    await broker.deletions.delete(topic)
    await world.stop()
    await world.start()
    new = world.gateway.broker.creations.create("u")
    assert new.partitions[0].stream_id > topic.partitions[0].stream_id


def test_nothing_is_compacted_before_what_a_crash_brings_back_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a sealed segment names a stream of which nothing is in it."""

    @virtual
    async def body() -> None:
        world, client = await started()
        loop = asyncio.get_running_loop()
        world.log.compact_after(loop.create_future())
        await client.create("t", "kept")
        for name in ("t", *("kept",) * SEGMENTS_COUNT):
            await client.produced(name, batch_of(b"x"))
            world.log.complete_segment()
            await asyncio.sleep(0.1)
        assert await client.deleted_topics("t") == [0]
        await asyncio.sleep(0.1)
        await world.crash()
        allowed, drop = asyncio.Event(), owned_log.drop_those_that_were_dropped

        async def late(*arguments: object) -> None:
            await allowed.wait()
            await drop(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(owned_log, "drop_those_that_were_dropped", late)
        await world.start()
        await asyncio.sleep(60)
        assert world.objects.count("create", "sealed/1/") == 0
        allowed.set()
        await asyncio.sleep(60)
        assert world.objects.count("create", "sealed/1/") > 0
        assert world.log.stream_ids() == [
            JOURNAL_STREAM_ID,
            topic_of(world, "kept").partitions[0].stream_id,
        ]
        await world.stop()

    body()
