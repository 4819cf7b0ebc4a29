"""Frames: the headers around a message, and which classes belong to which API key.

A frame is an int32 length and that many bytes. Everything here gets a frame *without* the length
and gives pieces *with* it. Header rules (KIP-482, KIP-511):

- a request header is v2 (tags behind client_id) where the API version is flexible, else v1;
- client_id is a classic nullable string (int16 length) in both, never a compact one;
- a response header is v1 where the version is flexible, else v0, but an ApiVersions response always
  has v0, since a client that asks does not yet know what we speak.
"""

from struct import Struct
from struct import error as struct_error

import msgspec

from protocol.errors import DecodeError, UnsupportedVersion
from protocol.messages import MESSAGE_CLASSES, MessageClasses
from protocol.pieces import Buffer, Piece, in_memory
from protocol.primitives import (
    ARRAY_ELEMENTS_MAX_COUNT,
    Message,
    Writer,
    read_nullable_string,
    skip_tags,
    write_nullable_string,
)

_API_VERSIONS = 18
_LENGTH = Struct(">i")
_REQUEST = Struct(">hhi")
_RESPONSE = Struct(">ii")
_EMPTY_FRAME = bytes(4)


class RequestHeader(msgspec.Struct, frozen=True):
    """The part of a request header the server answers by."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None = None


def message_classes(api_key: int) -> MessageClasses:
    """(request class, response class, min version, max version, flexible from).

    Raises UnsupportedVersion, with version -1, for a key outside the table.
    """
    try:
        return MESSAGE_CLASSES[api_key]
    except KeyError:
        raise UnsupportedVersion(api_key, -1) from None


def decode_request_header(frame: memoryview) -> tuple[RequestHeader, int]:
    """The header and the position of the body.

    A key or version outside the table is read as header v1: every header version begins with the
    same fields, so the server can answer, and nobody reads the body. Raises DecodeError.
    """
    try:
        api_key, api_version, correlation_id = _REQUEST.unpack_from(frame, 0)
        client_id, at = read_nullable_string(frame, 8)
        classes = MESSAGE_CLASSES.get(api_key)
        if classes is not None and classes.flexible_from <= api_version <= classes.max_version:
            at = at + 1 if frame[at] == 0 else skip_tags(frame, at)
        return RequestHeader(api_key, api_version, correlation_id, client_id), at
    except (IndexError, struct_error):
        reason, position = "the request header ends too early", len(frame)
    raise DecodeError(reason, position)


def decode_request(
    header: RequestHeader,
    frame: memoryview,
    at: int,
    elements_max_count: int = ARRAY_ELEMENTS_MAX_COUNT,
) -> Message:
    """The body at `at`. Bytes behind it are tolerated: librdkafka leaves three (WIRE.md).

    Record fields are views of `frame`. Raises UnsupportedVersion or DecodeError; TooManyElements
    where its arrays have more than `elements_max_count` together.
    """
    version = header.api_version
    classes = MESSAGE_CLASSES.get(header.api_key)
    if classes is None or not classes.min_version <= version <= classes.max_version:
        raise UnsupportedVersion(header.api_key, version)
    return classes.request.decode(frame, at, version, elements_max_count)[0]


def encode_response(api_key: int, version: int, correlation_id: int, body: Message) -> list[Piece]:
    """The frame with its length, in pieces for writelines.

    Large record views are pieces of their own and must not change until written.
    """
    classes = _checked(api_key, version)
    out = Writer(bytearray(8))
    if version >= classes.flexible_from and api_key != _API_VERSIONS:
        out.buf.append(0)
    body.encode(out, version)
    _RESPONSE.pack_into(out.buf, 0, out.total_bytes - 4, correlation_id)
    return out.pieces()


def encode_request(
    api_key: int, version: int, correlation_id: int, client_id: str | None, body: Message
) -> list[Buffer]:
    """The frame with its length, in pieces; the client's side, for tests and tools."""
    classes = _checked(api_key, version)
    out = Writer(bytearray(_EMPTY_FRAME))
    out.buf += _REQUEST.pack(api_key, version, correlation_id)
    write_nullable_string(out.buf, client_id)
    if version >= classes.flexible_from:
        out.buf.append(0)
    body.encode(out, version)
    _LENGTH.pack_into(out.buf, 0, out.total_bytes - 4)
    return [in_memory(piece) for piece in out.pieces()]


def decode_response(api_key: int, version: int, frame: memoryview) -> tuple[int, Message]:
    """(correlation id, body) of a frame without its length. Raises DecodeError."""
    classes = _checked(api_key, version)
    try:
        (correlation_id,) = _LENGTH.unpack_from(frame, 0)
        at = 4
        if version >= classes.flexible_from and api_key != _API_VERSIONS:
            at = skip_tags(frame, at)
    except (IndexError, struct_error):
        raise DecodeError("the response header ends too early", len(frame)) from None
    return correlation_id, classes.response.decode(frame, at, version)[0]


def _checked(api_key: int, version: int) -> MessageClasses:
    classes = MESSAGE_CLASSES.get(api_key)
    if classes is None or not classes.min_version <= version <= classes.max_version:
        raise UnsupportedVersion(api_key, version)
    return classes
