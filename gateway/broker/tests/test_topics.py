import base64

import pytest

from gateway.broker.metadata_records import (
    ClusterCreated,
    MetadataRecord,
    Placement,
    ProducerIdsReserved,
    TopicCreated,
    TopicDeleted,
    consecutive,
    decode_metadata,
)
from gateway.broker.producer_state import ProducerMemory
from gateway.broker.topics import Topic, TopicRegistry
from wal_core import Changes, Corrupt


def _created(name: str, number: int, first: int, count: int = 2) -> TopicCreated:
    return TopicCreated(
        name=name, topic_id=bytes([number]) * 16, placements=consecutive(0, first, count)
    )


def test_a_topic_is_found_by_name_by_id_and_by_its_streams() -> None:
    registry = TopicRegistry(1_000)
    registry.apply(_created("a", 1, 1))
    registry.apply(_created("b", 2, 3, 1))
    assert [t.name for t in registry] == ["a", "b"]
    assert (len(registry), registry.partitions_count, registry.next_stream_id) == (2, 3, 4)
    found = registry.of_stream(2)
    assert found is not None
    assert (found.topic.name, found.index, found.topic.id) == ("a", 1, b"\x01" * 16)
    assert registry.with_id(b"\x02" * 16) is registry.named("b")
    assert registry.of_stream(0) is None


def test_deleted_means_gone_for_good() -> None:
    registry = TopicRegistry(1_000)
    topic = registry.apply(_created("a", 1, 1))
    assert topic is not None
    registry.apply(TopicDeleted(topic_id=topic.id))
    assert all(p.deleted for p in topic.partitions)
    assert registry.named("a") is registry.with_id(topic.id) is registry.of_stream(1) is None
    assert registry.next_stream_id == 3  # never used again
    assert registry.apply(TopicDeleted(topic_id=topic.id)) is None
    again = registry.apply(_created("a", 9, registry.next_stream_id))
    assert again is registry.named("a")


def test_the_records_rebuild_the_registry() -> None:
    registry = TopicRegistry(1_000)
    history: list[MetadataRecord] = [
        ClusterCreated(cluster_id="c" * 22),
        ProducerIdsReserved(end=1_000),
        _created("a", 1, 1),
        _created("b", 2, 3),
        TopicDeleted(topic_id=b"\x01" * 16),
        ProducerIdsReserved(end=2_000),
    ]
    for record in history:
        registry.apply(record)
    again = TopicRegistry(1_000)
    keys = registry.changes.keys()
    for key in keys:
        record = registry.record(key)
        if record is not None:
            again.apply(record)
    again.restore_next_stream_id(registry.next_stream_id)
    assert [again.record(key) for key in keys] == [registry.record(key) for key in keys]
    assert [topic.name for topic in again] == ["b"]
    assert again.next_stream_id == registry.next_stream_id
    assert (again.cluster_id, again.producer_ids_end) == ("c" * 22, 2_000)


def test_what_a_topic_makes_of_its_settings() -> None:
    record = TopicCreated(
        name="t",
        topic_id=b"i" * 16,
        placements=consecutive(0, 1, 1),
        configs={"max.message.bytes": "77", "message.timestamp.type": "LogAppendTime"},
    )
    topic = Topic(record, 1_000, None, Changes(), ProducerMemory())
    assert (topic.message_bytes_max, topic.log_append_time) == (77, True)
    assert topic.config("retention.ms") == "604800000"
    plain = Topic(_created("u", 2, 2), 1_000, None, Changes(), ProducerMemory())
    assert (plain.message_bytes_max, plain.log_append_time) == (1_000, False)


def test_partitions_lie_where_their_record_says() -> None:
    registry = TopicRegistry(1_000)
    registry.apply(
        TopicCreated(
            name="t", topic_id=b"i" * 16, placements=[Placement(0, 9), Placement(0, 3)], configs={}
        )
    )
    assert [partition.stream_id for partition in registry.named("t").partitions] == [9, 3]
    assert registry.next_stream_id == 10


def test_two_partitions_in_one_place_are_damage() -> None:
    text = b'{"type":"topic_created","name":"t","topic_id":"%s","placements":[[1,7],[1,7]]}'
    with pytest.raises(Corrupt, match="two partitions of 't' lie in one place"):
        decode_metadata(text % base64.b64encode(bytes(16)))
