"""CreateTopics, DeleteTopics, CreatePartitions, Metadata: what topics may be, and how one asks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from compat_tests.oracle.observed import ZERO_ID
from compat_tests.oracle.script import each, script
from compat_tests.oracle.side import Side

CREATE, DELETE, PARTITIONS, METADATA = 7, 6, 3, 12
TIMEOUT_MS = 10_000


def create(side: Side, *rows: dict[str, Any], version: int = CREATE, **fields: Any) -> Any:
    return side.ask(
        "CreateTopics", version, topics=list(rows), **{"timeout_ms": TIMEOUT_MS, **fields}
    )


def row(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "num_partitions": 1, "replication_factor": 1, **fields}


def placed(*replicas: tuple[int, list[int]]) -> dict[str, Any]:
    rows = [{"partition_index": index, "broker_ids": brokers} for index, brokers in replicas]
    return {"num_partitions": -1, "replication_factor": -1, "assignments": rows}


SHAPES: dict[str, dict[str, Any]] = {
    "three partitions": {"num_partitions": 3},
    "no partitions": {"num_partitions": 0},
    "-1 partitions": {"num_partitions": -1},
    "-2 partitions": {"num_partitions": -2},
    "replication factor 0": {"replication_factor": 0},
    "replication factor -1": {"replication_factor": -1},
    "replication factor -2": {"replication_factor": -2},
    "replication factor 3": {"replication_factor": 3},
    "a place": placed((0, [1])),
    "places for two": placed((0, [1]), (1, [1])),
    "places in another order": placed((1, [1]), (0, [1])),
    "places that begin at 1": placed((1, [1])),
    "a place on no broker": placed((0, [])),
    "a place on an unknown broker": placed((0, [9])),
    "a place twice on one broker": placed((0, [1, 1])),
    "one partition in two places": placed((0, [1]), (0, [1])),
    "a place and a count": {**placed((0, [1])), "num_partitions": 1},
    "a place and a factor": {**placed((0, [1])), "replication_factor": 1},
    "an unknown setting": {"configs": [{"name": "no.such.setting", "value": "1"}]},
    "a setting that is null": {"configs": [{"name": "retention.ms", "value": None}]},
    "a setting twice": {
        "configs": [{"name": "retention.ms", "value": v} for v in ("1000", "2000")]
    },
}


@each("create a topic with {}", SHAPES)
def a_shape(side: Side, what: str) -> None:
    create(side, row(side.new_name(), **SHAPES[what]), validate_only=True)
    create(side, row(side.new_name(), **SHAPES[what]))


NAMES = ["", ".", "..", "a b", "a/b", "a:b", "ä", "a" * 249, "a" * 250, "a" * 500, "a\x00b", "__x"]


@each("create a topic named {!r}", NAMES)
def a_name(side: Side, name: str) -> None:
    create(side, row(name))


@script("create a topic whose name differs by . and _ alone")
def alike(side: Side) -> None:
    name = side.topic()
    create(side, row(f"{name}.x"))
    create(side, row(f"{name}_x"))


@script("create a topic that is there, twice in a request, none")
def again(side: Side) -> None:
    there, new = side.topic(), side.new_name()
    for version in side.served("CreateTopics", 1):
        create(side, row(there), version=version)
        create(side, row(there), version=version, validate_only=True)
        create(side, row(new), row(new), version=version)
        create(side, version=version)


@each("create a topic within {} ms", [0, -1])
def at_once(side: Side, timeout_ms: int) -> None:
    create(side, row(side.new_name()), timeout_ms=timeout_ms, validate_only=True)


@script("create the topic of committed offsets")
def internal(side: Side) -> None:
    side.commit(side.new_name(), side.topic(), 0)
    create(side, row("__consumer_offsets"))


def delete(side: Side, *rows: dict[str, Any]) -> None:
    side.ask("DeleteTopics", DELETE, topics=list(rows), timeout_ms=TIMEOUT_MS)


@script("delete a topic by name, by id, by both, by neither")
def ways(side: Side) -> None:
    first, second, third = side.topic(), side.topic(), side.topic()
    delete(side, {"name": first})
    delete(side, {"name": None, "topic_id": side.topic_id(second)})
    delete(side, {"name": third, "topic_id": side.topic_id(third)})
    delete(side, {"name": None, "topic_id": ZERO_ID})
    delete(side, {"name": None, "topic_id": UUID(int=3)})
    delete(side)


@script("delete a topic twice in a request, and by name and id")
def twice(side: Side) -> None:
    topic, other = side.topic(), side.topic()
    delete(side, {"name": topic}, {"name": topic})
    delete(side, {"name": other}, {"name": None, "topic_id": side.topic_id(other)})


@script("delete a topic in each version")
def versions(side: Side) -> None:
    for version in side.served("DeleteTopics"):
        topic = side.topic()
        side.ask(
            "DeleteTopics",
            version,
            topics=[{"name": topic}],
            topic_names=[topic],
            timeout_ms=TIMEOUT_MS,
        )


def grow(side: Side, *rows: dict[str, Any], **fields: Any) -> None:
    side.ask("CreatePartitions", PARTITIONS, topics=list(rows), timeout_ms=TIMEOUT_MS, **fields)


GROWTHS: dict[str, dict[str, Any]] = {
    "to 3": {"count": 3},
    "to 2, which it has": {"count": 2},
    "to 1": {"count": 1},
    "to 0": {"count": 0},
    "to -1": {"count": -1},
    "with a place": {"count": 3, "assignments": [{"broker_ids": [1]}]},
    "with too many places": {"count": 3, "assignments": [{"broker_ids": [1]}] * 2},
    "with too few places": {"count": 4, "assignments": [{"broker_ids": [1]}]},
    "with a place on an unknown broker": {"count": 3, "assignments": [{"broker_ids": [9]}]},
    "with a place on no broker": {"count": 3, "assignments": [{"broker_ids": []}]},
    "with no places": {"count": 3, "assignments": []},
}


@each("more partitions: {}", GROWTHS)
def growth(side: Side, what: str) -> None:
    topic = side.topic(2)
    grow(side, {"name": topic, **GROWTHS[what]}, validate_only=True)
    grow(side, {"name": topic, **GROWTHS[what]})
    side.settle()
    side.ask("Metadata", METADATA, topics=[{"name": topic}])


@script("more partitions: a topic twice, none")
def growth_twice(side: Side) -> None:
    topic = side.topic()
    grow(side, {"name": topic, "count": 2}, {"name": topic, "count": 3})
    grow(side)


# Metadata


@script("metadata: of nothing, in each version that tells it from all")
def of_nothing(side: Side) -> None:
    for version in side.served("Metadata", 1):
        side.ask("Metadata", version, topics=[])


@script("metadata: topics that it makes, one of them just deleted")
def made_by_metadata(side: Side) -> None:
    """Only the first answer is compared: Kafka's next depends on how long the making takes."""
    topic = side.topic()
    delete(side, {"name": topic})
    for version in (1, 12):
        for name in (topic, side.new_name()):
            side.ask("Metadata", version, topics=[{"name": name}], allow_auto_topic_creation=True)
        topic = side.topic()
        delete(side, {"name": topic})


@script("metadata: a topic twice, a name and its id, neither")
def odd_metadata(side: Side) -> None:
    topic = side.topic()
    topic_id = side.topic_id(topic)
    for asked in (
        [{"name": topic}, {"name": topic}],
        [{"name": None, "topic_id": topic_id}],
        [{"name": "", "topic_id": topic_id}],
        [{"name": topic, "topic_id": topic_id}],
        [{"name": None, "topic_id": ZERO_ID}],
        [{"name": topic}, {"name": None, "topic_id": topic_id}],
    ):
        for version in (10, 12):
            side.ask("Metadata", version, topics=asked, allow_auto_topic_creation=False)


@script("metadata: what one may do")
def operations(side: Side) -> None:
    topic = side.topic()
    for version in side.served("Metadata", 8):
        fields = {"include_topic_authorized_operations": True}
        if version <= 10:
            fields["include_cluster_authorized_operations"] = True
        side.ask("Metadata", version, topics=[{"name": topic}], **fields)
    for version in side.served("DescribeCluster"):
        side.ask("DescribeCluster", version, include_cluster_authorized_operations=True)


@each("cluster: endpoints of type {}", [0, 1, 2, 3])
def endpoints(side: Side, kind: int) -> None:
    side.ask("DescribeCluster", 1, endpoint_type=kind)


@each("partitions of topics: at most {}", [0, 1, 2, -1, 10_000])
def partition_limit(side: Side, most: int) -> None:
    """KIP-966: in slices, with a cursor."""
    topics = sorted([side.topic(2), side.topic(2)])
    asked = {"topics": [{"name": name} for name in topics], "response_partition_limit": most}
    side.ask("DescribeTopicPartitions", 0, **asked)
    cursor = {"topic_name": topics[0], "partition_index": 1}
    side.ask("DescribeTopicPartitions", 0, **asked, cursor=cursor)


@each("elect leaders of kind {}", [0, 1, 2])
def elect(side: Side, kind: int) -> None:
    topic = side.topic()
    for version in side.served("ElectLeaders", 1):
        asked = [{"topic": topic, "partitions": [0, 5]}]
        side.ask("ElectLeaders", version, election_type=kind, topic_partitions=asked)


@each("move a partition to {}", [None, [1], [9], [], [1, 1], [1, 9], [-1]])
def reassign(side: Side, replicas: list[int] | None) -> None:
    topic = side.topic()
    part = {"partition_index": 0, "replicas": replicas}
    asked = [{"name": topic, "partitions": [part]}]
    side.ask("AlterPartitionReassignments", 0, topics=asked, timeout_ms=TIMEOUT_MS)
    side.ask("ListPartitionReassignments", 0, topics=None, timeout_ms=TIMEOUT_MS)
