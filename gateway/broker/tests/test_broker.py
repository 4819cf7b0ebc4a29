"""What the broker promises beside its handlers: creation, deletion, ids, waiting for storage."""

import pytest

from gateway.broker.errors import BrokerError
from gateway.broker.metadata_records import MetadataRecord
from gateway.broker.topics import TopicRegistry
from gateway.tests.harness import World, virtual
from protocol import ErrorCode
from wal_core import Fenced, Unavailable


def _records(topics: TopicRegistry) -> list[MetadataRecord]:
    return [topic.record for topic in topics]


@virtual
async def test_what_cannot_be_appended_leaves_no_trace() -> None:
    world = await World().start()
    broker = world.gateway.broker
    kept = broker.creations.create("kept")
    await broker.creations.settled(kept)
    await broker.close()
    before = (dict(broker.topics.next_stream_ids), _records(broker.topics))
    with pytest.raises(Unavailable):
        broker.creations.create("t")
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
    first = broker.creations.ensure("t")
    assert first is not None
    with pytest.raises(Fenced):
        await broker.creations.settled(first)
    with pytest.raises(Fenced):
        broker.creations.ensure("u")
    assert other.gateway.broker.topics.named("t") is None


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
