"""Retention in virtual time: what goes, what stays, what it costs."""

import asyncio
import itertools
from typing import Any

import pytest

from gateway.broker.retention import (
    FIRST_CHECK_MS,
    PARTITIONS_PER_TURN_COUNT,
    UNAVAILABLE_MAX_COUNT,
)
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.tests.harness import (
    VirtualClock,
    World,
    batch_of,
    produce_request,
    started,
    virtual,
)
from protocol import ApiKey
from wal_core import Corrupt, Unavailable

HOUR_MS = 3_600_000
INTERVAL_S = 300.0


class _Ahead(VirtualClock):
    def now_ms(self) -> int:
        return super().now_ms() + HOUR_MS


def _start(world: World, topic: str = "t", index: int = 0) -> int:
    partition = world.gateway.broker.partition(topic, index)
    assert partition is not None
    return partition.log_start_offset


async def _topic(world: World, times: list[int], **configs: str) -> None:
    """Topic t; one record per block, at the given times (ms from now)."""
    client = world.client()
    named = {name.replace("_", "."): value for name, value in configs.items()}
    assert await client.create("t", configs=named) == [0]
    now_ms = world.gateway.broker.now_ms()
    for time in times:
        answer = await client.produced("t", batch_of(b"x" * 32, times=[now_ms + time], key=b""))
        assert answer.error_code == 0


@virtual
async def test_records_go_when_they_are_older_than_retention_ms() -> None:
    world, _ = await started()
    await _topic(world, [0, 1_000, 2_000, 3_000], retention_ms="60000")
    sweep = world.gateway.retention.sweep
    for after_s, start in ((60, 0), (60.001, 1), (61, 1), (62.5, 3), (63, 3), (63.001, 4)):
        await asyncio.sleep(after_s - asyncio.get_running_loop().time())
        before = _start(world)
        assert await sweep() == (start != before), after_s
        assert _start(world) == start, after_s
    assert await sweep() == 0


@virtual
async def test_the_task_looks_soon_after_a_start_and_then_at_every_interval() -> None:
    world, _ = await started()
    await _topic(world, [0, FIRST_CHECK_MS], retention_ms="1000")
    await asyncio.sleep(FIRST_CHECK_MS / 1_000 - 0.1)
    assert _start(world) == 0
    await asyncio.sleep(0.2)
    assert _start(world) == 1
    await asyncio.sleep(INTERVAL_S - 1)
    assert _start(world) == 1
    await asyncio.sleep(2)
    assert _start(world) == 2


@virtual
async def test_a_short_interval_is_also_the_first() -> None:
    world, _ = await started(retention_check_interval_ms=500)
    await _topic(world, [-10], retention_ms="0")
    await asyncio.sleep(0.6)
    assert _start(world) == 1


@virtual
async def test_a_partition_keeps_its_newest_bytes() -> None:
    world, client = await started()
    size = len(batch_of(b"x" * 32))
    await _topic(world, [0] * 10, retention_bytes=str(3 * size), retention_ms="-1")
    await world.gateway.retention.sweep()
    assert _start(world) == 7
    await client.produced("t", batch_of(b"x" * 32))
    await world.gateway.retention.sweep()
    assert _start(world) == 8
    assert await world.gateway.retention.sweep() == 0


@pytest.mark.parametrize(
    ("configs", "start"),
    [
        ({}, 1),  # Kafka's default: a week
        ({"retention_ms": "-1"}, 0),
        ({"retention_ms": str(2**63 - 1)}, 0),
        ({"retention_ms": "1"}, 2),
        ({"retention_ms": "1", "cleanup_policy": "compact"}, 0),
        ({"retention_ms": "1", "cleanup_policy": "compact, delete"}, 2),
        ({"retention_ms": "-1", "retention_bytes": "0"}, 2),  # the newest block stays
        ({"retention_bytes": "1"}, 2),
        ({"retention_bytes": "1", "cleanup_policy": "compact"}, 0),
        ({"retention_ms": "1", "retention_bytes": str(10**9)}, 2),
        ({"retention_ms": "1", "message_timestamp_type": "LogAppendTime"}, 0),
    ],
)
@virtual
async def test_what_the_settings_of_a_topic_say(configs: dict[str, str], start: int) -> None:
    world, _ = await started()
    await _topic(world, [-8 * 24 * HOUR_MS, -HOUR_MS, HOUR_MS], **configs)
    await world.gateway.retention.sweep()
    assert _start(world) == start


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("by", ["DeleteRecords", "retention.bytes"])
@virtual
async def test_a_record_ahead_of_its_time_keeps_nothing_once_it_is_gone(
    by: str, restart: bool
) -> None:
    world, client = await started()
    await _topic(world, [0, 50 * 60_000, 1, 2, 3], retention_ms="60000", retention_bytes="1000000")
    await asyncio.sleep(120)
    assert await world.gateway.retention.sweep() == 1
    assert _start(world) == 1  # that one keeps what lies behind it, as its segment does in Kafka
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None
    if by == "DeleteRecords":
        await client.deleted("t", 2)
    else:
        had = dict(topic.configs)
        shorter = {"retention.ms": "-1", "retention.bytes": "300"}
        await world.gateway.broker.change_configs(topic, shorter)
        await world.gateway.retention.sweep()
        await world.gateway.broker.change_configs(topic, had)
    assert 2 <= _start(world) < 5
    if restart:
        await world.restart()
    await world.gateway.retention.sweep()
    assert _start(world) == 5


@pytest.mark.parametrize("restart", [False, True])
@virtual
async def test_nor_do_records_stamped_while_the_brokers_clock_was_ahead(restart: bool) -> None:
    world, client = await started()
    await _topic(world, [0], retention_ms="60000", message_timestamp_type="LogAppendTime")
    right = world.gateway.broker._clock
    world.gateway.broker._clock = _Ahead()
    await client.produced("t", batch_of(b"x"))
    world.gateway.broker._clock = right
    await client.produced("t", batch_of(b"y"))
    await client.deleted("t", 2)
    await client.produced("t", batch_of(b"z"))
    if restart:
        await world.restart()
    await asyncio.sleep(61)
    await world.gateway.retention.sweep()
    assert _start(world) == 4


@virtual
async def test_the_gateways_own_topic_keeps_everything() -> None:
    world, _ = await started()
    await world.append_group_records(0, [(b"\x00\x01k", b"v")])
    topic = world.gateway.broker.topics.named(OFFSETS_TOPIC)
    assert topic is not None
    await world.gateway.broker.configure("broker", "", {"log.retention.ms": "1"})
    assert topic.retention_ms == 1
    await asyncio.sleep(2 * INTERVAL_S)
    assert _start(world, OFFSETS_TOPIC) == 0


@virtual
async def test_records_without_a_time_are_as_old_as_their_arrival() -> None:
    world, client = await started()
    await client.create("t", configs={"retention.ms": "5000"})
    for n in range(4):
        await client.produced("t", batch_of(b"%d" % n, times=[-1]))
        await asyncio.sleep(2)
    await world.gateway.retention.sweep()
    assert _start(world) == 2
    await world.crash()
    await world.restart()
    await asyncio.sleep(2)
    await world.gateway.retention.sweep()
    assert _start(world) == 3


@virtual
async def test_an_idle_log_with_nothing_expired_writes_and_reads_nothing() -> None:
    world, client = await started()
    await _topic(world, [0, 1, 2], retention_bytes="1000000")
    await client.create("empty")
    await world.restart()  # what is in memory is no excuse
    await world.gateway.retention.sweep()
    await world.log.until_quiet()
    calls_count = len(world.objects.calls)
    end = world.log.end_offset(0)
    await asyncio.sleep(10 * INTERVAL_S)
    assert len(world.objects.calls) == calls_count
    assert world.log.end_offset(0) == end


@virtual
async def test_a_sweep_is_one_record() -> None:
    world, client = await started()
    await client.create("a", "b", partitions=3, configs={"retention.ms": "1"})
    for topic, index in itertools.product("ab", range(3)):
        await client.produced(topic, batch_of(b"x"), index=index)
    await asyncio.sleep(1)
    end, created = world.log.end_offset(0), world.objects.count("create")
    assert await world.gateway.retention.sweep() == 6
    assert world.log.end_offset(0) == end + 1
    assert world.objects.count("create") == created + 1
    assert {_start(world, t, i) for t in "ab" for i in range(3)} == {1}


@virtual
async def test_many_partitions_do_not_hold_the_loop() -> None:
    count = 12 * PARTITIONS_PER_TURN_COUNT
    world, client = await started()
    await client.create("t", partitions=count, configs={"retention.ms": "1"})
    partitions = list(world.gateway.broker.topics.partitions())
    batches = {("t", index): batch_of(b"x") for index in range(count)}
    await client.call(ApiKey.PRODUCE, 9, produce_request(batches))
    await asyncio.sleep(1)
    asked_count = moved_count = 0
    asked_most = moved_most = 0
    log = world.log
    original = log.offset_for_time

    async def counting(*args: Any) -> int:
        nonlocal asked_count
        asked_count += 1
        return await original(*args)

    log.offset_for_time = counting  # type: ignore[method-assign]
    sweeping = asyncio.ensure_future(world.gateway.retention.sweep())
    while not sweeping.done():
        before = asked_count, moved_count
        await asyncio.sleep(0)
        moved_count = sum(p.log_start_offset for p in partitions)
        asked_most = max(asked_most, asked_count - before[0])
        moved_most = max(moved_most, moved_count - before[1])
    assert sweeping.result() == moved_count == count
    assert asked_most <= PARTITIONS_PER_TURN_COUNT
    assert moved_most <= 500


@virtual
async def test_a_partition_that_fails_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, client = await started()
    await client.create("t", partitions=4, configs={"retention.ms": "1"})
    for index in range(4):
        await client.produced("t", batch_of(b"x"), index=index)
    await asyncio.sleep(1)
    log = world.log
    original = log.offset_for_time
    bad = world.gateway.broker.partition("t", 1)
    worse = world.gateway.broker.partition("t", 2)
    assert bad is not None and worse is not None

    async def failing(stream_id: int, timestamp_ms: int) -> int:
        if stream_id == bad.stream_id:
            raise Corrupt("a damaged footer")
        if stream_id == worse.stream_id:
            raise ZeroDivisionError("a bug")
        return await original(stream_id, timestamp_ms)

    log.offset_for_time = failing  # type: ignore[method-assign]
    assert await world.gateway.retention.sweep() == 2
    assert [_start(world, "t", index) for index in range(4)] == [1, 0, 0, 1]
    assert [r.levelname for r in caplog.records if "retention" in r.message] == ["WARNING"] * 2


@virtual
async def test_a_store_that_does_not_answer_is_not_asked_for_every_partition() -> None:
    world, client = await started()
    await client.create("t", partitions=20, configs={"retention.ms": "1"})
    for index in range(20):
        await client.produced("t", batch_of(b"x"), index=index)
    log = world.log
    asked_count = 0

    async def down(*_: int) -> int:
        nonlocal asked_count
        asked_count += 1
        raise Unavailable("the store is away")

    log.offset_for_time = down  # type: ignore[method-assign]
    await asyncio.sleep(1)
    assert await world.gateway.retention.sweep() == 0
    assert asked_count == UNAVAILABLE_MAX_COUNT


@virtual
async def test_a_topic_deleted_during_the_sweep_is_left_out() -> None:
    world, client = await started()
    await client.create("a", "b", configs={"retention.ms": "1"})
    for topic in "ab":
        await client.produced(topic, batch_of(b"x"))
    await asyncio.sleep(1)
    log = world.log
    original = log.offset_for_time

    async def deleting(stream_id: int, timestamp_ms: int) -> int:
        found = await original(stream_id, timestamp_ms)
        if world.gateway.broker.topics.named("a") is not None:
            await client.deleted_topics("a")
        return found

    log.offset_for_time = deleting  # type: ignore[method-assign]
    assert await world.gateway.retention.sweep() == 1
    assert _start(world, "b") == 1


@virtual
async def test_producers_are_forgotten_by_the_task_and_with_their_topic() -> None:
    world = await World(producer_id_expiration_ms=600_000).start()
    client = world.client()
    await client.create("t", "u", configs={"retention.ms": "-1"})
    for topic in "tu":
        batch = batch_of(b"x", producer_id=7, producer_epoch=0, base_sequence=0)
        await client.produced(topic, batch)
    memory = world.gateway.broker.producer_memory
    both = memory.used_bytes
    assert both > 0
    await client.deleted_topics("u")
    assert memory.used_bytes == both / 2
    await asyncio.sleep(590)
    assert memory.used_bytes == both / 2
    await asyncio.sleep(310)
    assert memory.used_bytes == 0


@virtual
async def test_an_outage_is_outlived(caplog: pytest.LogCaptureFixture) -> None:
    world, _ = await started()
    await _topic(world, [0], retention_ms="1")
    await asyncio.sleep(FIRST_CHECK_MS / 1_000 - 1)
    world.objects.fault_rate = 1.0
    await asyncio.sleep(60)
    assert _start(world) == 0
    failed = [r.__dict__["event_fields"] for r in caplog.records if r.message == "retention failed"]
    assert failed
    assert all(fields["reason"] for fields in failed)
    world.objects.fault_rate = 0.0
    await asyncio.sleep(60)
    assert _start(world) == 1


@virtual
async def test_stop_ends_the_task_also_while_it_waits_for_the_store() -> None:
    world, _ = await started()
    await _topic(world, [0], retention_ms="1")
    world.objects.latency_s = 1.0
    await asyncio.sleep(FIRST_CHECK_MS / 1_000 + 0.5)
    await world.stop()
    await world.start()
    assert _start(world) == 1  # the record was on its way, and the log was closed properly
    await world.stop()
    assert not [t for t in asyncio.all_tasks() if t.get_name() == "retention"]
