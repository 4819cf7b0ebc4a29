"""Fetch: where one can read, what one is given, sessions, epochs, topics that go and come back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from compat_tests.oracle.observed import ZERO_ID
from compat_tests.oracle.script import each, script
from compat_tests.oracle.side import Side
from compat_tests.support.deadline import wait_until
from compat_tests.wire.batches import build

VERSION, VERSION_WITH_IDS = 12, 16
BYTES_MAX = 1 << 20
LAST = 2**63 - 1


def part(offset: int = 0, partition: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "partition": partition,
        "fetch_offset": offset,
        "partition_max_bytes": BYTES_MAX,
        **fields,
    }


def fetch(
    side: Side,
    topic: str | UUID | None,
    *parts: dict[str, Any],
    version: int = VERSION,
    **more: Any,
) -> Any:
    topics = []
    if topic is not None:
        named = {"topic_id": topic} if isinstance(topic, UUID) else {"topic": topic}
        topics = [{**named, "partitions": list(parts)}]
    fields = {"max_bytes": BYTES_MAX, "max_wait_ms": 0, "topics": topics, **more}
    return side.ask("Fetch", version, **fields)


@each("fetch at offset {}", [0, 1, 2, 3, 4, -1, -2, -3, LAST])
def at_offset(side: Side, offset: int) -> None:
    """Of three records in one batch."""
    topic = side.topic()
    side.fill(topic)
    for version in (4, 11, 12):
        fetch(side, topic, part(offset), version=version)


@each("fetch after a deletion at offset {}", [0, 1, 2, 3])
def below_the_start(side: Side, offset: int) -> None:
    topic = side.topic()
    side.fill(topic)
    gone = {"partition_index": 0, "offset": 2}
    side.quietly(
        "DeleteRecords", 1, topics=[{"name": topic, "partitions": [gone]}], timeout_ms=10_000
    )
    fetch(side, topic, part(offset))


@each("fetch with isolation level {}", [0, 1, 2, -1])
def isolation(side: Side, level: int) -> None:
    topic = side.topic()
    side.fill(topic)
    for version in side.served("Fetch", 4):
        if version <= VERSION:
            fetch(side, topic, part(), version=version, isolation_level=level)


SIZES = {
    "partition 1": {"partition": 1},
    "partition 0": {"partition": 0},
    "partition -1": {"partition": -1},
    "request 1": {"request": 1},
    "request 0": {"request": 0},
    "request -1": {"request": -1},
    "both 1": {"partition": 1, "request": 1},
}


@each("fetch of few bytes: {}", SIZES)
def sizes(side: Side, what: str) -> None:
    """Two batches each in two partitions."""
    topic = side.topic(2)
    for number in (0, 1):
        side.fill(topic, build([b"a"]), build([b"b"]), partition=number)
    most = SIZES[what].get("partition", BYTES_MAX)
    parts = [part(partition=n, partition_max_bytes=most) for n in (0, 1)]
    fetch(side, topic, *parts, max_bytes=SIZES[what].get("request", BYTES_MAX))


@each("fetch with leader epoch {}", [-1, -2, 5, 1000])
def epochs(side: Side, epoch: int) -> None:
    topic = side.topic()
    side.fill(topic)
    fetch(side, topic, part(current_leader_epoch=epoch))
    asked = {"partition_index": 0, "timestamp": -1, "current_leader_epoch": epoch}
    side.ask("ListOffsets", 5, topics=[{"name": topic, "partitions": [asked]}])
    for version in side.served("Fetch", 13):
        fetch(side, side.topic_id(topic), part(current_leader_epoch=epoch), version=version)


@each("fetch that continues epoch {}", [-1, 0, 5])
def last_epoch(side: Side, epoch: int) -> None:
    topic = side.topic()
    side.fill(topic)
    fetch(side, topic, part(3, last_fetched_epoch=epoch))


@script("fetch waits for bytes")
def waits(side: Side) -> None:
    topic = side.topic()
    fetch(side, topic, part(), max_wait_ms=50, min_bytes=1)
    side.fill(topic)
    fetch(side, topic, part(), max_wait_ms=50, min_bytes=1)
    fetch(side, topic, part(), max_wait_ms=50, min_bytes=100_000)
    fetch(side, topic, part(3), max_wait_ms=50, min_bytes=0)
    fetch(side, topic, part(), max_wait_ms=-5, min_bytes=-5)


@script("fetch waits beside an error")
def waits_not(side: Side) -> None:
    """Kafka does; the gateway answers at once."""
    topic = side.topic()
    fetch(side, topic, part(), part(0, 9), max_wait_ms=100, min_bytes=1)


@script("fetch of nothing")
def nothing(side: Side) -> None:
    topic = side.topic()
    for version in side.served("Fetch", 4):
        fetch(side, None, version=version)
        if version <= VERSION:
            fetch(side, topic, version=version)


@script("fetch of one partition twice")
def twice(side: Side) -> None:
    topic = side.topic()
    side.fill(topic)
    fetch(side, topic, part(0), part(1))


@script("fetch as a follower")
def follower(side: Side) -> None:
    topic = side.topic()
    side.fill(topic)
    fetch(side, topic, part(), replica_id=1)
    fetch(side, topic, part(), replica_id=7)


@script("fetch by id: unknown, zero, and a name's own")
def by_id(side: Side) -> None:
    topic = side.topic()
    side.fill(topic)
    for topic_id in (side.topic_id(topic), UUID(int=7), ZERO_ID):
        for version in side.served("Fetch", 13):
            fetch(side, topic_id, part(), version=version)


# Sessions (KIP-227)


@script("session: begins, goes on, ends")
def session(side: Side) -> None:
    topic = side.topic(2)
    side.fill(topic)
    begun = fetch(side, topic, part(), part(0, 1), session_id=0, session_epoch=0)
    known = begun.session_id
    fetch(side, None, session_id=known, session_epoch=1)
    side.fill(topic, partition=1)
    fetch(side, topic, part(3), session_id=known, session_epoch=2)
    gone = [{"topic": topic, "partitions": [1]}]
    fetch(side, None, session_id=known, session_epoch=3, forgotten_topics_data=gone)
    fetch(side, topic, part(), session_id=known, session_epoch=-1)
    fetch(side, None, session_id=known, session_epoch=4)


@each("session: epoch {} instead of 1", [-2, 0, 2, 5])
def session_epochs(side: Side, epoch: int) -> None:
    topic = side.topic()
    side.fill(topic)
    begun = fetch(side, topic, part(), session_id=0, session_epoch=0)
    fetch(side, None, session_id=begun.session_id, session_epoch=epoch)


@each("session: unknown id {}", [1, 12345, -1])
def unknown_session(side: Side, session_id: int) -> None:
    topic = side.topic()
    for version in (7, 12):
        for epoch in (1, 0, -1):
            fetch(side, topic, part(), version=version, session_id=session_id, session_epoch=epoch)


@script("session: by ids")
def session_by_ids(side: Side) -> None:
    topic = side.topic()
    side.fill(topic)
    topic_id = side.topic_id(topic)
    begun = fetch(side, topic_id, part(), version=16, session_id=0, session_epoch=0)
    known = begun.session_id
    fetch(side, None, version=16, session_id=known, session_epoch=1)
    fetch(side, UUID(int=9), part(), version=16, session_id=known, session_epoch=2)


# A topic that goes, and one of its name that comes


def remade(side: Side) -> tuple[str, UUID, UUID]:
    """Its name, the id it had, the id it has."""
    topic = side.topic()
    side.fill(topic)
    before = side.topic_id(topic)
    side.quietly("DeleteTopics", 4, topic_names=[topic], timeout_ms=10_000)
    wait_until(lambda: not usable(side, topic), what="a topic that is gone")
    side.make_topic(topic)
    return topic, before, side.topic_id(topic)


def usable(side: Side, topic: str) -> bool:
    reply = side.quietly("Metadata", 12, topics=[{"name": topic}], allow_auto_topic_creation=False)
    return bool(reply.topics[0].error_code == 0)


@script("a topic made anew: fetch by name and by both ids")
def fetch_remade(side: Side) -> None:
    topic, before, after = remade(side)
    fetch(side, topic, part())
    fetch(side, topic, part(3))
    for version in side.served("Fetch", 13):
        fetch(side, before, part(), version=version)
        fetch(side, after, part(), version=version)


@script("a topic made anew: metadata by both ids")
def metadata_remade(side: Side) -> None:
    _, before, after = remade(side)
    for topic_id in (before, after):
        side.ask("Metadata", 12, topics=[{"name": None, "topic_id": topic_id}])


@script("a topic made anew: what its groups had committed")
def committed_remade(side: Side) -> None:
    topic = side.topic()
    group = side.new_name()
    side.commit(group, topic, 5)
    asked = {"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}]}
    side.ask("OffsetFetch", 5, **asked)
    side.quietly("DeleteTopics", 4, topic_names=[topic], timeout_ms=10_000)
    wait_until(lambda: not usable(side, topic), what="a topic that is gone")
    side.make_topic(topic)
    wait_until(lambda: _forgotten(side, asked), what="offsets that are gone")
    side.ask("OffsetFetch", 5, **asked)


def _forgotten(side: Side, asked: dict[str, Any]) -> bool:
    reply = side.quietly("OffsetFetch", 5, **asked)
    return bool(reply.topics[0].partitions[0].committed_offset == -1)


@script("a topic made anew: a producer goes on")
def produce_remade(side: Side) -> None:
    topic, *_ = remade(side)
    batch = {"index": 0, "records": build([b"v"], producer=(77, 0, 3))}
    topics = [{"name": topic, "partition_data": [batch]}]
    side.ask("Produce", 8, acks=-1, timeout_ms=10_000, topic_data=topics)
