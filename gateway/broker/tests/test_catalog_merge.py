"""What is known becomes what the catalog says: whatever was known, and whatever it says."""

from __future__ import annotations

import random  # noqa: TID251 - seeded

import pytest

from gateway.broker.catalog_merge import merge
from gateway.broker.catalog_state import CatalogState
from gateway.broker.metadata_records import (
    ClusterCreated,
    ConfigsChanged,
    MetadataRecord,
    PartitionsAdded,
    Placement,
    TopicConfigsChanged,
    TopicDeleted,
    TopicForgotten,
    consecutive,
)
from gateway.broker.tests.catalog_world import created, topic_id
from gateway.broker.topics import TopicRegistry
from gateway.tests.virtual import virtual


def _state(*records: MetadataRecord) -> CatalogState:
    state = CatalogState(TopicRegistry(1_000))
    for record in (ClusterCreated(cluster_id="c" * 22), *records):
        state.take(record)
    return state


def _said(state: CatalogState) -> dict[bytes, bytes | None]:
    return dict(state.values(state.keys()))


def _history(rng: random.Random, length: int) -> list[MetadataRecord]:
    history: list[MetadataRecord] = []
    alive: dict[int, list[Placement]] = {}
    names: dict[int, str] = {}
    for number in range(1, length):
        kind = rng.random()
        some = rng.choice(list(alive)) if alive else 0
        if not alive or kind < 0.4:
            alive[number] = consecutive(rng.choice([1, 2]), 100 * number, rng.randint(1, 3))
            names[number] = f"t{number % 4}"
            for before in [n for n in alive if n != number and names[n] == names[number]]:
                del alive[before]
                history.append(TopicDeleted(topic_id=topic_id(before)))
            history.append(created(names[number], number, *alive[number]))
        elif kind < 0.6:
            alive[some] += [Placement(3, 1_000 * number)]
            history.append(PartitionsAdded(topic_id=topic_id(some), placements=alive[some][:]))
        elif kind < 0.7:
            configs = {"retention.ms": str(number)}
            history.append(TopicConfigsChanged(topic_id=topic_id(some), configs=configs))
        elif kind < 0.8:
            configs = {"x": "y"} if rng.random() < 0.6 else {}
            history.append(ConfigsChanged(kind="group", name=str(number % 3), configs=configs))
        else:
            del alive[some]
            history.append(TopicDeleted(topic_id=topic_id(some)))
            if rng.random() < 0.5:
                history.append(TopicForgotten(topic_id=topic_id(some)))
    return history


@pytest.mark.parametrize("seed", range(60))
@virtual
async def test_whatever_was_known_it_becomes_what_the_catalog_says(seed: int) -> None:
    """The two may have a past in common, and then not: who knew more was fenced."""
    rng = random.Random(seed)
    history = _history(rng, 30)
    known_count, common_count = rng.randint(0, 30), rng.randint(0, 30)
    known = _state(*history[:known_count])
    source = _state(*history[:common_count])
    ids_used = {**known.topics.next_stream_ids}
    merged = await merge(known, source)
    said, wanted = _said(known), _said(source)
    for log_id, end in ids_used.items():  # these never go back
        assert known.topics.next_stream_id(log_id) >= end
    assert {k: v for k, v in said.items() if k[:1] != b"n"} == {
        k: v for k, v in wanted.items() if k[:1] != b"n"
    }
    assert known.topics.partitions_count == source.topics.partitions_count
    assert all(topic.is_proven for topic in known.topics)
    assert {topic.id for topic in merged.gone}.isdisjoint(
        topic.id for topic in merged.shown if known.topics.with_id(topic.id) is not topic
    )
    again = await merge(known, source)
    assert again.shown == again.gone == []


@virtual
async def test_partitions_that_a_topic_never_got_are_not_kept_in_others_places() -> None:
    """A fenced controller had placed them where the next one placed others."""
    first = created("t", 1, Placement(1, 1))
    known = _state(
        first,
        PartitionsAdded(topic_id=topic_id(1), placements=[*first.placements, Placement(1, 2)]),
    )
    fenced = known.topics.named("t")
    assert fenced is not None
    source = _state(
        first,
        created("u", 2, Placement(1, 2)),
        PartitionsAdded(topic_id=topic_id(1), placements=[*first.placements, Placement(2, 7)]),
    )
    merged = await merge(known, source)
    topic = known.topics.named("t")
    assert topic is not None
    assert [(p.log_id, p.stream_id) for p in topic.placed] == [(1, 1), (2, 7)]
    assert merged.gone == [fenced]
    assert all(partition.deleted for partition in fenced.placed)


@virtual
async def test_an_empty_catalog_means_wait() -> None:
    known = _state(created("t", 1))
    assert await merge(known, CatalogState(TopicRegistry(1_000))) == ([], [])
    assert known.topics.named("t") is not None
