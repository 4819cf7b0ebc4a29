"""Google Cloud Storage's dialect of XML in front of a real S3 server, for tests.

No emulator that a registry has serves it: fake-gcs-server answers `PUT /bucket/key` with
`x-goog-if-generation-match: 0`, which creates an object if it is absent, with 400 "invalid
uploadType", for it takes uploads by the JSON API alone; others know no conditions at all. The two
dialects differ little. What tests need of it is here: the condition's header, answers in Google's
words, no token asked for. Whether a create is atomic is up to the server behind it.
"""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Self
from urllib.parse import urlsplit

from wal_core.testing.s3_server import S3Server

_CONDITION = re.compile(rb"\r\nx-goog-if-generation-match: 0(?=\r\n)", re.IGNORECASE)
_FOREIGN = re.compile(rb"\r\n(?:if-none-match|x-amz-[a-z0-9-]+):", re.IGNORECASE)
_SIGNED = re.compile(rb"\r\nauthorization: bearer [^\r]+(?=\r\n)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_REFUSAL = b"<?xml version='1.0'?><Error><Code>InvalidArgument</Code><Message>not of this dialect"
_HEAD_BYTES_MAX = 1 << 20
_STOP_TIMEOUT_S = 10.0


class GoogleFront:
    """Use as a context manager, within the server's; works in a thread with a loop of its own."""

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.endpoint = ""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_STOP_TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_STOP_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_TIMEOUT_S)
        self._loop.close()

    def environ(self) -> dict[str, str]:
        """What a program needs in its environment to find this server and nothing else."""
        return {"STORAGE_EMULATOR_HOST": urlsplit(self.endpoint).netloc}

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(
            self._accepted, "127.0.0.1", 0, limit=_HEAD_BYTES_MAX
        )
        self.endpoint = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports are aborted in the next turn

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, with one to the server: requests one after the other."""
        target = urlsplit(self._server.endpoint)
        behind, ahead = await asyncio.open_connection(
            target.hostname, target.port, limit=_HEAD_BYTES_MAX
        )
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await _body(reader, head)
                if _FOREIGN.search(head) or _SIGNED.search(head):
                    said = _REFUSAL + b"</Message></Error>"
                    writer.write(b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
                    continue
                ahead.write(_CONDITION.sub(b"\r\nif-none-match: *", head) + body)
                answer = await behind.readuntil(b"\r\n\r\n")
                writer.write(answer)
                if not head.startswith(b"HEAD"):
                    writer.write(await _body(behind, answer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # one of the two sides has gone
        finally:
            ahead.transport.abort()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    length = _LENGTH.search(head)
    return await reader.readexactly(int(length[1])) if length else b""
