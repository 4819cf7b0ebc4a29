"""Who touches a topic first, who waits until it is durable, and for how long."""

import asyncio

import pytest

from gateway.broker.topic_creations import CREATION_WAIT_S
from gateway.broker.waiting import STORAGE_TIMEOUT_S
from gateway.tests.harness import World, loop_ms, virtual
from wal_core.testing.faulty_object_store import Fault, Planned


@virtual
async def test_parallel_first_touches_create_once_and_all_wait_until_it_is_durable() -> None:
    world = await World().start()
    broker = world.gateway.broker
    world.objects.latency_s = 0.2
    written = world.objects.count("create")
    topics = [broker.creations.ensure("t") for _ in range(16)]
    first = topics[0]
    assert first is not None
    assert all(topic is first for topic in topics)
    touches = [asyncio.ensure_future(broker.creations.soon([first])) for _ in range(16)]
    await asyncio.sleep(0.1)
    assert not any(t.done() for t in touches)
    await asyncio.gather(*touches)
    assert loop_ms() == pytest.approx(200)
    assert world.objects.count("create") == written + 1


@virtual
async def test_a_creation_that_is_late_is_waited_for_once_and_holds_later() -> None:
    world = await World().start()
    broker = world.gateway.broker
    world.objects.plan += [Planned("create", "", Fault.HANG)] * 5
    topic = broker.creations.ensure("t")
    assert topic is not None
    for _ in range(3):
        await broker.creations.soon([topic])
        assert loop_ms() == pytest.approx(1_000 * CREATION_WAIT_S)
    assert not topic.is_durable
    with pytest.raises(TimeoutError):
        await broker.creations.settled(topic)
    assert loop_ms() == pytest.approx(1_000 * (CREATION_WAIT_S + STORAGE_TIMEOUT_S))
    await asyncio.sleep(100)
    assert topic.is_durable
    assert broker.creations.ensure("t") is topic


@virtual
async def test_a_cancelled_creator_does_not_take_the_others_with_it() -> None:
    world = await World().start()
    broker = world.gateway.broker
    world.objects.latency_s = 0.2
    topic = broker.creations.ensure("t")
    assert topic is not None
    first = asyncio.ensure_future(broker.creations.settled(topic))
    second = asyncio.ensure_future(broker.creations.settled(topic))
    await asyncio.sleep(0.1)
    first.cancel()
    await second
    assert topic.is_durable
