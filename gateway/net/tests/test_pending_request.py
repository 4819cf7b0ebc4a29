import pytest

from gateway.fairness.reply_budget import ReplyBudget
from gateway.fairness.reply_share import ReplyShare
from gateway.net.pending_request import PendingRequest
from protocol import ApiKey, DecodeError, encode_request, message_classes

SHARE = ReplyShare(ReplyBudget(1 << 20), lambda: 0, lambda: None)


def _arrived(key: ApiKey) -> PendingRequest:
    classes = message_classes(key)
    pieces = encode_request(key, classes.max_version, 7, "c", classes.request())
    request = PendingRequest(memoryview(b"".join(pieces)[4:]), SHARE)
    request.parse_header()
    return request


def test_what_its_api_says_about_it() -> None:
    flags = {
        key: (r.is_pipelined, r.brings_data, r.reads_data, r.is_parking)
        for key in (ApiKey.PRODUCE, ApiKey.FETCH, ApiKey.METADATA, ApiKey.JOIN_GROUP)
        for r in [_arrived(key)]
    }
    assert flags == {
        ApiKey.PRODUCE: (True, True, False, False),
        ApiKey.FETCH: (True, False, True, True),
        ApiKey.METADATA: (False, False, False, False),
        ApiKey.JOIN_GROUP: (False, False, False, True),
    }


def test_an_unknown_api_holds_back_what_follows() -> None:
    request = PendingRequest(memoryview(b"\x03\xe7\x00\x00\x00\x00\x00\x63\xff\xff"), SHARE)
    request.parse_header()
    assert (request.header.api_key, request.header.correlation_id) == (999, 99)
    assert not (request.is_pipelined or request.brings_data or request.reads_data)


def test_a_header_that_is_none_is_refused() -> None:
    request = PendingRequest(memoryview(b"\x00\x03\x00"), SHARE)
    with pytest.raises(DecodeError):
        request.parse_header()
