"""Framing, order of responses, and what a frame may carry besides its message."""

import select
import struct
from collections.abc import Callable

import pytest
from kafka.protocol.metadata import MetadataRequest

from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection, frame_of, framed
from compat_tests.wire.messages import (
    METADATA_VERSION,
    PRODUCE_VERSION,
    api_versions,
    fetch_request,
    metadata,
    only_partition,
    produce_request,
)

LONG_WAIT_MS = 60_000

pytestmark = pytest.mark.storage_blind("what one connection does with its frames")


@pytest.mark.parametrize("version", [0, 1, 4, 9, 12])
@pytest.mark.parametrize("client_id", [None, "", "name", "ü" * 100])
def test_any_client_id(wire: Connection, version: int, client_id: str | None) -> None:
    """A classic nullable string in every header version."""
    response = wire.call(MetadataRequest(topics=[]), version, client_id=client_id)
    assert response.brokers


@pytest.mark.parametrize("version", [1, 4, 9, 12])
def test_surplus_bytes_are_tolerated(wire: Connection, version: int, made: str) -> None:
    """librdkafka sends three of them with every "all topics" Metadata from version 9 on."""
    response = wire.call(MetadataRequest(topics=None), version, surplus=b"\x00\x00\x00")
    assert made in {topic.name for topic in response.topics}
    api_versions(wire)


def test_unknown_tagged_fields_are_skipped(wire: Connection, made: str) -> None:
    """Tags 99 and 100 in header, body and nested struct of a Metadata 12 request."""
    tags = b"\x02\x63\x03abc\x64\x00"
    name = bytes([len(made) + 1]) + made.encode()
    body = b"\x02" + bytes(16) + name + tags + b"\x00\x00" + tags
    header = struct.pack(">hhih", 3, 12, 4711, 1) + b"x" + tags
    wire.send_frame(header + body)
    frame = wire.receive_frame()
    assert struct.unpack_from(">i", frame) == (4711,)
    assert made.encode() in frame


def test_requests_are_answered_in_order(wire: Connection, made: str) -> None:
    """A fetch that has to wait is followed by a quick request on the same connection."""
    slow = wire.send(fetch_request(made, {0: 0}, max_wait_ms=400, min_bytes=1), 12)
    quick = wire.send(MetadataRequest(topics=[]), METADATA_VERSION)
    assert [wire.receive()[0], wire.receive()[0]] == [slow, quick]


def test_a_pipeline_of_produces(wire: Connection, made: str) -> None:
    """Sixteen sent before the first answer is read; order and offsets as sent."""
    ids = [
        wire.send(produce_request({made: {0: build([b"%d" % number] * 2)}}), PRODUCE_VERSION)
        for number in range(16)
    ]
    answers = [wire.receive() for _ in ids]
    assert [correlation_id for correlation_id, _ in answers] == ids
    offsets = [only_partition(body).base_offset for _, body in answers]
    assert offsets == list(range(0, 32, 2))


def test_mixed_requests_in_one_packet(wire: Connection, made: str) -> None:
    """Many frames in one segment, and one frame in many segments."""
    for _ in range(200):
        wire.send(MetadataRequest(topics=[]), METADATA_VERSION)
    ids = [wire.receive()[0] for _ in range(200)]
    assert ids == sorted(ids)

    for byte in framed(frame_of(MetadataRequest(topics=[]), METADATA_VERSION, 5)):
        wire.send_raw(bytes([byte]))
    assert wire.receive_frame()[:4] == struct.pack(">i", 5)


def test_acks_zero_has_no_response(wire: Connection, made: str) -> None:
    for number in range(3):
        wire.send(produce_request({made: {0: build([b"%d" % number])}}, acks=0), PRODUCE_VERSION)
        assert metadata(wire, [made]).topics[0].name == made
    answer = wire.call(produce_request({made: {0: build([b"last"])}}), PRODUCE_VERSION)
    assert only_partition(answer).base_offset == 3


def test_a_waiting_fetch_holds_up_nobody_else(
    wire: Connection, dial: Callable[[], Connection], made: str
) -> None:
    """It stays open while another connection is served, and an append ends it."""
    waiting = dial()
    waiting.send(fetch_request(made, {0: 0}, max_wait_ms=LONG_WAIT_MS, min_bytes=1), 12)
    for _ in range(20):
        metadata(wire, [made])
    assert not select.select([waiting.socket], [], [], 0)[0], "an empty fetch was answered at once"
    wire.call(produce_request({made: {0: build([b"wake up"])}}), PRODUCE_VERSION)
    _, body = waiting.receive()
    assert body.responses[0].partitions[0].high_watermark == 1


def test_a_fetch_waits_for_its_minimum(
    wire: Connection, dial: Callable[[], Connection], made: str
) -> None:
    small, large = build([b"x"]), build([b"y" * 10_000])
    waiting = dial()
    waiting.send(fetch_request(made, {0: 0}, max_wait_ms=LONG_WAIT_MS, min_bytes=5_000), 12)
    wire.call(produce_request({made: {0: small}}), PRODUCE_VERSION)
    assert not select.select([waiting.socket], [], [], 0)[0], "answered below min_bytes"
    wire.call(produce_request({made: {0: large}}), PRODUCE_VERSION)
    _, body = waiting.receive()
    assert len(body.responses[0].partitions[0].records) == len(small) + len(large)


def test_a_fetch_ends_when_its_time_is_over(wire: Connection, made: str) -> None:
    body = wire.call(fetch_request(made, {0: 0}, max_wait_ms=50, min_bytes=1), 12)
    assert bytes(body.responses[0].partitions[0].records) == b""


def test_a_fetch_with_an_error_does_not_wait(wire: Connection, made_three: str) -> None:
    """Partition 1 is asked for an offset beyond its end."""
    request = fetch_request(made_three, {0: 0, 1: 5}, max_wait_ms=LONG_WAIT_MS, min_bytes=1)
    body = wire.call(request, 12)
    codes = {row.partition_index: row.error_code for row in body.responses[0].partitions}
    assert codes == {0: 0, 1: 1}


def test_closing_with_a_waiting_fetch_harms_nobody(
    wire: Connection, dial: Callable[[], Connection], made: str
) -> None:
    for _ in range(20):
        gone = dial()
        gone.send(fetch_request(made, {0: 0}, max_wait_ms=LONG_WAIT_MS, min_bytes=1), 12)
        gone.close()
    answer = wire.call(produce_request({made: {0: build([b"still here"])}}), PRODUCE_VERSION)
    assert only_partition(answer).error_code == 0
