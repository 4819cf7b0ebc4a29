"""What goes between a supervisor, who holds a coordination store, and a worker that uses it.

Frames over a pair of sockets: four bytes of length, then MessagePack. Both ends are of one release,
so nothing here has a version. Questions have numbers; each gets one answer, a watch any number.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from gateway.cluster.coordination.base import (
    Change,
    Compacted,
    CoordinationError,
    Delete,
    Done,
    LeaseLost,
    Put,
    Refused,
    Snapshot,
    StoreAway,
    Unchanged,
)

FRAME_BYTES_MAX = 16 << 20
"""Nodes and logs take some hundred bytes each: who sends more is none of ours."""
_LENGTH = struct.Struct(">I")
_KINDS = {kind.__name__: kind for kind in (StoreAway, LeaseLost, Compacted, Refused)}

Part: TypeAlias = tuple[str, bytes | None, int]
"""Key, value and lease; None deletes it."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    number: int


class Read(_Message, frozen=True):
    prefix: str


class Transact(_Message, frozen=True):
    conditions: list[Unchanged]
    then: list[Part]


class Watch(_Message, frozen=True):
    prefix: str
    after_revision: int


class Unwatch(_Message, frozen=True):
    """Of the watch with that number; has no answer."""


class Grant(_Message, frozen=True):
    ttl_s: int


class KeepAlive(_Message, frozen=True):
    lease: int


class Revoke(_Message, frozen=True):
    lease: int


class Ready(_Message, frozen=True):
    """The worker accepts connections; has no answer."""


class Found(_Message, frozen=True):
    snapshot: Snapshot


class Carried(_Message, frozen=True):
    done: Done


class Granted(_Message, frozen=True):
    lease: int


class Well(_Message, frozen=True):
    """Done, and nothing to say."""


class Changed(_Message, frozen=True):
    changes: tuple[Change, ...]


class Failed(_Message, frozen=True):
    kind: str
    text: str


Question: TypeAlias = Read | Transact | Watch | Unwatch | Grant | KeepAlive | Revoke | Ready
Answer: TypeAlias = Found | Carried | Granted | Well | Changed | Failed

questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def frame(message: Question | Answer) -> bytes:
    """Its bytes."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Raises EOFError, OSError where the other end is gone or sends something else."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > FRAME_BYTES_MAX:
        raise EOFError(f"a frame of {length} bytes")
    return await reader.readexactly(length)


def parts(then: Sequence[Put | Delete]) -> list[Part]:
    """As they are sent."""
    return [
        (part.key, part.value, part.lease) if isinstance(part, Put) else (part.key, None, 0)
        for part in then
    ]


def puts_and_deletes(sent: Sequence[Part]) -> list[Put | Delete]:
    """As they were meant."""
    return [Delete(key) if value is None else Put(key, value, lease) for key, value, lease in sent]


def failed(number: int, error: CoordinationError) -> Failed:
    """What the one who asked raises."""
    return Failed(number, type(error).__name__, str(error))


def error_of(answer: Failed) -> CoordinationError:
    """See `failed`."""
    return _KINDS.get(answer.kind, StoreAway)(answer.text)
