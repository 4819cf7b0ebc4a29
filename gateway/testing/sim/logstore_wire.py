"""Connections between gateways and logstores, each a simulated process: late, cut, and broken.

Bytes of either direction arrive in order, in pieces, after a delay. A cut is noticed by nobody:
what is sent meanwhile arrives once it has healed, or never, and then nothing behind it does.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from wal_core.logstore.remote import Dial
from wal_core.testing.seeds import Random, stream
from wal_core.testing.sim_process import Process

ORDER_S = 1e-6  # between two arrivals of one direction: events of one instant have no order
SPLIT_SHARE = 0.1  # of what is sent at once arrives in two pieces
EVERYBODY = ""


class Listener(Protocol):
    """A logstore."""

    process: Process
    is_listening: bool

    def accept(self) -> asyncio.BufferedProtocol: ...


class LogstoreWires:
    """How slow the wires are, which are cut, and every link there is."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self.listeners: dict[str, Listener] = {}
        """By host."""
        self.slow: dict[str, float] = {}  # factors, by host
        self._seed = seed
        self._loop = loop
        self._links: list[_Link] = []
        self._cuts: dict[tuple[str, str], bool] = {}  # process and host; whether bytes are kept
        self._dials_count = 0

    def dial(self, process: Process) -> Callable[[str, int], Dial]:
        """As `wal_core.dial`, for that process."""

        def to(host: str, port: int) -> Dial:
            async def connect(protocol: Callable[[], asyncio.BaseProtocol]) -> object:
                return await self._connect(process, host, protocol)

            return connect

        return to

    async def _connect(
        self, process: Process, host: str, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> object:
        self._dials_count += 1
        rng = stream(self._seed, "logstore link", self._dials_count)
        await asyncio.sleep(self.delay_s(host, rng))
        if self.cut_of(process, host) is not None:
            await self._loop.create_future()  # who waits has a deadline
        listener = self.listeners[host]
        if not (listener.is_listening and listener.process.alive):
            raise ConnectionRefusedError("nobody listens there")
        client = protocol()
        assert isinstance(client, asyncio.BufferedProtocol)
        link = _Link(self, process, listener, host, rng)
        self._links.append(link)
        link.here.protocol = client
        client.connection_made(link.here)
        return link.here

    def delay_s(self, host: str, rng: Random) -> float:
        return (0.0002 + rng.expovariate(1 / 0.0005)) * self.slow.get(host, 1.0)

    # -- faults ----------------------------------------------------------------------------

    def cut(self, who: str, host: str, *, keeps: bool) -> None:
        """`who` is a process' name, or EVERYBODY; `keeps`: what is sent arrives in the end."""
        self._cuts[who, host] = keeps

    def heal(self, who: str, host: str) -> None:
        self._cuts.pop((who, host), None)
        for link in self._links:
            link.flow()

    def heal_all(self) -> None:
        self._cuts.clear()
        self.slow.clear()
        for link in self._links:
            link.flow()

    def cut_of(self, process: Process, host: str) -> bool | None:
        """Whether bytes are kept; None: it is not cut."""
        everybody = self._cuts.get((EVERYBODY, host))
        return self._cuts.get((process.name, host), everybody)

    def process_died(self, process: Process, *, silently: bool = False) -> None:
        """Its peers are told, unless it died with its machine."""
        for link in self._links:
            for end in (link.here, link.there):
                if end.process is process and not end.is_over:
                    end.is_over = True
                    if not silently:
                        end.send(None)
        self._links = [link for link in self._links if not link.is_over]


class _Link:
    """One connection."""

    def __init__(
        self, wires: LogstoreWires, process: Process, listener: Listener, host: str, rng: Random
    ) -> None:
        self.wires = wires
        self.host = host
        self.rng = rng
        self.here = _End(self, process)
        self.there = _End(self, listener.process)
        self.here.peer, self.there.peer = self.there, self.here
        self._is_dead = False
        self._kept: list[tuple[_End, bytes | None]] = []
        self.there.process.call(self._accept, listener)

    @property
    def is_over(self) -> bool:
        return self.here.is_over and self.there.is_over

    def _accept(self, listener: Listener) -> None:
        if self.there.is_over:
            return  # reset while it waited to be accepted
        self.there.protocol = protocol = listener.accept()
        protocol.connection_made(self.there)
        self.there.deliver()

    def arrived(self, end: _End, piece: bytes | None) -> None:
        """A step of the world."""
        kept = self.wires.cut_of(self.here.process, self.host)
        if self._is_dead:
            return
        if kept is None and not self._kept:
            end.take(piece)
        elif kept is False:
            self._is_dead = True
        else:
            self._kept.append((end, piece))

    def flow(self) -> None:
        """Nothing is in the way any more, or not here."""
        if self.wires.cut_of(self.here.process, self.host) is None:
            kept, self._kept = self._kept, []
            for end, piece in kept:
                end.take(piece)


class _End(asyncio.Transport):
    """One end's view. `None` on the wire is the connection's end."""

    peer: _End
    protocol: asyncio.BufferedProtocol | None = None
    """None: it is not accepted yet, by a process that stands still."""

    def __init__(self, link: _Link, process: Process) -> None:
        super().__init__()
        self.process = process
        self.is_over = False
        self._link = link
        self._inbox = bytearray()
        self._arrives_s = 0.0
        self._is_paused = False

    # what a protocol asks of its transport

    def write(self, data: Any) -> None:
        self.writelines([data])

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        sent = b"".join(list_of_data)
        if self.is_over or not self.process.alive or not sent:
            return
        cut = len(sent)
        if self._link.rng.random() < SPLIT_SHARE:
            cut = self._link.rng.randrange(1, len(sent) + 1)
        for piece in (sent[:cut], sent[cut:]):
            if piece:
                self.send(piece)

    def send(self, piece: bytes | None) -> None:
        """Put it on the wire."""
        link, loop = self._link, self._link.wires._loop
        delay_s = link.wires.delay_s(link.host, link.rng)
        self._arrives_s = max(self._arrives_s + ORDER_S, loop.time() + delay_s)
        loop.call_at(self._arrives_s, link.arrived, self.peer, piece, context=contextvars.Context())

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self.process.call(self.deliver)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.is_over and self.process.alive:
            self.is_over = True
            self.send(None)
            self.process.call(self._lost, None)

    # what happens to it

    def take(self, piece: bytes | None) -> None:
        """A step of the world."""
        if self.is_over or not self.process.alive:
            return
        if piece is None:
            self.is_over = True
            self.process.call(self._lost, ConnectionResetError("the peer ended it"))
        else:
            self.process.call(self._arrive, piece)

    def _arrive(self, piece: bytes) -> None:
        self._inbox += piece
        self.deliver()

    def deliver(self) -> None:
        protocol = self.protocol
        while protocol is not None and self._inbox and not self._is_paused and not self.is_over:
            room = memoryview(protocol.get_buffer(-1))
            count = min(len(room), len(self._inbox))
            room[:count] = self._inbox[:count]
            del self._inbox[:count]
            protocol.buffer_updated(count)

    def _lost(self, error: Exception | None) -> None:
        self._inbox.clear()
        if self.protocol is not None:
            self.protocol.connection_lost(error)
