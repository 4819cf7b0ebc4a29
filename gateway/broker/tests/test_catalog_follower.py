"""The catalog at nodes that do not own it: what they know, when, and for how many requests."""

from __future__ import annotations

import asyncio

import pytest

from gateway.broker.catalog_follower import AGAIN_S, POLL_S, SEARCH_S
from gateway.broker.metadata_records import (
    ConfigsChanged,
    PartitionsAdded,
    TopicConfigsChanged,
    TopicForgotten,
    consecutive,
)
from gateway.broker.tests.catalog_world import TIMEOUT_S, CatalogWorld, topic_id
from gateway.tests.virtual import loop_ms, virtual
from wal_core import Unavailable
from wal_core.testing.faulty_object_store import Fault, Planned


@virtual
async def test_a_follower_knows_all_that_the_owner_has_written() -> None:
    world = CatalogWorld()
    owner = await world.node().own()
    other = world.node().follow()
    await owner.create("a", 1)
    await owner.create("b", 2, *consecutive(2, 20, 3))
    assert await other.look() == {"a": 1, "b": 3}
    await owner.write(
        PartitionsAdded(topic_id=topic_id(1), placements=consecutive(1, 10, 4)),
        TopicConfigsChanged(topic_id=topic_id(2), configs={"retention.ms": "7"}),
        ConfigsChanged(kind="broker", name="", configs={"message.max.bytes": "5000"}),
        ConfigsChanged(kind="group", name="g", configs={"x": "y"}),
    )
    await owner.create("c", 3)
    await owner.delete(3)
    assert await other.look() == {"a": 4, "b": 3}
    assert other.said() == owner.said()
    assert other.catalog.topics.tombstones == {topic_id(3): [1]}
    await owner.write(
        TopicForgotten(topic_id=topic_id(3)),
        ConfigsChanged(kind="group", name="g", configs={}),
    )
    await other.look()
    assert other.said() == owner.said()
    assert not other.catalog.topics.tombstones


@virtual
async def test_objects_stay_the_same_and_news_are_told_once() -> None:
    world = CatalogWorld()
    owner = await world.node().own()
    await owner.create("a", 1)
    other = world.node().follow()
    await other.look()
    topic = other.catalog.topics.named("a")
    assert topic is not None
    (first,) = topic.partitions
    await owner.write(PartitionsAdded(topic_id=topic_id(1), placements=consecutive(1, 10, 2)))
    await owner.create("b", 2)
    await owner.delete(2)
    await other.look()
    assert other.catalog.topics.named("a") is topic
    assert topic.partitions[0] is first
    shown = [t.name for merged in other.merged for t in merged.shown]
    assert shown == ["a", "a"]  # b came and went between two looks
    await owner.delete(1)
    await other.look()
    assert [t for merged in other.merged for t in merged.gone] == [topic]
    assert first.deleted


@virtual
async def test_a_name_is_never_missing_while_another_topic_takes_it() -> None:
    world = CatalogWorld()
    owner = await world.node().own()
    await owner.create("a", 1)
    other = world.node().follow()
    await other.look()
    before = other.catalog.topics.named("a")
    await owner.delete(1)
    await owner.create("a", 2)
    looking = asyncio.ensure_future(other.look())
    while not looking.done():
        assert other.catalog.topics.named("a") is not None
        await asyncio.sleep(0.001)
    after = other.catalog.topics.named("a")
    assert after is not None
    assert after.id == topic_id(2)
    assert [t for merged in other.merged for t in merged.gone] == [before]


@virtual
async def test_who_is_not_woken_looks_now_and_then_and_who_is_woken_looks_at_once() -> None:
    world = CatalogWorld(latency_s=0.0)
    owner = await world.node().own()
    other = world.node().follow()
    await other.look()
    await owner.create("a", 1)
    await asyncio.sleep(POLL_S - 0.5)
    assert other.topics() == {}
    await asyncio.sleep(1.0)
    assert other.topics() == {"a": 1}
    await owner.create("b", 2)
    other.catalog.wake()
    await asyncio.sleep(0.1)
    assert other.topics() == {"a": 1, "b": 1}


@virtual
async def test_a_crowd_that_looks_for_what_is_not_there_shares_looks_that_have_a_rate() -> None:
    world = CatalogWorld(latency_s=0.0)
    await world.node().own()
    other = world.node().follow()
    await other.look()
    before = world.objects.count("list")
    await other.catalog.search(TIMEOUT_S)
    of_one = world.objects.count("list") - before
    assert of_one
    began_ms = loop_ms()
    for _ in range(4):
        await asyncio.gather(*(other.catalog.search(TIMEOUT_S) for _ in range(100)))
    assert world.objects.count("list") - before <= 5 * of_one
    assert loop_ms() - began_ms == pytest.approx(4_000 * SEARCH_S, abs=50)


@virtual
async def test_who_looks_is_not_served_by_a_look_that_began_before() -> None:
    world = CatalogWorld(latency_s=0.2)
    owner = await world.node().own()
    other = world.node().follow()
    await other.look()
    other.catalog.wake()
    await asyncio.sleep(0.1)  # a look is under way
    await owner.create("a", 1)
    assert await other.look() == {"a": 1}


@virtual
async def test_a_store_that_is_away_is_waited_for_and_nothing_is_forgotten() -> None:
    world = CatalogWorld()
    owner = await world.node().own()
    await owner.create("a", 1)
    other = world.node().follow()
    await other.look()
    world.objects.plan += [Planned("list", "logs/0/", Fault.HANG)] * 3
    with pytest.raises(TimeoutError):
        await other.catalog.look(AGAIN_S)
    assert other.topics() == {"a": 1}
    await owner.create("b", 2)
    assert await other.look() == {"a": 1, "b": 1}


@virtual
async def test_a_follower_from_before_a_compaction_and_one_from_after_it_know_the_same() -> None:
    world = CatalogWorld(latency_s=0.001)
    owner = await world.node().own()
    early = world.node().follow()
    for number in range(1, 60):
        await owner.create(f"t{number}", number)
        if number % 3 == 0:
            await owner.delete(number - 1)
        if number % 5 == 0:
            owner.catalog.log.complete_segment()
            await asyncio.sleep(30)
        if number % 7 == 0:
            await early.look()
    late = world.node().follow()
    await late.look()
    await early.look()
    assert early.said() == late.said() == owner.said()
    assert len(early.topics()) == 40


@virtual
async def test_who_stops_following_knows_what_it_knew_and_tells_who_waits() -> None:
    world = CatalogWorld(latency_s=0.1)
    owner = await world.node().own()
    await owner.create("a", 1)
    other = world.node().follow()
    await other.look()
    looking = asyncio.ensure_future(other.look())
    await asyncio.sleep(0.05)
    await other.catalog.unfollow()
    with pytest.raises(Unavailable):
        await looking
    assert other.topics() == {"a": 1}


@virtual
async def test_another_clusters_catalog_changes_nothing() -> None:
    world, foreign = CatalogWorld(), CatalogWorld()
    foreign._rng = world._rng  # ids are drawn from one well
    owner = await world.node().own()
    await owner.create("a", 1)
    stranger = await foreign.node().own()
    await stranger.create("b", 2)
    other = world.node().follow()
    await other.look()
    await other.catalog.unfollow()
    other.store = foreign.node().store
    other.follow()
    with pytest.raises(Exception, match="cluster"):
        await other.look()
    assert other.topics() == {"a": 1}
