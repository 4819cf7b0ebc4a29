from collections.abc import Sequence

import pytest

from gateway.broker.errors import BrokerError
from gateway.broker.metadata_records import Placement, TopicCreated, TopicDeleted
from gateway.broker.placing import Placing
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.broker.topics import Topic, TopicRegistry
from protocol import ErrorCode
from wal_core import Unavailable


def _placing(
    topics: TopicRegistry, log_ids: Sequence[int] = (1, 2, 3), max_count: int = 100
) -> Placing:
    return Placing(topics, lambda: log_ids, max_count)


def _topic(registry: TopicRegistry, name: str, *places: tuple[int, int]) -> Topic:
    record = TopicCreated(
        name=name, topic_id=name.encode()[:1] * 16, placements=[Placement(*p) for p in places]
    )
    topic = registry.apply(record)
    assert topic is not None
    return topic


def test_new_topics_take_turns_over_the_logs() -> None:
    registry = TopicRegistry(1_000)
    assert _placing(registry).new("new", 2) == [(1, 1), (2, 1)]
    _topic(registry, "a", (1, 1), (2, 1))
    assert _placing(registry).new("new", 4) == [(3, 1), (1, 2), (2, 2), (3, 2)]


def test_a_topic_goes_on_where_its_own_partitions_left_off() -> None:
    registry = TopicRegistry(1_000)
    topic = _topic(registry, "a", (2, 7))
    assert _placing(registry).new("a", 3, topic) == [(3, 1), (1, 1), (2, 8)]
    elsewhere = _topic(registry, "b", (9, 1))  # on a log that new ones are not for
    assert len(_placing(registry).new("b", 3, elsewhere)) == 3


def test_a_topic_made_again_lies_where_it_lay_and_goes_on_from_there() -> None:
    """Its leader epochs are terms of its logs: on others they might go back."""
    registry = TopicRegistry(1_000)
    topic = _topic(registry, "a", (3, 1), (1, 1), (2, 1))
    registry.apply(TopicDeleted(topic_id=topic.id))
    assert _placing(registry).new("a", 2) == [(3, 2), (1, 2)]
    assert _placing(registry).new("a", 5) == [(3, 2), (1, 2), (2, 2), (3, 3), (1, 3)]
    fewer = _topic(registry, "a", (3, 2))
    assert _placing(registry).new("a", 3, fewer) == [(1, 2), (2, 2), (3, 3)]
    assert _placing(registry).new("b", 1) == [(2, 2)]


def test_a_topic_made_again_goes_elsewhere_where_its_log_is_not_for_new_ones() -> None:
    registry = TopicRegistry(1_000)
    topic = _topic(registry, "a", (3, 1), (9, 1))
    registry.apply(TopicDeleted(topic_id=topic.id))
    assert _placing(registry).new("a", 2) == [(3, 2), (1, 1)]


def test_a_topic_made_again_spreads_over_logs_that_have_come_since() -> None:
    registry = TopicRegistry(1_000)
    topic = _topic(registry, "a", (1, 1), (1, 2))
    registry.apply(TopicDeleted(topic_id=topic.id))
    assert _placing(registry, (1,)).new("a", 2) == [(1, 3), (1, 4)]
    assert _placing(registry).new("a", 2) == [(1, 3), (2, 1)]


def test_only_logs_for_new_partitions_that_are_served_get_some() -> None:
    registry = TopicRegistry(1_000)
    assert _placing(registry, (2,)).new("new", 2) == [(2, 1), (2, 2)]
    with pytest.raises(Unavailable):
        _placing(registry, ()).new("new", 1)


def test_the_room_is_for_the_users_partitions() -> None:
    registry = TopicRegistry(1_000)
    _topic(registry, "a", (1, 1), (1, 2))
    _topic(registry, OFFSETS_TOPIC, (1, 3), (1, 4))
    placing = _placing(registry, max_count=5)
    placing.check_room(3)
    with pytest.raises(BrokerError, match="partitions_max_count") as refused:
        placing.check_room(4)
    assert refused.value.code == ErrorCode.POLICY_VIOLATION
