"""Connections on a loop with virtual time: bytes come late, cut anywhere; links break or go silent.

What was sent before a link breaks may arrive at one end and not at the other. No sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from wal_core.logstore.remote import Dial
from wal_core.testing.seeds import Random

HIGH_BYTES = 64 * 1024
"""So much may be on its way before its sender is asked to wait."""


class SimLinks:
    """Whoever dials gets a connection to what `accept` makes."""

    def __init__(
        self,
        accept: Callable[[], asyncio.BufferedProtocol],
        rng: Random,
        *,
        latency_s_max: float = 0.001,
        piece_bytes_max: int = 20_000,
    ) -> None:
        self.accept = accept
        self.is_refusing = self.is_silent = False
        self.latency_s_max = latency_s_max
        self.piece_bytes_max = piece_bytes_max
        self.rng = rng
        self.ends: list[_End] = []
        self.dials_count = 0

    def dial(self) -> Dial:
        """For a client."""

        async def connect(protocol: Callable[[], asyncio.BaseProtocol]) -> object:
            self.dials_count += 1
            await asyncio.sleep(self.rng.random() * self.latency_s_max)
            if self.is_refusing:
                raise ConnectionRefusedError("nobody listens")
            client = protocol()
            assert isinstance(client, asyncio.BufferedProtocol)
            here, there = _End(self, client), _End(self, self.accept())
            here.peer, there.peer = there, here
            self.ends += (here, there)
            there.protocol.connection_made(there)
            here.protocol.connection_made(here)
            return here

        return connect

    def cut(self) -> None:
        """All that is on its way is lost, both ends are told."""
        for end in self.ends:
            end.lose(ConnectionResetError("the link broke"))
        self.ends.clear()


class _End(asyncio.Transport):
    """One end's view."""

    peer: _End

    def __init__(self, links: SimLinks, protocol: asyncio.BufferedProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self._links = links
        self._loop = asyncio.get_running_loop()
        self._coming: deque[bytes] = deque()
        self._inbox = bytearray()
        self._arrives_s = 0.0  # nothing overtakes what was sent before
        self._is_paused = self._is_over = self._waits = False
        self.writes_count = 0

    @property
    def unread_bytes(self) -> int:
        """That were sent from here and not taken there."""
        return len(self.peer._inbox)

    # what a protocol asks of its transport

    def write(self, data: Any) -> None:
        self.writelines([data])

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        if self._is_over:
            return
        self.writes_count += 1
        sent = b"".join(list_of_data)
        rng, links = self._links.rng, self._links
        at = 0
        while at < len(sent):
            count = rng.randrange(1, links.piece_bytes_max + 1)
            delay_s = rng.random() * links.latency_s_max
            self._arrives_s = max(self._arrives_s, self._loop.time() + delay_s)
            self.peer._coming.append(sent[at : at + count])
            self._loop.call_at(self._arrives_s, self.peer.arrive)
            at += count

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self._loop.call_soon(self._deliver)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self._is_over

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._is_over:
            self.lose(None)
            self._loop.call_later(
                self._links.latency_s_max, self.peer.lose, ConnectionResetError("the peer ended it")
            )

    # what happens to it

    def arrive(self) -> None:
        piece = self._coming.popleft()  # timers of one moment come in any order
        if not self._is_over and not self._links.is_silent:
            self._inbox += piece
            self._deliver()
            if len(self._inbox) > HIGH_BYTES and not self.peer._waits:
                self.peer._waits = True
                self.peer.protocol.pause_writing()

    def _deliver(self) -> None:
        while self._inbox and not self._is_paused and not self._is_over:
            room = memoryview(self.protocol.get_buffer(-1))
            count = min(len(room), len(self._inbox))
            room[:count] = self._inbox[:count]
            del self._inbox[:count]
            self.protocol.buffer_updated(count)
        if self.peer._waits and len(self._inbox) < HIGH_BYTES and not self.peer._is_over:
            self.peer._waits = False
            self.peer.protocol.resume_writing()

    def lose(self, error: Exception | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._inbox.clear()
            self._loop.call_soon(self.protocol.connection_lost, error)
