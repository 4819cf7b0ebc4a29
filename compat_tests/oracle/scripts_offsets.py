"""ListOffsets, OffsetForLeaderEpoch, DeleteRecords: positions that are special, or are none."""

from __future__ import annotations

from typing import Any

from compat_tests.oracle.script import each, script
from compat_tests.oracle.side import Side
from compat_tests.support.records import BASE_TIMESTAMP_MS
from compat_tests.wire.batches import build

VERSIONS = (1, 3, 5, 7, 9)
TIMES = {
    "the end": -1,
    "the start": -2,
    "the latest time": -3,
    "the local start": -4,
    "the last tiered": -5,
    "-6": -6,
    "the smallest number": -(2**63),
    "0": 0,
    "before the first": BASE_TIMESTAMP_MS - 1,
    "the first": BASE_TIMESTAMP_MS,
    "between": BASE_TIMESTAMP_MS + 15,
    "the last": BASE_TIMESTAMP_MS + 30,
    "after the last": BASE_TIMESTAMP_MS + 31,
}
STAMPED = [0, 10, 20, 20, 30]


def topics(topic: str, *parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": topic, "partitions": list(parts)}]


def by_time(side: Side, topic: str, time: int, **fields: Any) -> None:
    for version in VERSIONS:
        if version in side.served("ListOffsets"):
            asked = topics(topic, {"partition_index": 0, "timestamp": time})
            side.ask("ListOffsets", version, topics=asked, **fields)


@each("offsets by time: {}", TIMES)
def filled(side: Side, what: str) -> None:
    topic = side.topic()
    side.fill(topic, build([b"a", b"b"], times_ms=STAMPED[:2]))
    side.fill(topic, build([b"c", b"d", b"e"], times_ms=STAMPED[2:], codec=1))
    by_time(side, topic, TIMES[what])
    by_time(side, topic, TIMES[what], isolation_level=1)


@each(
    "offsets by time, of an empty partition: {}", ["the end", "the start", "the latest time", "0"]
)
def empty(side: Side, what: str) -> None:
    by_time(side, side.topic(), TIMES[what])


@each("offsets by time, after a deletion: {}", ["the start", "the latest time", "the first", "0"])
def deleted(side: Side, what: str) -> None:
    topic = side.topic()
    side.fill(topic, build([b"a", b"b"], times_ms=STAMPED[:2]))
    side.fill(topic, build([b"c", b"d", b"e"], times_ms=STAMPED[2:]))
    asked = topics(topic, {"partition_index": 0, "offset": 1})
    side.quietly("DeleteRecords", 1, topics=asked, timeout_ms=10_000)
    by_time(side, topic, TIMES[what])


@script("offsets by time: time stamps out of order")
def out_of_order(side: Side) -> None:
    topic = side.topic()
    for time in (30, 10, 20):
        side.fill(topic, build([b"v"], times_ms=[time]))
    for time in (10, 15, 25, 30):
        by_time(side, topic, BASE_TIMESTAMP_MS + time)
    by_time(side, topic, -3)


@script("offsets by time: one partition twice, some unknown, none")
def odd_lists(side: Side) -> None:
    topic = side.topic()
    asked = {"partition_index": 0, "timestamp": -1}
    for version in side.served("ListOffsets", 1):
        side.ask("ListOffsets", version, topics=topics(topic, asked, asked))
        side.ask(
            "ListOffsets", version, topics=topics(topic, asked, {**asked, "partition_index": 3})
        )
        side.ask("ListOffsets", version, topics=topics(topic))
        side.ask("ListOffsets", version, topics=[])


@each("offsets by time: isolation level {}", [1, 2, -1])
def isolation(side: Side, level: int) -> None:
    by_time(side, side.topic(), -1, isolation_level=level)


@each("the end of epoch {}", [-1, -2, 100])
def epoch_end(side: Side, epoch: int) -> None:
    topic = side.topic()
    side.fill(topic)
    for version in side.served("OffsetForLeaderEpoch"):
        for known in (-1, 100):
            asked = {"partition": 0, "leader_epoch": epoch, "current_leader_epoch": known}
            side.ask(
                "OffsetForLeaderEpoch",
                version,
                replica_id=-1,
                topics=[{"topic": topic, "partitions": [asked]}],
            )


@each("delete records before {}", [0, 1, 3, 4, -1, -2])
def delete(side: Side, offset: int) -> None:
    topic = side.topic()
    side.fill(topic)
    asked = topics(topic, {"partition_index": 0, "offset": offset})
    side.ask("DeleteRecords", 1, topics=asked, timeout_ms=10_000)
    side.ask("ListOffsets", 1, topics=topics(topic, {"partition_index": 0, "timestamp": -2}))


@script("delete records: twice, backwards, from a compacted topic, of nothing")
def delete_oddly(side: Side) -> None:
    topic = side.topic()
    side.fill(topic)
    for offset in (2, 2, 1):
        asked = topics(topic, {"partition_index": 0, "offset": offset})
        side.ask("DeleteRecords", 1, topics=asked, timeout_ms=10_000)
    side.fill(topic)
    for offset, timeout_ms in ((3, 0), (4, -1)):
        asked = topics(topic, {"partition_index": 0, "offset": offset})
        side.ask("DeleteRecords", 1, topics=asked, timeout_ms=timeout_ms)
    compacted = side.topic(cleanup_policy="compact")
    asked = topics(compacted, {"partition_index": 0, "offset": 0})
    for version in side.served("DeleteRecords"):
        side.ask("DeleteRecords", version, topics=asked, timeout_ms=10_000)
        side.ask("DeleteRecords", version, topics=[], timeout_ms=10_000)
        side.ask("DeleteRecords", version, topics=topics(topic), timeout_ms=10_000)
