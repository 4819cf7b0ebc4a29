"""A small HTTP server for three paths: enough for Prometheus and probes, and no more.

One request a connection, few connections, a short head, one deadline for it all. A framework would
be a hundred times the code, in the process that must not stop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple

HEAD_BYTES_MAX = 8 * 1024
CONNECTIONS_MAX_COUNT = 16
DEADLINE_S = 10.0
"""Prometheus's own, by default."""
_WORDS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
PLAIN = "text/plain; charset=utf-8"


class Page(NamedTuple):
    """What a path shows."""

    status: int
    body: AsyncIterator[bytes] | bytes
    content_type: str = PLAIN


class HttpServer:
    """`handle` the connections of a listening socket, `close`."""

    def __init__(self, paths: Mapping[str, Callable[[], Page]]) -> None:
        self._paths = paths
        self._running: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listen: Callable[..., Awaitable[asyncio.Server]]) -> asyncio.Server:
        """`listen` is asyncio.start_server, with an address."""
        self._server = await listen(self._connected, limit=HEAD_BYTES_MAX)
        return self._server

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._running) >= CONNECTIONS_MAX_COUNT:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._running.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        page, with_body = await self._page(reader)
        head = (
            f"HTTP/1.1 {page.status} {_WORDS[page.status]}\r\n"
            f"Content-Type: {page.content_type}\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode())
        if with_body and isinstance(page.body, bytes):
            writer.write(page.body)
        elif with_body:
            assert not isinstance(page.body, bytes)
            async with contextlib.aclosing(page.body) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
        await writer.drain()

    async def _page(self, reader: asyncio.StreamReader) -> tuple[Page, bool]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return Page(400, b"not a request, or too long a one\n"), True
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return Page(405, b"GET and HEAD alone\n"), True
        show = self._paths.get(path)
        if show is None:
            known = " ".join(self._paths)
            return Page(404, f"there are {known}\n".encode()), method == "GET"
        return show(), method == "GET"
