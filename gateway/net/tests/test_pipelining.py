"""Many requests down one connection against a slow store: all ride together, in order."""

import asyncio
import dataclasses

import pytest

from gateway.tests.harness import World, batch_of, loop_ms, virtual

LATENCY_MS = 200
REQUESTS_COUNT = 16
TOPICS = [f"collection-{n}" for n in range(REQUESTS_COUNT)]


async def _world() -> World:
    world = await World().start()
    assert set(await world.client().create(*TOPICS)) == {0}
    world.objects.latency_s = LATENCY_MS / 1000
    return world


@virtual
async def test_sixteen_produces_sent_at_once_cost_one_latency() -> None:
    world = await _world()
    client = world.client()
    began_ms = loop_ms()
    replies = [client.produce(topic, batch_of(topic.encode())) for topic in TOPICS]
    answers = await asyncio.gather(*replies)
    assert loop_ms() - began_ms <= LATENCY_MS + 10
    # The client checks the order of correlation ids; here that each got its own answer.
    assert [a.responses[0].name for a in answers] == TOPICS
    assert {a.responses[0].partition_responses[0].error_code for a in answers} == {0}
    assert [r.correlation_id for r in client.replies] == list(range(1, REQUESTS_COUNT + 1))


@pytest.mark.parametrize("apart_ms", [1, 3, 5])
def test_sixteen_produces_a_little_apart_still_cost_one_latency(apart_ms: int) -> None:
    @virtual
    async def body() -> None:
        world = await _world()
        client = world.client()
        took_ms = []

        async def one(topic: str) -> None:
            sent_ms = loop_ms()
            answer = await client.produced(topic, batch_of(topic.encode()))
            assert answer.error_code == 0
            took_ms.append(loop_ms() - sent_ms)

        tasks = []
        for topic in TOPICS:
            tasks.append(asyncio.ensure_future(one(topic)))
            await asyncio.sleep(apart_ms / 1000)
        await asyncio.gather(*tasks)
        # What arrives while a PUT is in flight gathers for gather_ms, then flies beside it.
        assert max(took_ms) <= LATENCY_MS + world.config.gather_ms + 5
        assert [r.correlation_id for r in client.replies] == list(range(1, REQUESTS_COUNT + 1))

    body()


@virtual
async def test_the_same_with_the_flush_policy_of_a_disk() -> None:
    """Group commit: at once costs one flush; apart costs the one in flight and the next."""
    world = World()
    world.config = dataclasses.replace(world.config, data="unused", mode="file")
    await world.start()
    await world.client().create(*TOPICS)
    world.objects.latency_s = LATENCY_MS / 1000
    client = world.client()
    began_ms = loop_ms()
    await asyncio.gather(*(client.produce(topic, batch_of(b"1")) for topic in TOPICS))
    assert loop_ms() - began_ms <= LATENCY_MS + 10
    began_ms = loop_ms()
    replies = []
    for topic in TOPICS:
        replies.append(client.produce(topic, batch_of(b"2")))
        await asyncio.sleep(0.003)
    await asyncio.gather(*replies)
    assert loop_ms() - began_ms <= 2 * LATENCY_MS + 10
