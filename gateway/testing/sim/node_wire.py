"""A connection of one simulated gateway to another one, as any client's, but that it can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.testing.sim.network import Link, Network
from protocol import Buffer
from wal_core.testing.seeds import Random

if TYPE_CHECKING:
    from gateway.testing.sim.node import Node


class NodeWire:
    """What a `ControllerLine` asks of its way to a node."""

    def __init__(self, link: NodeLink) -> None:
        self._link = link

    def write(self, pieces: Iterable[Buffer]) -> None:
        self._link.send(b"".join(pieces))

    async def read_frame(self) -> bytes:
        link = self._link
        await asyncio.wait((link.frame, link.lost), return_when=asyncio.FIRST_COMPLETED)
        if link.frame.done():
            return link.frame.result()
        raise EOFError("the connection ended")

    def close(self) -> None:
        if not self._link.lost.done():
            self._link.cut()


class NodeLink(Link):
    """One request and its reply, from one node to another; nothing arrives while the two are cut
    off from each other."""

    def __init__(self, network: Network, asker: Node, node: Node, name: str, rng: Random) -> None:
        super().__init__(network, node, name, rng)
        self.frame: asyncio.Future[bytes] = self._loop.create_future()
        self._asker = asker

    @property
    def _is_cut(self) -> bool:
        return self._network.is_cut(self._asker.node_id, self.node.node_id)

    def _connect(self) -> None:
        if not self._is_cut:
            super()._connect()

    def _arrive(self, piece: bytes) -> None:
        if not self._is_cut:
            super()._arrive(piece)

    def answer(self, frame: bytes) -> None:
        self._at(self._loop.time() + self._delay_s(), self._bring, frame)

    def _bring(self, frame: bytes) -> None:
        if not (self._is_cut or self.lost.done() or self.frame.done()):
            self.frame.set_result(frame)


async def connected(link: NodeLink) -> NodeWire:
    """Raises OSError where nobody listens; who is cut off waits."""
    await asyncio.wait((link.opened, link.lost), return_when=asyncio.FIRST_COMPLETED)
    if not link.opened.done():
        raise OSError("nobody listens there")
    return NodeWire(link)
