"""One TCP connection on which a test decides about every byte.

Messages are encoded and decoded by kafka-python's schemas, an implementation that shares nothing
with ours. A response must carry the right correlation id and must be used up to the last byte.
"""

import socket
import struct
from itertools import count
from typing import Any

from kafka.protocol.api_message import ApiMessage

API_VERSIONS = 18
TIMEOUT_S = 20.0


class Connection:
    def __init__(
        self, bootstrap: str, *, timeout_s: float = TIMEOUT_S, source: str | None = None
    ) -> None:
        """`source` is the address to come from: all of 127.0.0.0/8 is this machine."""
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection(
            (host, int(port)), timeout=timeout_s, source_address=(source, 0) if source else None
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation_ids = count(1)
        self._asked: dict[int, tuple[type[ApiMessage], int]] = {}

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_frame(self, frame: bytes) -> None:
        self.send_raw(framed(frame))

    def send(
        self,
        request: ApiMessage,
        version: int,
        *,
        client_id: str | None = "wire",
        surplus: bytes = b"",
    ) -> int:
        """Returns the correlation id; `surplus` follows the body inside the frame."""
        correlation_id = next(self._correlation_ids)
        # Noted first: where another thread receives, the answer can be quicker than the note.
        self._asked[correlation_id] = (response_class(request), version)
        self.send_frame(frame_of(request, version, correlation_id, client_id) + surplus)
        return correlation_id

    def receive_frame(self) -> bytes:
        (length,) = struct.unpack(">i", self._receive_exactly(4))
        assert 0 <= length <= 100 << 20, f"frame of {length} bytes"
        return self._receive_exactly(length)

    def _receive_exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = self.socket.recv(min(length - len(data), 1 << 20))
            if not part:
                raise ConnectionResetError(f"closed by the broker after {len(data)} of {length} B")
            data += part
        return bytes(data)

    def receive(self) -> tuple[int, Any]:
        """The next response, whatever it answers."""
        frame = self.receive_frame()
        (correlation_id,) = struct.unpack_from(">i", frame)
        assert correlation_id in self._asked, f"nobody asked {correlation_id}"
        kind, version = self._asked.pop(correlation_id)
        return correlation_id, decode(kind, version, frame)

    def call(self, request: ApiMessage, version: int, **options: Any) -> Any:
        asked = self.send(request, version, **options)
        correlation_id, body = self.receive()
        assert correlation_id == asked
        return body

    def closed_by_broker(self) -> bool:
        """Waits until the broker closes; False when it answers or says nothing instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def frame_of(
    request: ApiMessage, version: int, correlation_id: int = 1, client_id: str | None = "wire"
) -> bytes:
    """A request, header and body, without the length in front."""
    request.API_VERSION = version
    request.with_header(correlation_id, client_id)
    return bytes(request.encode(version=version, header=True))


def framed(frame: bytes) -> bytes:
    return struct.pack(">i", len(frame)) + frame


def response_class(request: ApiMessage) -> type[ApiMessage]:
    """`reply_class` of the request, or what kafka-python knows."""
    from kafka.protocol.api_header import ResponseClassRegistry

    kind: type[ApiMessage] = (
        getattr(request, "reply_class", None)
        or ResponseClassRegistry._response_class_registry[request.API_KEY]
    )
    return kind


def decode(kind: type[ApiMessage], version: int, frame: bytes) -> Any:
    """The body of a response frame; header v1 (empty tags) where the version is flexible."""
    flexible = kind.flexible_version_q(version)
    at = 4
    if flexible and kind.API_KEY != API_VERSIONS:
        assert frame[4] == 0, "response header with tagged fields"
        at = 5
    read = kind._struct.compiled_decode_from(
        version, compact=flexible, tagged=flexible, data_class=kind[None]
    )
    body, end = read(memoryview(frame), at)
    assert end == len(frame), f"{len(frame) - end} bytes after the {kind.__name__} v{version}"
    return body
