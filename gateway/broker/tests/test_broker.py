"""What the broker promises beside its handlers: creation, deletion, ids, waiting for storage."""

import asyncio

import pytest

from gateway.broker.broker import CREATION_WAIT_S, STORAGE_TIMEOUT_S
from gateway.broker.errors import BrokerError
from gateway.broker.metadata_records import MetadataRecord
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.broker.topics import TopicRegistry
from gateway.tests.harness import World, loop_ms, virtual
from protocol import ErrorCode
from wal_core import Fenced, Unavailable
from wal_core.testing.faulty_object_store import Fault, Planned


@virtual
async def test_parallel_first_touches_create_once_and_all_wait_until_it_is_durable() -> None:
    world = await World().start()
    broker = world.gateway.broker
    world.objects.latency_s = 0.2
    written = world.objects.count("create")
    topics = [broker.ensure_topic("t") for _ in range(16)]
    first = topics[0]
    assert first is not None
    assert all(topic is first for topic in topics)
    touches = [asyncio.ensure_future(broker.created_soon([first])) for _ in range(16)]
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
    topic = broker.ensure_topic("t")
    assert topic is not None
    for _ in range(3):
        await broker.created_soon([topic])
        assert loop_ms() == pytest.approx(1_000 * CREATION_WAIT_S)
    assert not topic.is_durable
    with pytest.raises(TimeoutError):
        await broker.settled(topic)
    assert loop_ms() == pytest.approx(1_000 * (CREATION_WAIT_S + STORAGE_TIMEOUT_S))
    await asyncio.sleep(100)
    assert topic.is_durable
    assert broker.ensure_topic("t") is topic


@virtual
async def test_a_cancelled_creator_does_not_take_the_others_with_it() -> None:
    world = await World().start()
    broker = world.gateway.broker
    world.objects.latency_s = 0.2
    topic = broker.ensure_topic("t")
    assert topic is not None
    first = asyncio.ensure_future(broker.settled(topic))
    second = asyncio.ensure_future(broker.settled(topic))
    await asyncio.sleep(0.1)
    first.cancel()
    await second
    assert topic.is_durable


def _records(topics: TopicRegistry) -> list[MetadataRecord]:
    return [topic.record for topic in topics]


@virtual
async def test_what_cannot_be_appended_leaves_no_trace() -> None:
    world = await World().start()
    broker = world.gateway.broker
    kept = broker.create_topic("kept")
    await broker.settled(kept)
    await broker.close()
    before = (dict(broker.topics.next_stream_ids), _records(broker.topics))
    with pytest.raises(Unavailable):
        broker.create_topic("t")
    with pytest.raises(Unavailable):
        broker.deletions.delete(kept)
    with pytest.raises(Unavailable):
        await world.append_group_records(0, [(b"\x00\x01k", b"v")])
    assert (dict(broker.topics.next_stream_ids), _records(broker.topics)) == before
    assert not kept.partitions[0].deleted


@virtual
async def test_a_fenced_broker_says_so_to_every_change() -> None:
    world = await World().start()
    broker = world.gateway.broker
    other = World()
    other.objects, other.store = world.objects, world.store
    await other.start()
    first = broker.ensure_topic("t")
    assert first is not None
    with pytest.raises(Fenced):
        await broker.settled(first)
    with pytest.raises(Fenced):
        broker.ensure_topic("u")
    assert other.gateway.broker.topics.named("t") is None


@virtual
async def test_the_internal_topic() -> None:
    world = await World().start()
    broker = world.gateway.broker
    with pytest.raises(BrokerError) as refused:
        broker.create_topic(OFFSETS_TOPIC)
    assert refused.value.code is ErrorCode.INVALID_TOPIC_EXCEPTION
    for _ in range(2):
        await world.append_group_records(53, [(b"\x00\x01k", None)])
    topic = broker.topics.named(OFFSETS_TOPIC)
    assert topic is not None
    assert len(topic.partitions) == 50
    assert topic.partitions[3].high_watermark == 2
    with pytest.raises(BrokerError):
        broker.deletions.delete(topic)


@virtual
async def test_producer_ids_are_unique_over_restarts_and_cost_no_write() -> None:
    """Log, term and a counter: terms are never used twice."""
    world = await World().start()
    given: set[int] = set()
    for restart in range(3):
        broker, written = world.gateway.broker, world.objects.count("create")
        ids = [broker.new_producer_id() for _ in range(1_000)]
        assert world.objects.count("create") == written
        assert ids[:2] == [(1 << 48) + ((restart + 1) << 24) + number for number in range(2)]
        assert not given & {*ids}
        given |= {*ids}
        await world.restart()


@virtual
async def test_a_term_has_so_many_producer_ids_and_no_more() -> None:
    world = await World().start()
    owned = world.gateway.broker.logs[1]
    owned._producers_count = (1 << 24) - 1
    assert world.gateway.broker.new_producer_id() == (1 << 48) + (1 << 24) + (1 << 24) - 1
    with pytest.raises(BrokerError) as refused:
        world.gateway.broker.new_producer_id()
    assert refused.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE


@virtual
async def test_the_cluster_id_is_kept_for_ever() -> None:
    world = await World().start()
    names = {world.gateway.broker.cluster_id}
    for end in (world.crash, world.stop, world.crash):
        await end()
        await world.start()
        names.add(world.gateway.broker.cluster_id)
    assert len(names) == 1
    assert len(names.pop()) == 22
