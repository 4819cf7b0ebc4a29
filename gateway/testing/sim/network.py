"""Connections between simulated clients and gateways: ordered both ways, late, and easily cut.

A link is one TCP connection. Bytes of either direction arrive in order, in pieces, after a delay.
Cutting it takes effect at once for the client and a little later for the gateway, which may still
receive what was under way. A gateway that dies takes its links with it; one that is paused keeps
them, and what arrives waits.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gateway.testing.conversation import Asked, Conversation, Disorder, cut_frames
from wal_core.testing.seeds import Random, stream

if TYPE_CHECKING:
    from gateway.net.connection import Connection
    from gateway.testing.sim.node import Node

ORDER_S = 1e-6  # between two arrivals of one direction: events of one instant have no order
SPLIT_SHARE = 0.15  # of the frames that arrive in two pieces


class Network:
    """How slow the wires are, and every link there is."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.slow: list[float] = []  # factors in force; the worst one counts
        self.links: list[Link] = []
        self.answered: Callable[[Node, Asked, Any], None] = lambda node, request, reply: None
        self.disorder: Callable[[str], None] = lambda what: None
        self.cuts: list[frozenset[int]] = []  # pairs of nodes that do not reach each other
        self._made_count = 0

    def is_cut(self, one: int, other: int) -> bool:
        return {one, other} in self.cuts

    def stream_of(self, client: str) -> tuple[str, Random]:
        """Name and random numbers of its next link."""
        self._made_count += 1
        name = f"{client}#{self._made_count}"
        return name, stream(self.seed, "link", client, self._made_count)

    def link(self, client: str, node: Node) -> Link:
        link = Link(self, node, *self.stream_of(client))
        self.links.append(link)
        return link

    def node_died(self, node: Node) -> None:
        for link in [link for link in self.links if link.node is node]:
            link.server_gone()


class Link:
    """See the module. The client's side of it; `lost` is settled when it is over."""

    def __init__(self, network: Network, node: Node, name: str, rng: Random) -> None:
        self.node = node
        self.name = name
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.conversation = Conversation()
        self._network = network
        self._rng = rng
        self._loop = loop
        self._transport: _ServerTransport | None = None
        self._there_s = self._back_s = 0.0
        self._after(self._delay_s(), self._connect)

    # the client's side

    def send(self, frame: bytes) -> None:
        """Put a request on the wire."""
        cut = len(frame)
        if self._rng.random() < SPLIT_SHARE:
            cut = self._rng.randrange(1, len(frame))
        for piece in (frame[:cut], frame[cut:]):
            if piece:
                self._there_s = max(self._there_s + ORDER_S, self._loop.time() + self._delay_s())
                self._at(self._there_s, self._arrive, piece)

    def cut(self, server_after_s: float = 0.0) -> None:
        """End it: now for the client, later for the gateway."""
        self._lose()
        when_s = self._loop.time() + server_after_s
        self._there_s = max(self._there_s + ORDER_S, when_s)
        self._at(self._there_s, self._hang_up)

    # the wires

    def _delay_s(self) -> float:
        slowness = max(self._network.slow, default=1.0)
        return (0.0002 + self._rng.expovariate(1 / 0.001)) * slowness

    def _after(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        self._loop.call_later(delay_s, act, *args, context=contextvars.Context())

    def _at(self, when_s: float, act: Callable[..., None], *args: Any) -> None:
        self._loop.call_at(when_s, act, *args, context=contextvars.Context())

    def _connect(self) -> None:
        if self.lost.done():
            return
        if not self.node.is_listening:
            self._lose()
            return
        self._transport = _ServerTransport(self)
        self.node.process.call(self._transport.accept)
        self.opened.set_result(None)

    def _arrive(self, piece: bytes) -> None:
        if self._transport is not None and self.node.process.alive:
            self.node.process.call(self._transport.feed, piece)

    def _hang_up(self) -> None:
        if self._transport is not None and self.node.process.alive:
            self.node.process.call(self._transport.lose)

    def answer(self, frame: bytes) -> None:
        """The gateway sent a reply; its step, so the promises about sending are checked here."""
        try:
            wanted, body = self.conversation.told(frame)
        except Disorder as error:
            self._network.disorder(f"{self.name} got {error}")
            return
        self._network.answered(self.node, wanted, body)
        self._back_s = max(self._back_s + ORDER_S, self._loop.time() + self._delay_s())
        self._at(self._back_s, self._deliver, wanted.reply, body)

    def _deliver(self, reply: asyncio.Future[Any], body: Any) -> None:
        if not self.lost.done() and not reply.done():
            reply.set_result(body)

    def server_gone(self) -> None:
        """The gateway closed it, or died: the client learns it after what was sent before."""
        self._transport = None
        self._back_s = max(self._back_s + ORDER_S, self._loop.time() + self._delay_s())
        self._at(self._back_s, self._lose)

    def _lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
            self._network.links.remove(self)


class _ServerTransport(asyncio.Transport):
    """The gateway's end. All its methods run as steps of the gateway's process."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._connection: Connection | None = None
        self._inbox = bytearray()  # what the kernel holds while reading is paused
        self._out = bytearray()
        self._is_paused = self._closing = self._lost = False

    def accept(self) -> None:
        gateway = self._link.node.gateway
        if gateway is None or not self._link.node.is_listening:
            self._link.server_gone()
            return
        self._connection = gateway.connection()
        self._connection.connection_made(self)

    def feed(self, piece: bytes) -> None:
        self._inbox += piece
        self._deliver()

    def _deliver(self) -> None:
        while self._inbox and not self._is_paused and not self._closing and self._connection:
            room = self._connection.get_buffer(-1)
            count = min(len(room), len(self._inbox))
            room[:count] = self._inbox[:count]
            del self._inbox[:count]
            self._connection.buffer_updated(count)

    def lose(self) -> None:
        """The connection is gone, whoever ended it."""
        if not self._lost and self._connection is not None:
            self._closing = self._lost = True
            self._connection.connection_lost(None)

    # what a Connection asks of its transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 40_000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The peer reads everything at once."""

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        self.writelines([data])

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        if self._closing or not self._link.node.process.alive:
            return
        for piece in list_of_data:
            self._out += piece
        for frame in cut_frames(self._out):
            self._link.answer(frame)

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self._link.node.process.call(self._deliver)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._end()

    def abort(self) -> None:
        self._end()

    def _end(self) -> None:
        if self._closing:
            return
        self._closing = True
        process = self._link.node.process
        if process.alive:
            self._link.server_gone()
            process.call(self.lose)
