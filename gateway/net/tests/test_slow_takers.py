"""A reply with parts of files in it that its client takes its time with: it comes whole, whatever
ends the connection meanwhile."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.net import connection
from gateway.tests.harness import World
from protocol import ApiKey, encode_request
from protocol.messages.metadata import MetadataRequest
from wal_core.stores.file_region import FileRegion, OpenFile

BODY = bytes(range(256)) * 40_000  # more than the system takes of one who does not read
REQUEST = b"".join(encode_request(ApiKey.METADATA, 9, 1, "c", MetadataRequest(topics=None)))
NO_HEADER = struct.pack(">i", 3) + b"\0\3\0"


@pytest.fixture(autouse=True)
def replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is answered with the whole file."""
    (tmp_path / "a").write_bytes(BODY)
    file = OpenFile(os.open(tmp_path / "a", os.O_RDONLY))

    async def answer(*_: object) -> Sequence[Any]:
        return [struct.pack(">i", len(BODY)), FileRegion(file, 0, len(BODY))]

    monkeypatch.setattr(connection, "answer", answer)


@asynccontextmanager
async def served() -> AsyncIterator[tuple[World, Client]]:
    world = await World().start()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(world.gateway.connection, "127.0.0.1", 0)
    try:
        async with Client(server.sockets[0].getsockname()[1]) as client:
            yield world, client
    finally:
        server.close()
        await world.stop()


class Client:
    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self._port, limit=1_000
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def reply(self) -> bytes:
        (length,) = struct.unpack(">i", await self.reader.readexactly(4))
        return await self.reader.readexactly(length)


def connections(world: World) -> list[connection.Connection]:
    return [*world.gateway.hub.connections]


async def until_busy(world: World) -> connection.Connection:
    while not (found := connections(world)) or not found[0]._sending.is_busy:
        await asyncio.sleep(0)
    return found[0]


def test_replies_come_in_order_and_the_connection_goes_on() -> None:
    async def main() -> None:
        async with served() as (world, client):
            client.writer.write(3 * REQUEST)
            one = await until_busy(world)
            assert one.is_busy and one.owes_room and one.unsent_bytes() > 0
            for _ in range(3):
                assert await client.reply() == BODY
            client.writer.write(REQUEST)
            assert await client.reply() == BODY
            assert one.unsent_bytes() == 0 and not one.owes_room

    uvloop.run(main())


@pytest.mark.parametrize("end", ["its last request", "a request that is none", "a stop"])
def test_it_is_whole_before_the_connection_is_closed(end: str) -> None:
    async def main() -> None:
        async with served() as (world, client):
            client.writer.write(REQUEST)
            one = await until_busy(world)
            if end == "its last request":
                client.writer.write_eof()
            elif end == "a stop":
                one.close()
            else:
                client.writer.write(NO_HEADER)
            assert await client.reply() == BODY
            assert await client.reader.read() == b""

    uvloop.run(main())


def test_who_goes_in_the_middle_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with served() as (world, client):
            before_count = sum(1 for _ in Path("/proc/self/fd").iterdir())
            client.writer.write(REQUEST)
            await until_busy(world)
            client.writer.transport.abort()
            while connections(world):
                await asyncio.sleep(0)
            assert sum(1 for _ in Path("/proc/self/fd").iterdir()) <= before_count

    uvloop.run(main())


def test_a_file_that_was_cut_ends_the_connection_with_a_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with served() as (_, client):
            os.truncate(tmp_path / "a", 100)
            client.writer.write(REQUEST)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.reply()

    uvloop.run(main())
    assert any("cannot be read any more" in str(vars(record)) for record in caplog.records)
