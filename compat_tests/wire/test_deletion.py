"""DeleteRecords: what may be deleted, and what everybody sees afterwards."""

import pytest

from compat_tests.support.records import BASE_TIMESTAMP_MS
from compat_tests.wire.batches import GZIP, build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import (
    EARLIEST,
    LATEST,
    create_topic,
    delete_records,
    fetch,
    fetch_batches,
    list_offset,
    partition_size,
    produce,
)

OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION = 1, 3
POLICY_VIOLATION = 44
HIGH_WATERMARK = -1


def test_records_below_are_gone_for_everybody(wire: Connection, made: str) -> None:
    for n in range(4):
        produce(wire, made, build([b"a", b"b"], times_ms=[n * 10, n * 10 + 1]))
    assert delete_records(wire, made, {0: 4}) == [(0, 4)]
    assert list_offset(wire, made, EARLIEST).offset == 4
    assert list_offset(wire, made, LATEST).offset == 8
    assert list_offset(wire, made, BASE_TIMESTAMP_MS).offset == 4
    below = fetch(wire, made, 3)
    assert (below.error_code, below.log_start_offset) == (OFFSET_OUT_OF_RANGE, -1)
    assert fetch(wire, made, 4).log_start_offset == 4
    assert [batch.base_offset for batch in fetch_batches(wire, made, 4)] == [4, 6]
    assert produce(wire, made, build([b"c"])).log_start_offset == 4


@pytest.mark.parametrize("codec", [0, GZIP], ids=["plain", "gzip"])
def test_a_start_inside_a_batch(wire: Connection, made: str, codec: int) -> None:
    """The batch comes whole, as it is stored; the client skips what it did not ask for."""
    produce(wire, made, build([b"a", b"b", b"c"], codec=codec))
    assert delete_records(wire, made, {0: 2}) == [(0, 2)]
    assert fetch(wire, made, 1).error_code == OFFSET_OUT_OF_RANGE
    assert [batch.base_offset for batch in fetch_batches(wire, made, 2)] == [0]


def test_up_to_the_high_watermark_and_not_beyond(wire: Connection, made_three: str) -> None:
    for index, count in enumerate((3, 0, 5)):
        if count:
            produce(wire, made_three, build([b"v"] * count), partition=index)
    assert delete_records(wire, made_three, {0: 4, 1: 1, 2: -2}) == [(OFFSET_OUT_OF_RANGE, -1)] * 3
    everything = dict.fromkeys(range(3), HIGH_WATERMARK)
    assert delete_records(wire, made_three, everything) == [(0, 3), (0, 0), (0, 5)]
    assert delete_records(wire, made_three, {2: 0, 7: 0}) == [
        (0, 5),  # a start never goes back
        (UNKNOWN_TOPIC_OR_PARTITION, -1),
    ]
    assert produce(wire, made_three, build([b"v"])).base_offset == 3


def test_sizes_shrink(wire: Connection, made: str) -> None:
    """What tools watch retention by; Kafka frees whole segments, later."""
    sizes = []
    for _ in range(3):
        produce(wire, made, build([b"v" * 1_000]))
        sizes.append(partition_size(wire, made))
    assert sizes == sorted(sizes) and sizes[0] > 1_000
    delete_records(wire, made, {0: 2})
    assert partition_size(wire, made) <= sizes[2]


def test_topics_that_do_not_delete(wire: Connection, topic: str) -> None:
    create_topic(wire, topic, cleanup_policy="compact")
    assert delete_records(wire, topic, {0: 0}) == [(POLICY_VIOLATION, -1)]
    assert delete_records(wire, f"{topic}-missing", {0: 0}) == [(UNKNOWN_TOPIC_OR_PARTITION, -1)]
    assert list_offset(wire, topic, EARLIEST).offset == 0
