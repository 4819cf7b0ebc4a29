"""What a client of our own says on one connection, and what it is told: bytes and values, no I/O.

The clients of tests in this process and those of the simulation are this one, over sockets that are
lists and over simulated links. Whoever wants to decide about every byte, or speaks to another
process, has `compat_tests/wire/connection.py` instead, whose messages are another's.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import Any, NamedTuple

from protocol import ApiKey, Buffer, Message, decode_response, encode_request

_LENGTH = struct.Struct(">i")


class Asked(NamedTuple):
    """A request that was sent and what becomes of its answer."""

    correlation_id: int
    key: ApiKey
    version: int
    request: Message
    reply: asyncio.Future[Any]
    sent_s: float


class Disorder(Exception):
    """A reply that was not due (I6)."""


class Conversation:
    def __init__(self) -> None:
        self._asked: deque[Asked] = deque()  # as the gateway owes them
        self._count = 0

    def ask(
        self, key: ApiKey, version: int, body: Message, client_id: str | None
    ) -> tuple[bytes, Asked]:
        """The bytes of a request that is sent next, length and all, and its coming answer; a
        produce without acks has none, and its future stays pending."""
        loop = asyncio.get_running_loop()
        self._count += 1
        asked = Asked(self._count, key, version, body, loop.create_future(), loop.time())
        if not (key == ApiKey.PRODUCE and getattr(body, "acks", -1) == 0):
            self._asked.append(asked)
        return b"".join(encode_request(key, version, self._count, client_id, body)), asked

    @property
    def is_waiting(self) -> bool:
        """Whether a reply is owed."""
        return bool(self._asked)

    def told(self, frame: Buffer) -> tuple[Asked, Any]:
        """A reply, and the request it answers, whose future is the caller's to settle. Raises
        Disorder unless it is the one that is due."""
        (correlation_id,) = _LENGTH.unpack_from(frame)
        if not self._asked:
            raise Disorder(f"a reply {correlation_id} that nobody asked for")
        asked = self._asked.popleft()
        if asked.correlation_id != correlation_id:
            raise Disorder(f"reply {correlation_id} where {asked.correlation_id} was due")
        _, body = decode_response(asked.key, asked.version, memoryview(frame))
        return asked, body


def cut_frames(stream: bytearray) -> list[bytes]:
    """Take the whole frames off the front of what has come, without their lengths."""
    frames = []
    while len(stream) >= _LENGTH.size:
        end = _LENGTH.size + _LENGTH.unpack_from(stream)[0]
        if len(stream) < end:
            break
        frames.append(bytes(stream[_LENGTH.size : end]))
        del stream[:end]
    return frames
