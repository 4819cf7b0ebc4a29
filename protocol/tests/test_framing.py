"""Frames: headers, version choice, pieces."""

from struct import pack

import pytest

from protocol import (
    DecodeError,
    RequestHeader,
    UnsupportedVersion,
    decode_request,
    decode_request_header,
    decode_response,
    encode_request,
    encode_response,
    message_classes,
)
from protocol.messages import MESSAGE_CLASSES
from protocol.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse
from protocol.messages.fetch import FetchableTopicResponse, FetchResponse, PartitionData
from protocol.messages.metadata import MetadataRequest, MetadataResponse
from protocol.primitives import SPLICE_BYTES_MIN

VERSIONS = [
    (key, version)
    for key, classes in MESSAGE_CLASSES.items()
    for version in range(classes.min_version, classes.max_version + 1)
]


def header_of(frame: bytes) -> tuple[RequestHeader, int]:
    return decode_request_header(memoryview(frame))


@pytest.mark.parametrize(("key", "version"), VERSIONS)
def test_empty_messages_round_trip_in_frames(key: int, version: int) -> None:
    classes = message_classes(key)
    frame = b"".join(encode_request(key, version, 42, "me", classes.request()))
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    header, at = header_of(frame[4:])
    assert header == RequestHeader(key, version, 42, "me")
    assert decode_request(header, memoryview(frame)[4:], at) == classes.request()
    answer = b"".join(encode_response(key, version, 43, classes.response()))
    assert int.from_bytes(answer[:4], "big") == len(answer) - 4
    assert decode_response(key, version, memoryview(answer)[4:]) == (43, classes.response())


@pytest.mark.parametrize("version", [3, 4])
def test_api_versions_response_has_header_v0_always(version: int) -> None:
    raw = b"".join(encode_response(18, version, 7, ApiVersionsResponse(error_code=0)))
    assert raw[4:8] == pack(">i", 7)
    assert raw[8:10] == b"\x00\x00"  # the error code at once, no tag section
    flexible = b"".join(encode_response(3, 9, 7, MetadataResponse()))
    assert flexible[8:9] == b"\x00"


def test_unsupported_api_versions_can_be_answered_in_v0() -> None:
    raw = pack(">hhih", 18, 6, 3, 1) + b"c" + b"whatever a later version means"
    header, at = header_of(raw)
    with pytest.raises(UnsupportedVersion) as caught:
        decode_request(header, memoryview(raw), at)
    assert (caught.value.api_key, caught.value.version) == (18, 6)
    body = ApiVersionsResponse(error_code=35, api_keys=[ApiVersion(18, 0, 4)])
    answer = b"".join(encode_response(18, 0, header.correlation_id, body))
    assert answer.hex() == "0000001000000003002300000001001200000004"


@pytest.mark.parametrize("client_id", [None, "", "é", "x" * 300])
@pytest.mark.parametrize("version", [8, 9])
def test_client_id_is_a_classic_string_in_every_header(client_id: str | None, version: int) -> None:
    frame = b"".join(encode_request(3, version, 1, client_id, MetadataRequest()))[4:]
    header, at = header_of(frame)
    assert header.client_id == client_id
    raw = b"" if client_id is None else client_id.encode()
    length = -1 if client_id is None else len(raw)
    assert frame[8 : 10 + len(raw)] == pack(">h", length) + raw
    assert at == 10 + len(raw) + (version == 9)


def test_tags_of_the_request_header_are_skipped() -> None:
    frame = pack(">hhih", 3, 12, 1, -1) + b"\x01\x63\x03abc" + b"\x00\x01\x00\x00"
    header, at = header_of(frame)
    assert at == 16
    assert decode_request(header, memoryview(frame), at) == MetadataRequest(topics=None)


def test_librdkafka_leaves_three_bytes_behind_all_topics_metadata() -> None:
    """Its count placeholder stays in the compact message: seen with librdkafka 2.16."""
    frame = b"".join(encode_request(3, 9, 1, "rdkafka", MetadataRequest(topics=None)))[4:]
    header, at = header_of(frame + bytes(3))
    request = decode_request(header, memoryview(frame + bytes(3)), at)
    assert isinstance(request, MetadataRequest)
    assert request.topics is None


@pytest.mark.parametrize(("key", "version"), [(3, 14), (3, -1), (99, 0), (1, 19), (-1, 0)])
def test_outside_the_table(key: int, version: int) -> None:
    header, at = header_of(pack(">hhih", key, version, 9, -1))
    assert (header.correlation_id, header.client_id) == (9, None)
    with pytest.raises(UnsupportedVersion):
        decode_request(header, memoryview(bytes(100)), at)
    with pytest.raises(UnsupportedVersion):
        encode_response(key, version, 1, ApiVersionsResponse())
    with pytest.raises(UnsupportedVersion):
        encode_request(key, version, 1, None, ApiVersionsRequest())
    with pytest.raises(UnsupportedVersion):
        decode_response(key, version, memoryview(bytes(100)))


def test_unknown_key_has_no_classes() -> None:
    with pytest.raises(UnsupportedVersion):
        message_classes(99)


def test_header_cut_at_every_byte() -> None:
    frame = pack(">hhih", 3, 12, 1, 3) + b"abc" + b"\x01\x63\x03abc"
    assert header_of(frame)[1] == len(frame)
    for cut in range(len(frame)):
        with pytest.raises(DecodeError):
            header_of(frame[:cut])


def test_response_header_cut() -> None:
    for raw in (b"", b"\x00\x00\x00", b"\x00\x00\x00\x01"):
        with pytest.raises(DecodeError):
            decode_response(3, 12, memoryview(raw))


@pytest.mark.parametrize("raw", [pack(">hhih", 3, 1, 1, -2), pack(">hhih", 3, 1, 1, 2) + b"\xff"])
def test_malformed_client_id(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        header_of(raw)


def response_with(*records) -> FetchResponse:
    partitions = [PartitionData(partition_index=i, records=r) for i, r in enumerate(records)]
    return FetchResponse(responses=[FetchableTopicResponse(topic="t", partitions=partitions)])


@pytest.mark.parametrize("version", [4, 11, 12])
def test_large_records_are_pieces_of_their_own(version: int) -> None:
    large = memoryview(bytearray(b"L" * SPLICE_BYTES_MIN))
    small = memoryview(b"s" * 100)
    body = response_with(large, small, [small, large, small], b"", large)
    pieces = encode_response(1, version, 5, body)
    assert sum(piece is large for piece in pieces) == 3
    assert len(pieces) == 6 + (version == 12)  # only the tag sections come after the last view
    raw = b"".join(pieces)
    assert int.from_bytes(raw[:4], "big") == len(raw) - 4
    _, answer = decode_response(1, version, memoryview(raw)[4:])
    assert isinstance(answer, FetchResponse)
    found = [bytes(p.records) for p in answer.responses[0].partitions]
    plain_large, plain_small = bytes(large), bytes(small)
    assert found == [
        plain_large,
        plain_small,
        plain_small + plain_large + plain_small,
        b"",
        plain_large,
    ]


def test_small_things_are_one_piece() -> None:
    assert len(encode_response(1, 12, 5, response_with(b"s" * 100, b""))) == 1


def test_empty_records_are_not_null() -> None:
    """A null here is "Protocol parse failure" to librdkafka, so the default is empty."""
    raw = b"".join(encode_response(1, 11, 5, response_with(PartitionData().records)))
    assert raw[-4:] == bytes(4)


def test_decoded_records_are_views_of_the_frame() -> None:
    raw = bytearray(b"".join(encode_response(1, 11, 5, response_with(b"abc"))))
    _, answer = decode_response(1, 11, memoryview(raw)[4:])
    records = answer.responses[0].partitions[0].records
    assert isinstance(records, memoryview)
    raw[-1:] = b"!"
    assert bytes(records) == b"ab!"
