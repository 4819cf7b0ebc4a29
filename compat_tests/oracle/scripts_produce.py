"""Produce: what a batch may be, what a topic takes, how acks and time-outs are understood."""

from __future__ import annotations

import struct
from typing import Any

from compat_tests.oracle.script import each, script
from compat_tests.oracle.side import Side
from compat_tests.support.deadline import wall_ms
from compat_tests.support.records import BASE_TIMESTAMP_MS
from compat_tests.wire.batches import HEADER_BYTES, build, encode_record, varint

VERSION = 8  # names records; the last version without compact fields
HOUR_MS = 3_600_000
CONTROL, TRANSACTIONAL, SNAPPY, LZ4, ZSTD = 0x20, 0x10, 2, 3, 4


def topic_data(topic: str, records: bytes | None, partition: int = 0) -> dict[str, Any]:
    return {"name": topic, "partition_data": [{"index": partition, "records": records}]}


def produce(side: Side, *parts: dict[str, Any], version: int = VERSION, **fields: Any) -> Any:
    given = {"acks": -1, "timeout_ms": 10_000, **fields}
    return side.ask("Produce", version, topic_data=list(parts), **given)


def record(
    *, delta: int = 0, value: bytes = b"v", key: bytes | None = None, surplus: bytes = b""
) -> bytes:
    """One record with its length, and bytes behind what it needs."""
    body = b"\x00" + varint(0) + varint(delta)
    body += varint(-1) if key is None else varint(len(key)) + key
    body += varint(len(value)) + value + varint(0) + surplus
    return varint(len(body)) + body


def with_header(batch: bytes, at: int, layout: str, value: int) -> bytes:
    """The batch with one field of its header changed, outside what the checksum covers."""
    changed = bytearray(batch)
    struct.pack_into(layout, changed, at, value)
    return bytes(changed)


def aged(age_ms: int) -> bytes:
    """One record so much older than now."""
    return build([b"v"], times_ms=[wall_ms() - age_ms - BASE_TIMESTAMP_MS])


GOOD = build([b"a", b"b"])
# Null instead of a batch is missing: Kafka never answers it.
BATCHES: dict[str, bytes] = {
    "two records": GOOD,
    "gzip": build([b"a", b"b"], codec=1),
    "a wrong checksum": build([b"a"], crc_flip=1),
    "magic 0": build([b"a"], magic=0),
    "magic 1": build([b"a"], magic=1),
    "magic 3": build([b"a"], magic=3),
    "no records at all": build([], count=0, last_delta=-1),
    "no records but a delta": build([], count=0, last_delta=0),
    "a count above the records": build([b"a"], count=2),
    "a count below the records": build([b"a", b"b"], count=1, last_delta=0),
    "a negative count": build([b"a"], count=-1),
    "a last delta that lies": build([b"a", b"b"], last_delta=5),
    "a negative last delta": build([b"a"], last_delta=-2),
    "deltas that jump": build([b"a"], payload=record() + record(delta=5), count=2, last_delta=5),
    "deltas that go back": build(
        [b"a"], payload=record(delta=1) + record(delta=0), count=2, last_delta=1
    ),
    "deltas that begin at 1": build([b"a"], payload=record(delta=1), count=1, last_delta=0),
    "a base offset": build([b"a"], base_offset=77),
    "a record longer than it says": build([b"a"], payload=record(surplus=b"xyz")),
    "bytes behind the records": build([b"a"], payload=record() + b"xyz"),
    "a record that is cut": build([b"a"], payload=record()[:-2]),
    "garbage instead of records": build([b"a"], payload=b"\xff" * 20),
    "a negative record length": build([b"a"], payload=varint(-5) + b"\x00" * 8),
    "gzip of garbage": build([b"a"], codec=1, payload=b"no gzip at all"),
    "snappy of garbage": build([b"a"], codec=SNAPPY, payload=b"no snappy"),
    "lz4 of garbage": build([b"a"], codec=LZ4, payload=b"no lz4 here"),
    "zstd of garbage": build([b"a"], codec=ZSTD, payload=b"no zstd here"),
    "codec 5": build([b"a"], codec=5),
    "codec 7": build([b"a"], codec=7),
    "a control batch": build([b"a"], codec=CONTROL),
    "a transactional batch": build([b"a"], codec=TRANSACTIONAL, producer=(1, 0, 0)),
    "a length that is too small": with_header(GOOD, 8, ">i", 10),
    "a length that is too large": with_header(GOOD, 8, ">i", 1000),
    "a negative length": with_header(GOOD, 8, ">i", -1),
    "a leader epoch": with_header(GOOD, 12, ">i", 9),
    "a cut header": GOOD[: HEADER_BYTES - 4],
    "ten bytes": GOOD[:10],
    "two batches": GOOD + GOOD,
    "bytes behind the batch": GOOD + b"xyz",
    "zero bytes": b"",
    "a producer without a sequence": build([b"a"], producer=(5, 0, -1)),
    "a producer with epoch -1": build([b"a"], producer=(5, -1, 0)),
}


@each("produce: {}", BATCHES)
def a_batch(side: Side, what: str) -> None:
    topic = side.topic()
    produce(side, topic_data(topic, BATCHES[what]))
    side.ask("ListOffsets", 5, topics=[_end(topic)])


@each("produce to a compacted topic: {}", ["no key", "a key", "the second has none"])
def a_key(side: Side, what: str) -> None:
    topic = side.topic(cleanup_policy="compact")
    payloads = {
        "no key": record(),
        "a key": record(key=b"k"),
        "the second has none": record(key=b"k") + record(delta=1),
    }
    count = 2 if what.startswith("the second") else 1
    produce(side, topic_data(topic, build([b""] * count, payload=payloads[what])))


@each("produce by the clock: {}", ["two hours ahead", "a minute ahead", "a year old", "no time"])
def a_time(side: Side, what: str) -> None:
    topic = side.topic(message_timestamp_after_max_ms=str(HOUR_MS))
    ages = {
        "two hours ahead": -2 * HOUR_MS,
        "a minute ahead": -60_000,
        "a year old": 8760 * HOUR_MS,
    }
    batch = aged(ages[what]) if what in ages else build([b"v"], times_ms=[-BASE_TIMESTAMP_MS - 1])
    produce(side, topic_data(topic, batch))


@script("produce by the clock: older than the topic takes")
def too_old(side: Side) -> None:
    topic = side.topic(message_timestamp_before_max_ms=str(HOUR_MS))
    produce(side, topic_data(topic, aged(2 * HOUR_MS)))
    produce(side, topic_data(topic, aged(0)))


@script("produce: the broker's time")
def append_time(side: Side) -> None:
    topic = side.topic(message_timestamp_type="LogAppendTime")
    for version in side.served("Produce", 3):
        produce(side, topic_data(topic, build([b"v"])), version=version)


@script("produce: larger than the topic takes")
def too_large(side: Side) -> None:
    topic = side.topic(max_message_bytes="200")
    produce(side, topic_data(topic, build([b"x" * 300])))
    produce(side, topic_data(topic, build([b"x" * (200 - len(build([b""])))])))
    produce(side, topic_data(topic, build([b"x" * 30])))
    produce(side, topic_data(topic, build([b"0" * 5_000], codec=1)))


@each("produce with acks {}", [0, 1, -1, 2, -2, 100])
def some_acks(side: Side, acks: int) -> None:
    topic = side.topic()
    if acks == 0:
        side.send_unanswered("Produce", VERSION, acks=0, topic_data=[topic_data(topic, GOOD)])
        side.ask("Metadata", 4, topics=[])
    else:
        produce(side, topic_data(topic, GOOD), acks=acks)


@script("produce with acks 0: what cannot be stored closes the connection")
def failed_without_ack(side: Side) -> None:
    topic = side.topic()
    bad = topic_data(topic, build([b"a"], crc_flip=1))
    side.send_unanswered("Produce", VERSION, acks=0, topic_data=[bad])
    side.ask("Metadata", 4, topics=[])


@each("produce with a time-out of {} ms", [0, -1, 1])
def a_timeout(side: Side, timeout_ms: int) -> None:
    produce(side, topic_data(side.topic(), GOOD), acks=1, timeout_ms=timeout_ms)


@script("produce: some good, some bad, some unknown")
def mixed(side: Side) -> None:
    topic = side.topic(2)
    good, bad = topic_data(topic, GOOD, 0), build([b"a"], crc_flip=1)
    good["partition_data"].append({"index": 1, "records": bad})
    good["partition_data"].append({"index": 9, "records": GOOD})
    for version in side.served("Produce", 3):
        produce(side, good, topic_data(side.new_name(), GOOD), version=version)


@script("produce: nothing to store")
def nothing(side: Side) -> None:
    topic = side.topic()
    for version in side.served("Produce", 3):
        produce(side, version=version)
        produce(side, {"name": topic, "partition_data": []}, version=version)


@script("produce: one partition twice")
def twice(side: Side) -> None:
    topic = side.topic()
    part = {"index": 0, "records": GOOD}
    produce(side, {"name": topic, "partition_data": [part, part]})


@script("produce: zstd before version 7")
def early_zstd(side: Side) -> None:
    import zstandard

    payload = zstandard.compress(encode_record(0, b"v"))
    topic = side.topic()
    for version in (3, 6, 7, 8):
        batch = build([b"v"], codec=ZSTD, payload=payload)
        produce(side, topic_data(topic, batch), version=version)


@script("produce: into the topic of committed offsets")
def internal(side: Side) -> None:
    side.commit(side.new_name(), side.topic(), 0)
    produce(side, topic_data("__consumer_offsets", build([b"a"])))


@script("produce: after records were deleted")
def after_deletion(side: Side) -> None:
    topic = side.topic()
    side.fill(topic)
    part = {"partition_index": 0, "offset": 2}
    side.ask("DeleteRecords", 1, topics=[{"name": topic, "partitions": [part]}], timeout_ms=10_000)
    produce(side, topic_data(topic, GOOD))


@script("produce: a transaction nobody began")
def transactional(side: Side) -> None:
    produce(side, topic_data(side.topic(), GOOD), transactional_id="t")


def _end(topic: str) -> dict[str, Any]:
    return {"name": topic, "partitions": [{"partition_index": 0, "timestamp": -1}]}
