"""Just enough HTTP/1.1 to pass messages on byte for byte and to know what they are about."""

import asyncio
import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

_HEAD_END = b"\r\n\r\n"
_BODILESS = frozenset({204, 304})


class Message(NamedTuple):
    """A request or a response as it came, its chunked framing included."""

    head: bytes
    body: bytes

    @property
    def first_line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode("latin-1")

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.first_line.split(" ", 2)[1])


class Request(NamedTuple):
    """What S3 is asked: method LIST is a GET of the bucket, whose key is the prefix asked for."""

    method: str
    key: str

    @classmethod
    def of(cls, message: Message) -> "Request":
        method, target, _ = message.first_line.split(" ", 2)
        path, _, query = target.partition("?")
        _bucket, _, key = unquote(path).lstrip("/").partition("/")
        if method == "GET" and not key:
            return cls("LIST", parse_qs(query).get("prefix", [""])[0])
        return cls(method, key)


async def read_message(reader: asyncio.StreamReader, *, answers: str = "") -> Message | None:
    """The next one, or None when the peer has closed. `answers`: the method of the request that
    the message is the response to.
    """
    try:
        head = await reader.readuntil(_HEAD_END)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    bodiless = answers == "HEAD" or (answers and Message(head, b"").status in _BODILESS)
    return Message(head, b"" if bodiless else await _read_body(reader, head, bool(answers)))


async def _read_body(reader: asyncio.StreamReader, head: bytes, response: bool) -> bytes:
    if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
        return await _read_chunks(reader)
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    if length is not None:
        return await reader.readexactly(int(length[1]))
    return await reader.read() if response else b""


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    raw = bytearray()
    while True:
        line = await reader.readline()
        raw += line
        size = int(line.partition(b";")[0], 16)
        raw += await reader.readexactly(size + 2)
        if size == 0:
            return bytes(raw)


def error_response(status: int, code: str) -> bytes:
    """As S3 would say it."""
    body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
