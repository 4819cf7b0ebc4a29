"""Fetch: whole batches, size limits, positions, epochs, sessions."""

from typing import Any

import pytest

from compat_tests.support.deadline import wait_until
from compat_tests.wire.batches import build, parse
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import (
    FETCH_VERSION,
    delete_topic,
    fetch,
    fetch_request,
    list_offset,
    metadata,
    produce,
)

OFFSET_OUT_OF_RANGE = 1
UNKNOWN_TOPIC_OR_PARTITION = 3
FETCH_SESSION_ID_NOT_FOUND = 70
INVALID_FETCH_SESSION_EPOCH = 71
FENCED_LEADER_EPOCH = 74
UNKNOWN_LEADER_EPOCH = 75
UNKNOWN_TOPIC_ID = 100


def whole_batches(partition: Any) -> list[Any]:
    return [batch for batch in parse(bytes(partition.records)) if batch.whole]


@pytest.mark.parametrize("version", [4, 5, 7, 9, 10, 11, 12])
def test_an_empty_fetch_is_empty_not_null(wire: Connection, made: str, version: int) -> None:
    """librdkafka fails to parse a null there."""
    partition = fetch(wire, made, 0, version=version)
    assert partition.error_code == 0
    assert partition.records is not None and bytes(partition.records) == b""
    assert partition.high_watermark == 0
    assert partition.last_stable_offset == 0


def test_an_offset_inside_a_batch_gets_the_whole_batch(wire: Connection, made: str) -> None:
    produce(wire, made, build([b"0", b"1", b"2"]))
    produce(wire, made, build([b"3", b"4"]))
    for offset, bases in ((0, [0, 3]), (1, [0, 3]), (2, [0, 3]), (3, [3]), (4, [3])):
        batches = whole_batches(fetch(wire, made, offset))
        assert [batch.base_offset for batch in batches] == bases


@pytest.mark.parametrize("limits", [{"max_bytes": 1}, {"partition_max_bytes": 1}])
def test_the_first_batch_comes_whole_whatever_the_limit(
    wire: Connection, made: str, limits: dict[str, int]
) -> None:
    """Without that a consumer would never get past a large record."""
    produce(wire, made, build([b"x" * 2_000_000]))
    produce(wire, made, build([b"y"]))
    (batch,) = whole_batches(fetch(wire, made, 0, **limits))
    assert (batch.base_offset, batch.whole) == (0, True)


def test_limits_of_a_partition_and_of_the_response(wire: Connection, made_three: str) -> None:
    batch = build([b"x" * 10_000])
    for partition in range(3):
        for _ in range(10):
            produce(wire, made_three, batch, partition=partition)
    positions = dict.fromkeys(range(3), 0)

    request = fetch_request(made_three, positions, partition_max_bytes=35_000)
    rows = wire.call(request, FETCH_VERSION).responses[0].partitions
    assert [len(whole_batches(row)) for row in rows] == [3, 3, 3]

    request = fetch_request(made_three, positions, max_bytes=50_000)
    rows = wire.call(request, FETCH_VERSION).responses[0].partitions
    total = sum(len(bytes(row.records)) for row in rows)
    assert len(batch) <= total <= 50_000 + len(batch)


def test_positions_at_and_beyond_the_ends(wire: Connection, made: str) -> None:
    produce(wire, made, build([b"a", b"b"]))
    at_end = fetch(wire, made, 2)
    assert (at_end.error_code, bytes(at_end.records), at_end.high_watermark) == (0, b"", 2)
    for offset in (3, 1_000_000, -1, -5):
        partition = fetch(wire, made, offset)
        assert partition.error_code == OFFSET_OUT_OF_RANGE, offset
        assert bytes(partition.records or b"") == b""


def test_offsets_in_the_response_agree(wire: Connection, made: str) -> None:
    """log start <= last stable offset <= high watermark, with both isolation levels alike."""
    produce(wire, made, build([b"a", b"b", b"c"]))
    for isolation_level in (0, 1):
        row = fetch(wire, made, 0, isolation_level=isolation_level)
        assert (row.log_start_offset, row.last_stable_offset, row.high_watermark) == (0, 3, 3)
        assert row.preferred_read_replica == -1
        assert not row.aborted_transactions
        assert len(whole_batches(row)) == 1


def test_unknown_topic_and_partition(wire: Connection, made: str) -> None:
    missing = f"{made}-missing"
    assert fetch(wire, missing, 0).error_code == UNKNOWN_TOPIC_OR_PARTITION
    request = fetch_request(made, {0: 0, 8: 0})
    rows = wire.call(request, FETCH_VERSION).responses[0].partitions
    codes = {row.partition_index: row.error_code for row in rows}
    assert codes == {0: 0, 8: UNKNOWN_TOPIC_OR_PARTITION}
    assert missing not in {topic.name for topic in metadata(wire, None).topics}


def test_leader_epochs_are_checked(wire: Connection, made: str) -> None:
    """Metadata, Fetch and ListOffsets agree on the epoch; others are ahead or behind."""
    produce(wire, made, build([b"a"]))
    epoch = metadata(wire, [made]).topics[0].partitions[0].leader_epoch
    assert epoch >= 0
    assert list_offset(wire, made, -1).leader_epoch == epoch
    assert whole_batches(fetch(wire, made, 0))[0].leader_epoch == epoch

    cases = {epoch: 0, -1: 0, epoch + 1: UNKNOWN_LEADER_EPOCH}
    if epoch > 0:
        cases[epoch - 1] = FENCED_LEADER_EPOCH
    for current, code in cases.items():
        assert fetch(wire, made, 0, current_leader_epoch=current).error_code == code
        answer = list_offset(wire, made, -1, current_leader_epoch=current)
        assert answer.error_code == code


def test_unknown_sessions_are_refused(wire: Connection, made: str) -> None:
    request = fetch_request(made, {0: 0}, session=(12345, 7))
    response = wire.call(request, FETCH_VERSION)
    assert response.error_code == FETCH_SESSION_ID_NOT_FOUND
    assert response.session_id == 0


def test_a_session_may_be_asked_for(wire: Connection, made: str) -> None:
    """Declined by session id 0, or granted; the data come either way."""
    produce(wire, made, build([b"a"]))
    response = wire.call(fetch_request(made, {0: 0}, session=(0, 0)), FETCH_VERSION)
    assert response.error_code == 0
    assert len(whole_batches(response.responses[0].partitions[0])) == 1


def test_a_session_tells_what_is_new(wire: Connection, made: str) -> None:
    """KIP-227: full at first, then what changed; each epoch once; forgotten partitions no more."""
    first = wire.call(fetch_request(made, {0: 0}, session=(0, 0)), FETCH_VERSION)
    assert first.session_id > 0
    nothing = fetch_request(made, {}, session=(first.session_id, 1))
    nothing.topics = []
    assert wire.call(nothing, FETCH_VERSION).responses == []
    produce(wire, made, build([b"a"]))
    nothing.session_epoch = 2
    news = wire.call(nothing, FETCH_VERSION)
    assert len(whole_batches(news.responses[0].partitions[0])) == 1
    assert wire.call(nothing, FETCH_VERSION).error_code == INVALID_FETCH_SESSION_EPOCH
    forgetting = fetch_request(made, {0: 1}, session=(first.session_id, 3))
    assert wire.call(forgetting, FETCH_VERSION).responses == []
    closing = fetch_request(made, {0: 1}, session=(first.session_id, -1))
    assert wire.call(closing, FETCH_VERSION).session_id == 0
    nothing.session_epoch = 4
    assert wire.call(nothing, FETCH_VERSION).error_code == FETCH_SESSION_ID_NOT_FOUND


def code_of(response: Any) -> int:
    return int(response.responses[0].partitions[0].error_code)


@pytest.mark.parametrize("version", [13, 15, 16, 17])
def test_topics_by_id(wire: Connection, made: str, version: int) -> None:
    produce(wire, made, build([b"a"]))
    topic_id = metadata(wire, [made]).topics[0].topic_id
    request = fetch_request(made, {0: 0})
    request.topics[0].topic_id = topic_id
    response = wire.call(request, version)
    assert response.error_code == 0
    assert response.responses[0].topic_id == topic_id
    assert len(whole_batches(response.responses[0].partitions[0])) == 1

    assert delete_topic(wire, made) == 0
    gone = (UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION)

    def refused() -> bool:
        request = fetch_request(made, {0: 0})
        request.topics[0].topic_id = topic_id
        return code_of(wire.call(request, version)) in gone

    wait_until(refused, what="the id to be unknown")
