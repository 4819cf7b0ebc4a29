"""An S3 endpoint that does what a script says: the awkward answers no real server gives on demand.

Without a script it is a small S3 service with one bucket: conditional PUT, ranged GET, HEAD,
DELETE and LIST in pages. It checks no signatures. Runs on the test's own loop.
"""

from __future__ import annotations

import asyncio
import enum
import re
import ssl
from typing import NamedTuple
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

_STAMP = "2026-01-02T03:04:05.000Z"
_HTTP_STAMP = "Fri, 02 Jan 2026 03:04:05 GMT"


class Answer(enum.Enum):
    """What to do instead of serving a request."""

    LOST_REPLY = enum.auto()  # do it, then cut the connection
    DONE_THEN_500 = enum.auto()  # do it, then say 500
    RESET = enum.auto()  # cut the connection, nothing done
    ERROR_500 = enum.auto()
    SLOW_DOWN = enum.auto()  # 503
    CONFLICT = enum.auto()  # 409, nothing stored
    DENIED = enum.auto()  # 403
    EXPIRED = enum.auto()  # 400 ExpiredToken
    NOT_IMPLEMENTED = enum.auto()  # 501
    REDIRECT = enum.auto()  # 301, as from another region
    HANG = enum.auto()  # nothing done, never an answer
    DONE_THEN_HANG = enum.auto()
    WEB_PAGE = enum.auto()  # 200 and HTML, as from a console's port


class Planned(NamedTuple):
    """An answer for the next `times` requests that match."""

    method: str
    part: str  # of the path with its query
    answer: Answer
    times: int = 1


class Request(NamedTuple):
    """One request as it came."""

    method: str
    path: str  # with its query
    headers: dict[str, str]


_ERRORS = {
    Answer.DONE_THEN_500: (500, "InternalError"),
    Answer.ERROR_500: (500, "InternalError"),
    Answer.SLOW_DOWN: (503, "SlowDown"),
    Answer.CONFLICT: (409, "ConditionalRequestConflict"),
    Answer.DENIED: (403, "AccessDenied"),
    Answer.EXPIRED: (400, "ExpiredToken"),
    Answer.NOT_IMPLEMENTED: (501, "NotImplemented"),
    Answer.REDIRECT: (301, "PermanentRedirect"),
}
_DOES = frozenset({Answer.LOST_REPLY, Answer.DONE_THEN_500, Answer.DONE_THEN_HANG})


class ScriptedS3:
    """Use as an async context manager; `plan` may be extended while it runs."""

    def __init__(
        self,
        *,
        bucket: str = "bucket",
        page_keys_max: int = 1000,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.bucket = bucket
        self.page_keys_max = page_keys_max
        self.objects: dict[str, bytes] = {}
        self.plan: list[Planned] = []
        self.requests: list[Request] = []
        self.endpoint = ""
        self.conditions_honoured = True
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ScriptedS3:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        scheme = "https" if self._tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def count(self, method: str, part: str = "") -> int:
        """Requests so far."""
        return sum(r.method == method and part in r.path for r in self.requests)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request, body = await _read_request(reader)
                self.requests.append(request)
                if not await self._answer(request, body, writer):
                    return
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, request: Request, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Returns whether the connection goes on."""
        answer = self._next_planned(request)
        served = self._do(request, body) if answer is None or answer in _DOES else b""
        if answer is None:
            writer.write(served)
        elif answer in _ERRORS:
            writer.write(_error(*_ERRORS[answer]))
        elif answer is Answer.WEB_PAGE:
            writer.write(_reply(200, b"<html>Console</html>"))
        elif answer in (Answer.HANG, Answer.DONE_THEN_HANG):
            await asyncio.get_running_loop().create_future()
        else:
            return False
        return True

    def _next_planned(self, request: Request) -> Answer | None:
        for at, planned in enumerate(self.plan):
            if planned.method == request.method and planned.part in request.path:
                left = planned.times - 1
                self.plan[at : at + 1] = [planned._replace(times=left)] * (left > 0)
                return planned.answer
        return None

    def _do(self, request: Request, body: bytes) -> bytes:
        path, _, query = request.path.partition("?")
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        if bucket != self.bucket:
            return _error(404, "NoSuchBucket")
        if request.method == "GET" and not key:
            return self._list({name: values[0] for name, values in parse_qs(query).items()})
        if request.method == "PUT":
            return self._put(key, request, body)
        if request.method == "DELETE":
            self.objects.pop(key, None)
            return _reply(204)
        return self._get(key, request)

    def _put(self, key: str, request: Request, body: bytes) -> bytes:
        conditional = self.conditions_honoured and "if-none-match" in request.headers
        if conditional and key in self.objects:
            return _error(412, "PreconditionFailed")
        self.objects[key] = body
        return _reply(200, b"", 'ETag: "e"')

    def _get(self, key: str, request: Request) -> bytes:
        if key not in self.objects:
            return _error(404, "NoSuchKey", head=request.method == "HEAD")
        stored = self.objects[key]
        about = f'ETag: "e"\r\nLast-Modified: {_HTTP_STAMP}'
        if request.method == "HEAD":
            return _reply(200, None, f"{about}\r\nContent-Length: {len(stored)}")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if wanted is None:
            return _reply(200, stored, about)
        start = int(wanted[1])
        end = min(int(wanted[2] or len(stored)) + 1, len(stored))
        if start >= len(stored):
            return _error(416, "InvalidRange")
        about += f"\r\nContent-Range: bytes {start}-{end - 1}/{len(stored)}"
        return _reply(206, stored[start:end], about)

    def _list(self, query: dict[str, str]) -> bytes:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        rows: dict[str, str] = {}
        for key in sorted(self.objects):
            if not key.startswith(prefix):
                continue
            head, slash, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            name = prefix + head + slash if slash else key
            if name > after:
                rows[name] = (
                    f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
                    if slash
                    else f"<Contents><Key>{escape(key)}</Key><LastModified>{_STAMP}</LastModified>"
                    f"<ETag>e</ETag><Size>{len(self.objects[key])}</Size></Contents>"
                )
        page = list(rows)[: self.page_keys_max]
        more = len(rows) > len(page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        body = (
            f"<ListBucketResult><Name>{self.bucket}</Name><IsTruncated>{str(more).lower()}"
            f"</IsTruncated><KeyCount>{len(page)}</KeyCount>{token}"
            f"{''.join(rows[name] for name in page)}</ListBucketResult>"
        )
        return _reply(200, body.encode())


async def _read_request(reader: asyncio.StreamReader) -> tuple[Request, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers), body


def _reply(status: int, body: bytes | None = b"", *headers: str) -> bytes:
    """`body` None: the headers state the length of what is not sent (HEAD)."""
    lines = [f"HTTP/1.1 {status} X", *headers]
    if body is not None and status != 204:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def _error(status: int, code: str, *, head: bool = False) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>scripted</Message></Error>".encode()
    return _reply(status, b"" if head else body)
