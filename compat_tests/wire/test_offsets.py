"""ListOffsets and OffsetForLeaderEpoch: exact inside a compressed batch."""

import pytest
from kafka.protocol.consumer import OffsetForLeaderEpochRequest

from compat_tests.support.records import BASE_TIMESTAMP_MS
from compat_tests.wire.batches import GZIP, build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import (
    EARLIEST,
    LATEST,
    MAX_TIMESTAMP,
    list_offset,
    metadata,
    produce,
)

UNKNOWN_TOPIC_OR_PARTITION = 3


@pytest.mark.parametrize("codec", [0, GZIP], ids=["plain", "gzip"])
def test_by_timestamp_inside_a_batch(wire: Connection, made: str, codec: int) -> None:
    produce(wire, made, build([b"v"] * 3, times_ms=[0, 10, 20], codec=codec))
    produce(wire, made, build([b"v"] * 3, times_ms=[30, 60, 40], codec=codec))
    expected = {-1: (0, 0), 0: (0, 0), 1: (1, 10), 20: (2, 20), 21: (3, 30), 31: (4, 60)}
    for shift, (offset, time) in expected.items():
        answer = list_offset(wire, made, BASE_TIMESTAMP_MS + shift)
        assert (answer.offset, answer.timestamp) == (offset, BASE_TIMESTAMP_MS + time), shift
    none = list_offset(wire, made, BASE_TIMESTAMP_MS + 61)
    assert (none.error_code, none.offset, none.timestamp) == (0, -1, -1)


@pytest.mark.parametrize("version", range(1, 10))
def test_ends_in_every_version(wire: Connection, made: str, version: int) -> None:
    for count in (0, 3, 5):
        if count:
            produce(wire, made, build([b"v"] * count))
        end = {0: 0, 3: 3, 5: 8}[count]
        assert list_offset(wire, made, EARLIEST, version=version).offset == 0
        latest = list_offset(wire, made, LATEST, version=version)
        assert (latest.error_code, latest.offset, latest.timestamp) == (0, end, -1)


def test_isolation_levels_agree_without_transactions(wire: Connection, made: str) -> None:
    produce(wire, made, build([b"v"] * 4))
    for isolation_level in (0, 1):
        assert list_offset(wire, made, LATEST, isolation_level=isolation_level).offset == 4


def test_max_timestamp(wire: Connection, made: str) -> None:
    empty = list_offset(wire, made, MAX_TIMESTAMP)
    assert (empty.error_code, empty.offset) == (0, -1)
    produce(wire, made, build([b"v"] * 3, times_ms=[5, 50, 7], codec=GZIP))
    produce(wire, made, build([b"v"] * 2, times_ms=[1, 2]))
    answer = list_offset(wire, made, MAX_TIMESTAMP)
    assert (answer.offset, answer.timestamp) == (1, BASE_TIMESTAMP_MS + 50)


def test_unknown_topics(wire: Connection, made: str) -> None:
    assert list_offset(wire, f"{made}-missing", LATEST).error_code == UNKNOWN_TOPIC_OR_PARTITION
    assert f"{made}-missing" not in {topic.name for topic in metadata(wire, None).topics}


def test_offset_for_leader_epoch(wire: Connection, made: str) -> None:
    produce(wire, made, build([b"v"] * 4))
    epoch = metadata(wire, [made]).topics[0].partitions[0].leader_epoch
    row = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
    partition = row.OffsetForLeaderPartition(
        partition=0, current_leader_epoch=epoch, leader_epoch=epoch
    )
    request = OffsetForLeaderEpochRequest(
        replica_id=-1, topics=[row(topic=made, partitions=[partition])]
    )
    answer = wire.call(request, 4).topics[0].partitions[0]
    assert (answer.error_code, answer.leader_epoch, answer.end_offset) == (0, epoch, 4)
