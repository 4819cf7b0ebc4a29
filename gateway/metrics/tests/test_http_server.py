"""What a stranger can do to the port of metrics: nothing that lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from gateway.metrics import http_server
from gateway.metrics.http_server import CONNECTIONS_MAX_COUNT, HEAD_BYTES_MAX, HttpServer, Page

GONE = (ConnectionError, asyncio.IncompleteReadError)


async def pieces() -> AsyncIterator[bytes]:
    yield b"one\n"
    yield b"two\n"


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    server = HttpServer({"/all": lambda: Page(200, pieces()), "/no": lambda: Page(503, b"no\n")})
    listening = await server.start(partial(asyncio.start_server, host="127.0.0.1", port=0))
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        await server.close()


async def asked(port: int, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    ("line", "status", "body"),
    [
        (b"GET /all HTTP/1.1", 200, b"one\ntwo\n"),
        (b"GET /all?x=1 HTTP/1.0", 200, b"one\ntwo\n"),
        (b"HEAD /all HTTP/1.1", 200, b""),
        (b"GET /no HTTP/1.1", 503, b"no\n"),
        (b"GET / HTTP/1.1", 404, b"there are /all /no\n"),
        (b"POST /all HTTP/1.1", 405, b"GET and HEAD alone\n"),
        (b"\x16\x03\x01\xff", 405, b"GET and HEAD alone\n"),
    ],
)
async def test_one_request_a_connection(line: bytes, status: int, body: bytes) -> None:
    async with serving() as port:
        assert await asked(port, line + b"\r\nHost: x\r\n\r\n") == (status, body)


async def test_a_head_that_is_too_long_is_refused() -> None:
    async with serving() as port:
        status, _ = await asked(port, b"GET /all HTTP/1.1\r\n" + b"a" * (2 * HEAD_BYTES_MAX))
        assert status == 400


async def test_who_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "DEADLINE_S", 0.05)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(GONE):
            await asyncio.wait_for(reader.readexactly(1), 20)
        writer.close()


async def test_no_more_than_so_many_at_once() -> None:
    async with serving() as port:
        held = [
            await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MAX_COUNT)
        ]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(GONE):
            await asyncio.wait_for(reader.readexactly(1), 20)
        writer.close()
        for _, other in held:
            other.close()
