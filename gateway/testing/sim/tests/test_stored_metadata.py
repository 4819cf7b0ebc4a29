"""Log starts: what a durable record may say, and that the permission for it is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.broker.journal_records import (
    RecordsDeleted,
    StreamOpened,
    StreamsDropped,
    encode_journal,
)
from gateway.broker.metadata_records import (
    PartitionsAdded,
    Placement,
    TopicCreated,
    TopicDeleted,
    TopicForgotten,
    consecutive,
    encode_metadata,
)
from gateway.testing.sim.deletions import Permission, Retention
from gateway.testing.sim.history import Deletion, History
from gateway.testing.sim.oracle import StoredEntry
from gateway.testing.sim.stored_metadata import StoredMetadata
from gateway.testing.sim.trace import Trace

NOW_MS = 100_000
TOPIC = TopicCreated(name="t", topic_id=b"i" * 16, placements=consecutive(1, 5, 2))
OPENED = StreamOpened(stream_id=6, topic_id=b"i" * 16, name="t", partition=1, kind="records")
PLACE = Placement(1, 6)
DELETED = RecordsDeleted(starts={6: 3})


def check(
    *records: Any,
    retention: Retention | None = None,
    asked: int = -1,
    times_ms: Sequence[int] = range(NOW_MS - 5_000, NOW_MS, 1_000),
) -> list[str]:
    """Stream 6 is t-1; it has five records of 100 bytes each, a second apart unless told."""

    async def run() -> list[str]:
        trace = Trace()
        entries = [StoredEntry(n + 1, at_ms, 100) for n, at_ms in enumerate(times_ms)]
        world = SimpleNamespace(
            trace=trace,
            history=History(deletions=[Deletion(("t", 1), asked)]),
            plan=SimpleNamespace(retention=(("t", retention),) if retention else ()),
            latest_clock_ms=NOW_MS,
        )
        metadata = StoredMetadata(trace)
        stored = SimpleNamespace(entries={PLACE: entries}, metadata=metadata)
        metadata.deleted = Permission(cast(Any, world), cast(Any, stored)).check
        for record in records:
            if isinstance(record, StreamOpened | StreamsDropped | RecordsDeleted):
                metadata.take_journal(1, encode_journal(record), {PLACE: 5})
            else:
                metadata.take(encode_metadata(record))
        return [text.partition(":")[0] for text in trace.violations]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("retention", "asked", "allowed"),
    [
        (None, 3, True),
        (None, 2, False),
        (None, 4, False),  # less than was asked for is not what was asked for
        (Retention(2_500, -1), -1, True),  # what went is three seconds old
        (Retention(3_000, -1), -1, False),  # not yet
        (Retention(-1, 200), -1, True),
        (Retention(-1, 201), -1, False),
        (Retention(3_000, 200), -1, True),  # either is enough
        (Retention(-1, -1), -1, False),
    ],
)
def test_only_what_may_go_is_deleted(retention, asked, allowed):
    found = check(TOPIC, OPENED, DELETED, retention=retention, asked=asked)
    assert found == ([] if allowed else ["only what may go is deleted"])


def test_the_age_of_what_is_gone_already_does_not_count():
    """A client deletes below 2; of what is left the first is old, though it came later."""
    young_ms, old_ms = NOW_MS - 10, NOW_MS - 9_000
    times_ms = (young_ms, young_ms, old_ms, young_ms, young_ms)
    keeps = Retention(5_000, -1)
    before = RecordsDeleted(starts={6: 2})
    assert check(TOPIC, OPENED, before, DELETED, retention=keeps, asked=2, times_ms=times_ms) == []
    assert check(TOPIC, OPENED, DELETED, retention=keeps, asked=2, times_ms=times_ms)


def test_nothing_is_deleted_that_is_not_durable():
    beyond = RecordsDeleted(starts={6: 6})
    assert check(TOPIC, OPENED, beyond, asked=6) == ["what is deleted is durable"]


def test_topics_are_there_from_their_creation_to_their_deletion():
    metadata = StoredMetadata(Trace())
    assert not metadata.has_topic("t")
    metadata.take(encode_metadata(TOPIC))
    assert metadata.has_topic("t") and not metadata.has_topic("u")
    metadata.take(encode_metadata(TopicDeleted(topic_id=TOPIC.topic_id)))
    assert not metadata.has_topic("t")


def test_a_topic_grows_by_what_is_durable():
    metadata = StoredMetadata(Trace())
    assert metadata.partitions_count("t") == 0
    metadata.take(encode_metadata(TOPIC))
    metadata.take(encode_metadata(GROWN))
    assert metadata.partitions_count("t") == 3


def test_a_topic_is_deleted_once():
    gone = TopicDeleted(topic_id=TOPIC.topic_id)
    assert check(TOPIC, gone) == []
    assert check(TOPIC, gone, gone) == ["a topic is deleted once"]


GONE = TopicDeleted(topic_id=TOPIC.topic_id)
DROPPED = StreamsDropped(topic_id=TOPIC.topic_id, stream_ids=[6])
GROWN = PartitionsAdded(topic_id=TOPIC.topic_id, placements=consecutive(1, 5, 3))
MOVED = PartitionsAdded(topic_id=TOPIC.topic_id, placements=consecutive(1, 6, 3))
FORGOTTEN = TopicForgotten(topic_id=TOPIC.topic_id)


@pytest.mark.parametrize(
    ("records", "broken"),
    [
        ((TOPIC, OPENED, GONE, DROPPED, FORGOTTEN), None),
        ((TOPIC, GONE, OPENED, DROPPED, FORGOTTEN), None),  # a write that was under way
        ((TOPIC, GONE, FORGOTTEN), None),
        ((TOPIC, OPENED, DROPPED), "only what is deleted is dropped"),
        ((TOPIC, OPENED, GONE, DROPPED, DROPPED), "a stream is dropped once"),
        ((TOPIC, OPENED, GONE, FORGOTTEN), "a tombstone waits for all logs"),
        ((OPENED,), "a stream is one topic's"),
        ((TOPIC, OPENED, OPENED), "a stream is one topic's"),
        ((TOPIC, GROWN, GONE), None),
        ((TOPIC, GROWN, GROWN), "a partition stays where it lies"),
        ((TOPIC, MOVED), "a partition stays where it lies"),
        ((TOPIC, GONE, GROWN), "a partition stays where it lies"),
    ],
)
def test_catalog_and_journal_agree(records, broken):
    assert check(*records) == ([broken] if broken else [])


def test_a_stream_is_opened_before_it_has_records():
    async def run():
        trace = Trace()
        StoredMetadata(trace).check_opened(PLACE)
        return [text.partition(":")[0] for text in trace.violations]

    assert asyncio.run(run()) == ["a stream is opened first"]
