"""What must hold for any bytes given as a request or a response.

`decode_x` may refuse, with the errors that decoders document. `check_x` takes what was accepted and
may not fail: what was read is written and read again, to the same value and the same bytes.
"""

from collections.abc import Iterator

from protocol.errors import DecodeError
from protocol.framing import (
    RequestHeader,
    decode_request,
    decode_request_header,
    decode_response,
    encode_request,
    encode_response,
)
from protocol.messages import MESSAGE_CLASSES
from protocol.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
)
from protocol.pieces import in_memory
from protocol.primitives import Message, Writer
from protocol.testing.examples import example, request_frames, response_frames

_REPLY_HEAD_BYTES = 2
_CONSUMER_STRUCTS: tuple[type[Message], ...] = (
    ConsumerProtocolSubscription,
    ConsumerProtocolAssignment,
)
_CONSUMER_VERSIONS_COUNT = 4


# --- requests ------------------------------------------------------------------------------------


def request_seeds() -> Iterator[tuple[str, bytes]]:
    return request_frames()


def decode_request_frame(data: bytes) -> tuple[RequestHeader, Message]:
    """A frame as it comes from a socket. Raises DecodeError, UnsupportedVersion."""
    frame = memoryview(data)
    header, at = decode_request_header(frame)
    return header, decode_request(header, frame, at)


def check_request(decoded: tuple[RequestHeader, Message]) -> None:
    header, message = decoded
    raw = _encoded_request(header, message)
    again = decode_request_frame(raw)
    assert again == decoded
    assert _encoded_request(*again) == raw


def _encoded_request(header: RequestHeader, message: Message) -> bytes:
    key, version, correlation_id, client_id = (
        header.api_key,
        header.api_version,
        header.correlation_id,
        header.client_id,
    )
    return b"".join(encode_request(key, version, correlation_id, client_id, message))[4:]


# --- responses -----------------------------------------------------------------------------------


def response_seeds() -> Iterator[tuple[str, bytes]]:
    for name, key, version, frame in response_frames():
        yield name, bytes((key, version)) + frame


def decode_response_frame(data: bytes) -> tuple[int, int, int, Message]:
    """Two bytes for API key and version, then the frame that answers such a request."""
    key, version = (*data[:_REPLY_HEAD_BYTES], 0, 0)[:_REPLY_HEAD_BYTES]
    classes = MESSAGE_CLASSES.get(key)
    if classes is None or not classes.min_version <= version <= classes.max_version:
        raise DecodeError("nobody asked for this", 0)
    frame = memoryview(data)[_REPLY_HEAD_BYTES:]
    return key, version, *decode_response(key, version, frame)


def check_response(decoded: tuple[int, int, int, Message]) -> None:
    key, version, *_ = decoded
    raw = b"".join(map(in_memory, encode_response(*decoded)))[4:]
    again = decode_response_frame(bytes((key, version)) + raw)
    assert again == decoded
    assert b"".join(map(in_memory, encode_response(*again)))[4:] == raw


# --- what members of a group say to each other ---------------------------------------------------


def consumer_seeds() -> Iterator[tuple[str, bytes]]:
    for number, cls in enumerate(_CONSUMER_STRUCTS):
        for version in range(_CONSUMER_VERSIONS_COUNT):
            out = Writer()
            example(cls).encode(out, version)
            yield f"{cls.__name__}-v{version}", bytes((number, version)) + out.to_bytes()


def decode_consumer(data: bytes) -> tuple[int, int, Message]:
    """Two bytes for struct and version, then the struct."""
    number, version = (*data[:_REPLY_HEAD_BYTES], 0, 0)[:_REPLY_HEAD_BYTES]
    if number >= len(_CONSUMER_STRUCTS) or version >= _CONSUMER_VERSIONS_COUNT:
        raise DecodeError("no such struct", 0)
    body = memoryview(data)[_REPLY_HEAD_BYTES:]
    return number, version, _CONSUMER_STRUCTS[number].decode(body, 0, version)[0]


def check_consumer(decoded: tuple[int, int, Message]) -> None:
    number, version, message = decoded
    out = Writer()
    message.encode(out, version)
    assert decode_consumer(bytes((number, version)) + out.to_bytes()) == decoded
