"""The few messages of etcd's v3 API that are used here, in protobuf's wire format.

Our own, because the protobuf package breaks generated code with each major version, which is what
ended most clients of etcd for Python. Source: etcd's API reference, messages of KV, Watch, Lease
and Auth; numbers in the tables are their field numbers. Unknown fields are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_INT64_SIZE = 1 << 64


class MalformedMessage(ValueError):
    """Bytes that are no message."""


def varint(value: int) -> bytes:
    """An int64, seven bits a byte."""
    value %= _INT64_SIZE
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """Fields by number; what is 0 or empty is left out, as proto3 does."""
    parts = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            if value:
                parts += varint(number << 3 | VARINT) + varint(value)
        elif value:
            parts += part(number, value)
    return bytes(parts)


def part(number: int, value: bytes) -> bytes:
    """One field of bytes, also where it is empty: a message inside that says nothing is there."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """What a message holds, in its order. Raises MalformedMessage."""
    at = 0
    while at < len(data):
        tag, at = _varint_at(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint_at(data, at)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            size, at = _varint_at(data, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise MalformedMessage(f"field {tag >> 3} has wire type {kind}")
        if at + size > len(data):
            raise MalformedMessage(f"field {tag >> 3} is cut at byte {len(data)}")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise MalformedMessage(f"a number is cut at byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value % _INT64_SIZE, at
    raise MalformedMessage(f"a number at byte {at} is too long")


class Fields:
    """A message's fields by number; the last of a number counts, `each` has all of them."""

    def __init__(self, data: bytes) -> None:
        self._all: dict[int, list[int | bytes]] = {}
        for number, value in fields(data):
            self._all.setdefault(number, []).append(value)

    def number(self, field: int) -> int:
        """An int64; 0 if it is not there."""
        value = self._all.get(field, [0])[-1]
        if not isinstance(value, int):
            raise MalformedMessage(f"field {field} is no number")
        return value - _INT64_SIZE if value >= _INT64_SIZE >> 1 else value

    def blob(self, field: int) -> bytes:
        """Bytes or a message; empty if it is not there."""
        return [b"", *self.each(field)][-1]

    def each(self, field: int) -> list[bytes]:
        """Each of a repeated field."""
        values = self._all.get(field, [])
        found = [value for value in values if not isinstance(value, int)]
        if len(found) != len(values):
            raise MalformedMessage(f"field {field} is no message")
        return found


@dataclass(frozen=True, slots=True)
class Header:
    """What every answer begins with."""

    cluster_id: int
    revision: int


def header(answer: Fields) -> Header:
    """Field 1: cluster_id 1, member_id 2, revision 3."""
    inner = Fields(answer.blob(1))
    return Header(inner.number(1), inner.number(3))


def prefix_end(prefix: bytes) -> bytes:
    """The first key that does not begin so; a zero byte stands for the end of all keys."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


def texts(*pairs: tuple[int, str]) -> bytes:
    """A message of strings alone."""
    return message(*((number, text.encode()) for number, text in pairs))


def joined(number: int, inner: Iterable[bytes]) -> bytes:
    """A repeated field of messages."""
    return b"".join(part(number, one) for one in inner)
