"""The record every client speaks of, and records that are hard to carry."""

import base64
from dataclasses import dataclass, field, replace
from typing import Any

from compat_tests.support.deadline import wall_ms

Headers = tuple[tuple[str, bytes | None], ...]
Content = tuple[bytes | None, bytes | None, Headers, int | None]
"""Key, value, headers and time: what must survive the way through a broker."""


@dataclass(frozen=True)
class Record:
    """A consumer fills in `offset` and `topic`; without `timestamp_ms` the client stamps."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = field(default_factory=tuple)
    timestamp_ms: int | None = None
    partition: int = 0
    topic: str = ""
    offset: int = -1

    @property
    def content(self) -> Content:
        return self.key, self.value, self.headers, self.timestamp_ms

    def placed(self, **changes: Any) -> "Record":
        return replace(self, **changes)

    def to_wire(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "partition": self.partition,
            "key": encode(self.key),
            "value": encode(self.value),
            "headers": [[name, encode(value)] for name, value in self.headers],
            "timestamp_ms": self.timestamp_ms,
        }

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "Record":
        return cls(
            value=decode(wire["value"]),
            key=decode(wire["key"]),
            headers=tuple((name, decode(value)) for name, value in wire["headers"]),
            timestamp_ms=wire["timestamp_ms"],
            partition=wire["partition"],
            topic=wire["topic"],
            offset=wire["offset"],
        )


def same(content: Content) -> Content:
    """What most clients make of it."""
    return content


def empty_as_null(content: Content) -> Content:
    """Of a client that does not tell them apart."""
    key, value, headers, time_ms = content
    return key or None, value or None, tuple((name, it or None) for name, it in headers), time_ms


def headers_by_name(content: Content) -> Content:
    """Of a client for which each name has a list of values."""
    key, value, headers, time_ms = content
    names = list(dict.fromkeys(name for name, _ in headers))
    return key, value, tuple(sorted(headers, key=lambda it: names.index(it[0]))), time_ms


def encode(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


# Two hours ago: what is older than a topic's retention may go at any moment.
BASE_TIMESTAMP_MS = wall_ms() - 2 * 3_600_000


def odd_records(*, null_header_value: bool = True) -> list[Record]:
    """Nulls, empties, header order and repeats, text beyond ASCII, timestamps out of order."""
    nothing = None if null_header_value else b""
    records = [
        Record(b"plain"),
        Record(b"with key", key=b"k"),
        Record(None, key=b"tombstone"),
        Record(b"", key=b""),
        Record(b"null key", key=None),
        Record(b"\x00\xff" * 50, key=bytes(range(256))),
        Record(b"headers", headers=(("a", b"1"), ("b", b"2"), ("a", b"3"), ("a", b"1"))),
        Record(b"header nulls", headers=(("empty", b""), ("null", nothing), ("", b"no name"))),
        Record("fünf 五".encode(), headers=(("schlüssel-五", b"\x00\xff"),)),
        Record(b"z" * 5_000, key=b"compressible"),
    ]
    shifts_ms = (0, 5, 5, 1, 1_000, 7, 3_600_000, 2, 9, 10)
    return [
        record.placed(timestamp_ms=BASE_TIMESTAMP_MS + shift)
        for record, shift in zip(records, shifts_ms, strict=True)
    ]
