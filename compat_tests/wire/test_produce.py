"""Produce, batch by batch: what is stored, what is refused and with which code."""

import struct
from collections.abc import Callable

import pytest

from compat_tests.support.gateway import Gateway, Remote
from compat_tests.wire.batches import CRC_START, GZIP, build, parse
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import (
    LATEST,
    PRODUCE_VERSION,
    api_versions,
    create_topic,
    fetch,
    fetch_batches,
    list_offset,
    produce,
    produce_request,
)

CORRUPT_MESSAGE = 2
UNKNOWN_TOPIC_OR_PARTITION = 3
MESSAGE_TOO_LARGE = 10
INVALID_TOPIC_EXCEPTION = 17
INVALID_REQUIRED_ACKS = 21
UNSUPPORTED_COMPRESSION_TYPE = 76
INVALID_RECORD = 87


def test_stored_as_sent_but_for_offset_and_epoch(wire: Connection, made: str) -> None:
    """Both lie outside the CRC, which stays the producer's."""
    first, second = build([b"a", b"b", b"c"]), build([b"d"], codec=GZIP)
    assert produce(wire, made, first).base_offset == 0
    assert produce(wire, made, second).base_offset == 3
    stored = fetch_batches(wire, made)
    assert [batch.base_offset for batch in stored] == [0, 3]
    for sent, batch in zip((first, second), stored, strict=True):
        assert batch.raw[CRC_START - 4 :] == sent[CRC_START - 4 :]
        assert batch.leader_epoch >= 0


@pytest.mark.parametrize("version", range(3, 12))
def test_response_of_every_version(wire: Connection, made: str, version: int) -> None:
    answer = produce(wire, made, build([b"a"]), version=version)
    assert (answer.error_code, answer.base_offset, answer.log_append_time_ms) == (0, 0, -1)
    if version >= 5:
        assert answer.log_start_offset == 0


BAD_BATCHES: dict[str, tuple[Callable[[], bytes], set[int]]] = {
    "wrong CRC": (lambda: build([b"a"], crc_flip=1), {CORRUPT_MESSAGE}),
    "flipped payload bit": (
        lambda: build([b"payload"])[:-3] + b"\xff" + build([b"payload"])[-2:],
        {CORRUPT_MESSAGE},
    ),
    "cut short": (lambda: build([b"payload"])[:-5], {CORRUPT_MESSAGE, INVALID_RECORD}),
    "shorter than a header": (lambda: build([b"a"])[:40], {CORRUPT_MESSAGE, INVALID_RECORD}),
    "a length of zero": (
        lambda: struct.pack(">qi", 0, 0) + build([b"a"])[12:],
        {CORRUPT_MESSAGE, INVALID_RECORD},
    ),
    "a negative length": (
        lambda: struct.pack(">qi", 0, -1) + build([b"a"])[12:],
        {CORRUPT_MESSAGE, INVALID_RECORD},
    ),
    "a huge length": (
        lambda: struct.pack(">qi", 0, 0x7FFFFFFF) + build([b"a"])[12:],
        {CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE},
    ),
    "two batches": (lambda: build([b"a"]) + build([b"b"]), {INVALID_RECORD}),
    "no batch": (lambda: b"", {INVALID_RECORD, CORRUPT_MESSAGE}),
    "magic 1": (lambda: build([b"a"], magic=1), {INVALID_RECORD, CORRUPT_MESSAGE}),
    "magic 3": (lambda: build([b"a"], magic=3), {INVALID_RECORD, CORRUPT_MESSAGE}),
    "count too large": (lambda: build([b"a", b"b"], count=3), {INVALID_RECORD}),
    "count too small": (lambda: build([b"a", b"b"], count=1), {INVALID_RECORD}),
    "negative count": (lambda: build([b"a"], count=-1), {INVALID_RECORD}),
    "last offset delta too large": (lambda: build([b"a"], last_delta=5), {INVALID_RECORD}),
    "no such codec": (
        lambda: build([b"a"], codec=5),
        {INVALID_RECORD, CORRUPT_MESSAGE, UNSUPPORTED_COMPRESSION_TYPE},
    ),
}


@pytest.mark.parametrize("name", list(BAD_BATCHES))
def test_a_bad_batch_is_refused_and_nothing_else(
    wire: Connection, made_three: str, name: str, broker: Gateway | Remote
) -> None:
    """The partition beside it is stored, the connection goes on, no offset is used up."""
    make, codes = BAD_BATCHES[name]
    good = build([b"good"])
    request = produce_request({made_three: {0: good, 1: make(), 2: good}})
    response = wire.call(request, PRODUCE_VERSION)
    rows = {row.index: row.error_code for row in response.responses[0].partition_responses}
    if isinstance(broker, Remote):  # Kafka fails the whole request for some of these
        assert rows[1] != 0, rows
    else:
        assert rows[1] in codes, rows
        assert rows[0] == rows[2] == 0, rows
    api_versions(wire)
    answer = produce(wire, made_three, good, partition=1)
    assert (answer.error_code, answer.base_offset) == (0, 0)


def test_a_batch_beyond_the_limit(wire: Connection, made: str) -> None:
    answer = produce(wire, made, build([bytes(11_000_000)]))
    assert answer.error_code == MESSAGE_TOO_LARGE
    assert produce(wire, made, build([b"a"])).base_offset == 0


def test_unknown_topics_and_partitions(wire: Connection, made: str) -> None:
    """Produce creates nothing, and the other partition of the request is served."""
    missing = f"{made}-missing"
    request = produce_request(
        {made: {0: build([b"a"]), 9: build([b"b"])}, missing: {0: build([b"c"])}}
    )
    response = wire.call(request, PRODUCE_VERSION)
    codes = {
        (topic.name, row.index): row.error_code
        for topic in response.responses
        for row in topic.partition_responses
    }
    assert codes == {
        (made, 0): 0,
        (made, 9): UNKNOWN_TOPIC_OR_PARTITION,
        (missing, 0): UNKNOWN_TOPIC_OR_PARTITION,
    }
    assert produce(wire, missing, build([b"c"])).error_code == UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("acks", [2, -2, 100])
def test_acks_out_of_range(wire: Connection, made: str, acks: int) -> None:
    assert produce(wire, made, build([b"a"]), acks=acks).error_code == INVALID_REQUIRED_ACKS
    assert list_offset(wire, made, LATEST).offset == 0


def test_offsets_are_dense_over_codecs_and_sizes(wire: Connection, made: str) -> None:
    end = 0
    for number in (1, 7, 100, 2, 1):
        for codec in (0, GZIP):
            answer = produce(wire, made, build([b"v" * number] * number, codec=codec))
            assert answer.base_offset == end
            end += number
    assert list_offset(wire, made, LATEST).offset == end
    assert fetch(wire, made, 0).high_watermark == end
    assert sum(batch.count for batch in fetch_batches(wire, made)) == end


def test_two_topics_count_apart(wire: Connection, new_topic: Callable[[], str]) -> None:
    one, two = new_topic(), new_topic()
    create_topic(wire, one)
    create_topic(wire, two)
    batch = build([b"a", b"b"])
    for turn in range(3):
        response = wire.call(produce_request({one: {0: batch}, two: {0: batch}}), PRODUCE_VERSION)
        bases = [topic.partition_responses[0].base_offset for topic in response.responses]
        assert bases == [2 * turn, 2 * turn]


def test_empty_and_null_values(wire: Connection, made: str) -> None:
    produce(wire, made, build([None, b"", b"x"]))
    (batch,) = parse(bytes(fetch(wire, made, 0).records))
    assert batch.raw[12:] != b"" and batch.count == 3
