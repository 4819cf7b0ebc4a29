"""Readiness in virtual time, over a store that can be slow or away."""

from __future__ import annotations

import asyncio

from gateway.metrics.health import CHECK_INTERVAL_S, LATELY_S, WAITING_S_MAX, Health
from gateway.tests.harness import World, batch_of, started, virtual
from wal_core.stores.objects.counted import CountedObjects


async def watched(world: World) -> Health:
    health = Health(world.config, world.gateway.broker, world.store)
    assert health.problems() == ["the gateway starts"]
    health.start()
    return health


@virtual
async def test_an_idle_gateway_is_ready_and_asks_seldom() -> None:
    world, _ = await started()
    health = await watched(world)
    sizes_count = world.objects.count("size")
    await asyncio.sleep(1_000)
    assert health.problems() == []
    assert 90 <= world.objects.count("size") - sizes_count <= 1_000 / CHECK_INTERVAL_S + 1
    await health.stop()
    await world.stop()


@virtual
async def test_a_store_that_does_not_answer_is_told_and_so_is_its_return() -> None:
    world, _ = await started()
    health = await watched(world)
    world.objects.latency_s = 3_600.0
    await asyncio.sleep(LATELY_S - 15)
    assert health.problems() == []
    await asyncio.sleep(60)
    assert ["the store has not answered" in problem for problem in health.problems()] == [True]
    world.objects.latency_s = 0.0
    await asyncio.sleep(CHECK_INTERVAL_S + 6)
    assert health.problems() == []
    await health.stop()
    await world.stop()


@virtual
async def test_a_store_that_reads_and_does_not_write_is_told() -> None:
    world, client = await started()
    await client.create("t")
    health = await watched(world)
    world.objects.latency_s = lambda name, key: 3_600.0 if name == "create" else 0.0
    reply = client.produce("t", batch_of(b"x"))
    await asyncio.sleep(WAITING_S_MAX + 5)
    assert [problem.partition(" have")[0] for problem in health.problems()] == ["records of log 1"]
    world.objects.latency_s = 0.0
    await asyncio.sleep(60)
    assert health.problems() == []
    assert reply.done()
    await health.stop()
    await world.stop()


@virtual
async def test_a_lost_log_is_told_and_a_stop_too() -> None:
    world, _ = await started(logs_count=2)
    health = await watched(world)
    await world.gateway.broker.logs[2].lose()
    assert health.problems() == ["log 2 is lost"]
    health.is_stopping = True
    assert health.problems() == ["the gateway stops"]
    await health.stop()
    await world.stop()


@virtual
async def test_answers_to_others_spare_the_question() -> None:
    world, client = await started()
    await client.create("t")
    store = world.store
    store.objects = CountedObjects(world.objects, store.tally)  # type: ignore[misc]
    health = await watched(world)
    sizes_count = world.objects.count("size")
    for _ in range(100):
        store.tally.put.seconds.add(0.01)
        await asyncio.sleep(1)
    assert world.objects.count("size") == sizes_count
    assert health.answered_ago_s < CHECK_INTERVAL_S
    await health.stop()
    await world.stop()
