"""What the catalog says is a map that is the sum of its records."""

from __future__ import annotations

import pytest

from gateway.broker.catalog_state import CatalogState
from gateway.broker.metadata_records import (
    ClusterCreated,
    MetadataRecord,
    PartitionsAdded,
    TopicDeleted,
    TopicForgotten,
    consecutive,
)
from gateway.broker.tests.test_topics import _created
from gateway.broker.topics import TopicRegistry
from wal_core import Corrupt


@pytest.mark.parametrize("key", [b"?", b"\xff" * 17])
def test_a_key_of_a_newer_release_is_refused(key: bytes) -> None:
    with pytest.raises(Corrupt):
        CatalogState(TopicRegistry(1_000)).restore(key, b"")


def test_the_records_rebuild_the_registry() -> None:
    registry = TopicRegistry(1_000)
    history: list[MetadataRecord] = [
        ClusterCreated(cluster_id="c" * 22),
        _created("a", 1, 1),
        _created("b", 2, 3),
        PartitionsAdded(topic_id=b"\x02" * 16, placements=consecutive(1, 3, 3)),
        TopicDeleted(topic_id=b"\x01" * 16),
    ]
    for record in history:
        registry.apply(record)
    again = TopicRegistry(1_000)
    state, keys = CatalogState(again), registry.changes.keys()
    values = dict(CatalogState(registry).values(keys))
    for key in reversed(keys):
        state.restore(key, values[key])
    assert dict(state.values(keys)) == values
    assert {key for key, value in values.items() if value is not None} == {*state.keys()}
    assert [topic.name for topic in again] == ["b"]
    assert again.next_stream_id(1) == registry.next_stream_id(1) == 6
    assert again.partitions_count == registry.partitions_count == 3
    assert again.tombstones == {b"\x01" * 16: [1]}
    assert again.cluster_id == "c" * 22
    again.apply(TopicForgotten(topic_id=b"\x01" * 16))
    assert not again.tombstones
