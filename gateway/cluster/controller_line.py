"""The way to the controller: one request after the other, over Kafka's protocol, as any client.

A request has a connection of its own: there are few of them, and who waits for storage is in
nobody's way. What the controller cannot have seen is asked again, of whoever is the controller by
then, until the time is up; of what it may have done the outcome stays open, as for every client.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from gateway.cluster.view import ClusterView, Node
from protocol import Buffer, DecodeError, Message, decode_response, encode_request
from wal_core import Unavailable

FORWARDED = "__forwarded"
"""Client id of what a node asks for its own clients: whoever is not the controller says so, and
sends it no further."""
SERVED = f"{FORWARDED}/served/"
"""Beginning of the client id, the number of a log behind it, of a DeleteTopics that says: nothing
of these topics, which are deleted already, is left there."""
REQUESTS_MAX_COUNT = 8
"""At once. More: more topics are created in the time of one write to the store."""
WAITING_MAX_COUNT = 256
"""Who comes after so many is told to come again. Each is held by a connection's own budget."""
REPLY_BYTES_MAX = 32 * 1024 * 1024
CONNECT_S_MAX = 3.0
AGAIN_S = 0.1
"""Until the controller is looked for again."""
_LENGTH = struct.Struct(">i")


class Wire(Protocol):
    """A connection to a node."""

    def write(self, pieces: Iterable[Buffer]) -> None: ...
    async def read_frame(self) -> bytes:
        """The next, without its length. Raises OSError or EOFError when the connection ends."""
        ...

    def close(self) -> None: ...


class _NotAsked(Exception):
    """Nobody has seen the request: there is no controller, or no way to it."""


class ControllerHere(Exception):
    """This node is the controller by now: nobody else has seen the request."""


class ControllerLine:
    """`ask`. `view` says who the controller is; `connect` is the way to a node."""

    def __init__(
        self,
        view: Callable[[], ClusterView],
        connect: Callable[[Node], Awaitable[Wire]] | None = None,
    ) -> None:
        self._view = view
        self.connect = connect or connect_tcp
        self._slots = asyncio.Semaphore(REQUESTS_MAX_COUNT)
        self._count = 0
        self._correlation_id = 0

    async def ask(
        self,
        key: int,
        version: int,
        body: Message,
        timeout_s: float,
        *,
        is_refused: Callable[[Any], bool] = lambda reply: False,
        client_id: str = FORWARDED,
    ) -> Any:
        """The reply of the controller; `is_refused` knows one of a node that is not. Raises
        TimeoutError when there is none in time, or none that says what became of it; Unavailable
        when too many wait; ControllerHere."""
        if self._count >= WAITING_MAX_COUNT:
            raise Unavailable("too much waits for the controller")
        self._count += 1
        try:
            async with asyncio.timeout(timeout_s), self._slots:
                while True:
                    try:
                        reply = await self._ask_once(key, version, body, client_id)
                    except _NotAsked:
                        pass
                    else:
                        if not is_refused(reply):
                            return reply
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._count -= 1

    async def _ask_once(self, key: int, version: int, body: Message, client_id: str) -> Message:
        view = self._view()
        node = view.controller
        if node is None:
            raise _NotAsked
        if node.node_id == view.me.node_id:
            raise ControllerHere
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                wire = await self.connect(node)
        except (OSError, TimeoutError):
            raise _NotAsked from None
        self._correlation_id += 1
        try:
            wire.write(encode_request(key, version, self._correlation_id, client_id, body))
            _, reply = decode_response(key, version, memoryview(await wire.read_frame()))
        except (OSError, EOFError, DecodeError) as error:
            raise TimeoutError(f"the controller, node {node.node_id}, has not answered") from error
        finally:
            wire.close()
        return reply


class _TcpWire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, pieces: Iterable[Buffer]) -> None:
        self._writer.writelines(pieces)

    async def read_frame(self) -> bytes:
        (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        if not 0 <= length <= REPLY_BYTES_MAX:
            raise EOFError(f"a reply of {length} bytes")
        return await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


async def connect_tcp(node: Node) -> Wire:
    """To the address that it tells its clients."""
    return _TcpWire(*await asyncio.open_connection(node.host, node.port))
