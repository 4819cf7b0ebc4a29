"""One message per class with something in every field, made from the class itself."""

from collections.abc import Iterator
from types import UnionType
from typing import Union, get_args, get_origin

import msgspec

from protocol.framing import encode_request, encode_response
from protocol.messages import MESSAGE_CLASSES
from protocol.pieces import in_memory
from protocol.primitives import Message
from protocol.record_batch import Record, build_batch

_BYTES = b"bytes"


def example(cls: type[Message]) -> Message:
    """An instance with one element in every array and no field at its default."""
    values = {each.name: _value(each.type, each.default) for each in msgspec.structs.fields(cls)}
    return cls(**values)


def _value(kind: object, default: object) -> object:
    if default == bytes(16):
        return bytes(range(16))
    if get_origin(kind) in (Union, UnionType):
        kinds = [each for each in get_args(kind) if each is not type(None)]
        if memoryview in kinds:  # a records field
            return build_batch([Record(key=b"key", value=b"value")])
        kind = kinds[0]
    if get_origin(kind) is list:
        return [_value(get_args(kind)[0], None)]
    if isinstance(kind, type) and issubclass(kind, Message):
        return example(kind)
    plain: dict[object, object] = {bool: True, int: 7, float: 2.5, str: "text", bytes: _BYTES}
    return plain[kind]


def request_frames() -> Iterator[tuple[str, bytes]]:
    """(name, frame without its length) of every request, at the versions where bytes change most:
    the first, the first flexible and the last."""
    for key, classes in MESSAGE_CLASSES.items():
        for version in _versions(classes.min_version, classes.flexible_from, classes.max_version):
            pieces = encode_request(key, version, 7, "client", example(classes.request))
            yield f"{classes.request.__name__}-v{version}", b"".join(pieces)[4:]


def response_frames() -> Iterator[tuple[str, int, int, bytes]]:
    """(name, API key, version, frame without its length), likewise."""
    for key, classes in MESSAGE_CLASSES.items():
        for version in _versions(classes.min_version, classes.flexible_from, classes.max_version):
            pieces = encode_response(key, version, 7, example(classes.response))
            yield (
                f"{classes.response.__name__}-v{version}",
                key,
                version,
                b"".join(map(in_memory, pieces))[4:],
            )


def _versions(*wanted: int) -> list[int]:
    return sorted({min(version, wanted[-1]) for version in wanted})
