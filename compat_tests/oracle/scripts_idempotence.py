"""Producer ids and sequences: what is stored once, what is refused, what is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from compat_tests.oracle.script import each, script
from compat_tests.oracle.scripts_produce import produce, topic_data
from compat_tests.oracle.side import Side
from compat_tests.support.deadline import wait_until
from compat_tests.wire.batches import build

SEQUENCE_MAX = 2**31 - 1
NEVER_GIVEN = 10**12
ANSWERED = (0, 53)
"""Kafka has made a transactional producer, the gateway has refused to."""
# (epoch, first sequence, records) of one producer's batches, one after the other.
STORIES: dict[str, Sequence[tuple[int, int, int]]] = {
    "in order": [(0, 0, 1), (0, 1, 2), (0, 3, 1)],
    "the last one again": [(0, 0, 1), (0, 1, 2), (0, 1, 2)],
    "each of the last five again": [(0, n, 1) for n in range(5)] + [(0, n, 1) for n in range(5)],
    "the sixth to last again": [(0, n, 1) for n in range(6)] + [(0, 0, 1)],
    "a gap": [(0, 0, 1), (0, 5, 1), (0, 1, 1)],
    "begins above 0": [(0, 7, 1), (0, 8, 1)],
    "overlaps the last one": [(0, 0, 3), (0, 1, 3)],
    "same beginning, other length": [(0, 0, 3), (0, 0, 2)],
    "a new epoch from 0": [(0, 0, 1), (1, 0, 1), (1, 1, 1)],
    "a new epoch from above 0": [(0, 0, 1), (1, 1, 1)],
    "an old epoch": [(1, 0, 1), (0, 0, 1), (0, 1, 1), (1, 1, 1)],
    "the old epoch's batch again": [(0, 0, 1), (1, 0, 1), (0, 0, 1)],
    "around the largest sequence": [(0, SEQUENCE_MAX, 1), (0, 0, 1), (0, 1, 1)],
    "a batch across the largest": [(0, SEQUENCE_MAX - 1, 4), (0, 2, 1), (0, SEQUENCE_MAX - 1, 4)],
    "one record back": [(0, 0, 1), (0, 1, 1), (0, 0, 2)],
}


@each("idempotence: {}", STORIES)
def a_story(side: Side, what: str) -> None:
    topic = side.topic()
    producer_id = new_producer(side)
    for epoch, sequence, count in STORIES[what]:
        batch = build([b"v"] * count, producer=(producer_id, epoch, sequence))
        produce(side, topic_data(topic, batch))
    describe(side, topic)


def new_producer(side: Side) -> int:
    reply = side.quietly("InitProducerId", 4, transactional_id=None, transaction_timeout_ms=60_000)
    assert reply.error_code == 0
    producer_id: int = reply.producer_id
    return producer_id


def describe(side: Side, topic: str) -> None:
    if side.served("DescribeProducers"):
        side.ask("DescribeProducers", 0, topics=[{"name": topic, "partition_indexes": [0, 3]}])


@script("idempotence: an id that nobody was given")
def never_given(side: Side) -> None:
    topic = side.topic()
    for sequence in (0, 1, 5):
        batch = build([b"v"], producer=(NEVER_GIVEN, 0, sequence))
        produce(side, topic_data(topic, batch))


@script("idempotence: each partition counts for itself")
def partitions(side: Side) -> None:
    topic = side.topic(2)
    producer_id = new_producer(side)
    for partition in (0, 1, 1, 0):
        batch = build([b"v"], producer=(producer_id, 0, 0))
        produce(side, topic_data(topic, batch, partition))


@script("idempotence: ids differ, epochs begin at 0")
def ids(side: Side) -> None:
    for version in side.served("InitProducerId"):
        for _ in range(2):
            side.ask(
                "InitProducerId", version, transactional_id=None, transaction_timeout_ms=60_000
            )


@each(
    "idempotence: asks for more with {}", [(5, 0), (5, 3), (-1, 0), (5, -1), (NEVER_GIVEN, 32767)]
)
def bump(side: Side, known: tuple[int, int]) -> None:
    """Without a transactional id a producer cannot keep its id (KIP-360 is about others)."""
    for version in side.served("InitProducerId", 3):
        side.ask(
            "InitProducerId",
            version,
            transactional_id=None,
            transaction_timeout_ms=60_000,
            producer_id=known[0],
            producer_epoch=known[1],
        )


@each("idempotence: a transaction time-out of {} ms", [0, -1, 2**31 - 1])
def transaction_timeout(side: Side, timeout_ms: int) -> None:
    side.ask("InitProducerId", 4, transactional_id=None, transaction_timeout_ms=timeout_ms)


@script("idempotence: after records were deleted")
def after_deletion(side: Side) -> None:
    topic = side.topic()
    producer_id = new_producer(side)
    for sequence in (0, 1):
        batch = build([b"v"], producer=(producer_id, 0, sequence))
        produce(side, topic_data(topic, batch))
    part = {"partition_index": 0, "offset": -1}
    side.quietly(
        "DeleteRecords", 1, topics=[{"name": topic, "partitions": [part]}], timeout_ms=10_000
    )
    for sequence in (1, 2):
        batch = build([b"v"], producer=(producer_id, 0, sequence))
        produce(side, topic_data(topic, batch))


@script("idempotence: records without producer between")
def between(side: Side) -> None:
    topic = side.topic()
    producer_id = new_producer(side)
    for producer in ((producer_id, 0, 0), (-1, -1, -1), (producer_id, 0, 1), (producer_id, 0, 0)):
        produce(side, topic_data(topic, build([b"v"], producer=producer)))


@script("ListTransactions: somebody else's is nobody's business")
def transactions_of_others(side: Side) -> None:
    """Kafka has one under way, or will: what this script did not make is not compared."""
    name = "somebody else's"
    fields = {"transactional_id": name, "transaction_timeout_ms": 60_000}

    def answered() -> bool:
        side.quietly("FindCoordinator", 2, key=name, key_type=1)
        return side.quietly("InitProducerId", 4, **fields).error_code in ANSWERED

    wait_until(answered, what="a coordinator of transactions")
    side.ask("ListTransactions", 0)
