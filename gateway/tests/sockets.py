"""A socket that is two lists of bytes, with a peer that a test drives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from gateway.net.connection import Connection


class FakeTransport(asyncio.Transport):
    """A socket with a peer that reads everything at once, unless `stall` stops it.

    What the peer sent while reading is paused waits in `inbox`, as it would in the kernel.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.loop = asyncio.get_running_loop()
        self.inbox = bytearray()
        self.taken = bytearray()  # by the peer
        self.unsent = bytearray()
        self.on_taken: Callable[[], None] = lambda: None
        self.chunk_bytes = 1 << 30  # the most that one read gives
        self.high_bytes = 64 * 1024
        self.stalled = False
        self.is_paused = False
        self.pauses_count = 0
        self.writing_paused = False
        self.lost = False
        self._closing = False

    # the gateway's side

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 40_000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high_bytes = high

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def write(self, data: Any) -> None:
        self.writelines([data])

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        assert not self._closing, "written to after close"
        for piece in list_of_data:
            self.unsent += piece
        if not self.stalled:
            self._flush()
        elif len(self.unsent) > self.high_bytes and not self.writing_paused:
            self.writing_paused = True
            self.connection.pause_writing()

    def pause_reading(self) -> None:
        assert not self._closing
        assert not self.is_paused
        self.is_paused = True
        self.pauses_count += 1

    def resume_reading(self) -> None:
        assert not self._closing
        assert self.is_paused
        self.is_paused = False
        self.loop.call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self.unsent:
                self.loop.call_soon(self.lose)

    def abort(self) -> None:
        self._closing = True
        self.unsent.clear()
        self.loop.call_soon(self.lose)

    # the peer's side

    def send(self, data: bytes | bytearray | memoryview) -> None:
        self.inbox += data
        self._deliver()

    def _deliver(self) -> None:
        while self.inbox and not self.is_paused and not self._closing:
            room = self.connection.get_buffer(-1)
            assert room, "nowhere to read to"
            count = min(len(room), len(self.inbox), self.chunk_bytes)
            room[:count] = self.inbox[:count]
            del self.inbox[:count]
            self.connection.buffer_updated(count)

    def stall(self) -> None:
        """The peer reads no more."""
        self.stalled = True

    def take(self, count: int | None = None) -> None:
        """The peer reads `count` bytes, or all and from now on everything at once."""
        if count is None:
            self.stalled = False
        self._flush(count)

    def _flush(self, count: int | None = None) -> None:
        count = len(self.unsent) if count is None else count
        self.taken += self.unsent[:count]
        del self.unsent[:count]
        if self.writing_paused and len(self.unsent) <= self.high_bytes // 4:
            self.writing_paused = False
            self.connection.resume_writing()
        self.on_taken()
        if self._closing and not self.unsent:
            self.loop.call_soon(self.lose)

    def lose(self) -> None:
        """The connection is gone, whoever ended it."""
        if not self.lost:
            self._closing = self.lost = True
            self.connection.connection_lost(None)
