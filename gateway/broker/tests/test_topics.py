import asyncio
import base64

import pytest

from gateway.broker.gone_topics import GoneTopics
from gateway.broker.metadata_records import (
    PartitionsAdded,
    Placement,
    TopicCreated,
    TopicDeleted,
    TopicForgotten,
    consecutive,
    decode_metadata,
)
from gateway.broker.topic_configs import TopicDefaults
from gateway.broker.topics import Topic, TopicRegistry
from wal_core import Corrupt


def _created(name: str, number: int, first: int, count: int = 2) -> TopicCreated:
    return TopicCreated(
        name=name, topic_id=bytes([number]) * 16, placements=consecutive(1, first, count)
    )


def test_a_topic_is_found_by_name_and_by_id() -> None:
    registry = TopicRegistry(1_000)
    registry.apply(_created("a", 1, 1))
    registry.apply(_created("b", 2, 3, 1))
    assert [t.name for t in registry] == ["a", "b"]
    assert (len(registry), registry.partitions_count, registry.next_stream_id(1)) == (2, 3, 4)
    assert registry.with_id(b"\x02" * 16) is registry.named("b")
    places = [(p.topic.name, p.index, p.log_id, p.stream_id) for p in registry.partitions()]
    assert places == [("a", 0, 1, 1), ("a", 1, 1, 2), ("b", 0, 1, 3)]


def test_deleted_means_gone_for_good() -> None:
    registry = TopicRegistry(1_000)
    topic = registry.apply(_created("a", 1, 1))
    assert topic is not None
    registry.apply(TopicDeleted(topic_id=topic.id))
    assert all(p.deleted for p in topic.partitions)
    assert registry.named("a") is registry.with_id(topic.id) is None
    assert registry.tombstones == {topic.id: [1]}
    assert registry.next_stream_id(1) == 3  # never used again
    assert registry.apply(TopicDeleted(topic_id=topic.id)) is None
    again = registry.apply(_created("a", 9, registry.next_stream_id(1)))
    assert again is registry.named("a")


def test_of_a_tombstone_it_is_known_whether_its_name_is() -> None:
    registry = TopicRegistry(1_000)
    topic = registry.apply(_created("a", 1, 1))
    assert topic is not None
    registry.apply(TopicDeleted(topic_id=topic.id))
    assert topic.id in registry.gone
    assert list(registry.nameless) == []
    registry.restore_tombstone(topic.id, [1])  # read once more
    read = b"\x07" * 16
    registry.restore_tombstone(read, [1, 2])
    assert list(registry.nameless) == [read]
    registry.apply(TopicForgotten(topic_id=read))
    assert list(registry.nameless) == []


def test_the_oldest_name_is_not_known_any_more_where_too_many_are_gone() -> None:
    registry = TopicRegistry(1_000)
    registry.gone = GoneTopics(names_max_count=2)
    gone = []
    for number, name in enumerate("abac", 1):  # a goes twice
        topic = registry.apply(_created(name, number, 2 * number))
        assert topic is not None
        registry.apply(TopicDeleted(topic_id=topic.id))
        gone.append(topic.id)
    assert [topic_id in registry.gone for topic_id in gone] == [False, False, True, True]
    assert list(registry.nameless) == gone[:2]


def test_what_grew_is_read_twice_and_means_the_same() -> None:
    registry = TopicRegistry(1_000)
    created = _created("a", 1, 1)
    grown = PartitionsAdded(topic_id=created.topic_id, placements=consecutive(1, 1, 5))
    topic = registry.apply(created)
    assert topic is not None
    for record in (grown, created, grown):
        registry.apply(record)
        assert [p.stream_id for p in topic.partitions] == [1, 2, 3, 4, 5]
        assert topic.record.placements == grown.placements
        assert (registry.partitions_count, registry.next_stream_id(1)) == (5, 6)
    registry.apply(TopicDeleted(topic_id=topic.id))
    assert registry.partitions_count == 0
    assert registry.apply(grown) is None


def test_partitions_that_are_not_durable_are_there_for_nobody() -> None:
    async def grow() -> None:
        topic = Topic(_created("a", 1, 1), TopicDefaults(1_000))
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        topic.await_partitions(topic.extend(consecutive(1, 1, 3)), first)
        topic.await_partitions(topic.extend(consecutive(1, 1, 5)), second)
        assert (len(topic.partitions), len(topic.placed)) == (2, 5)
        first.set_result(None)
        await asyncio.sleep(0)
        assert len(topic.partitions) == 3
        second.set_exception(TimeoutError())
        await asyncio.sleep(0)
        assert len(topic.partitions) == 3

    asyncio.run(grow())


def test_what_a_topic_makes_of_its_settings() -> None:
    record = TopicCreated(
        name="t",
        topic_id=b"i" * 16,
        placements=consecutive(0, 1, 1),
        configs={"max.message.bytes": "77", "message.timestamp.type": "LogAppendTime"},
    )
    topic = Topic(record, TopicDefaults(1_000))
    assert (topic.message_bytes_max, topic.log_append_time) == (77, True)
    assert topic.config("retention.ms") == "604800000"
    plain = Topic(_created("u", 2, 2), TopicDefaults(1_000))
    assert (plain.message_bytes_max, plain.log_append_time) == (1_000, False)


def test_partitions_lie_where_their_record_says() -> None:
    registry = TopicRegistry(1_000)
    registry.apply(
        TopicCreated(
            name="t", topic_id=b"i" * 16, placements=[Placement(1, 9), Placement(2, 3)], configs={}
        )
    )
    places = [(partition.log_id, partition.stream_id) for partition in registry.partitions()]
    assert places == [(1, 9), (2, 3)]
    assert registry.next_stream_ids == {1: 10, 2: 4}
    assert registry.log_ids() == {1, 2}


def test_two_partitions_in_one_place_are_damage() -> None:
    text = b'{"type":"topic_created","name":"t","topic_id":"%s","placements":[[1,7],[1,7]]}'
    with pytest.raises(Corrupt, match="two partitions of 't' lie in one place"):
        decode_metadata(text % base64.b64encode(bytes(16)))
