"""A store as a supervisor has it, and one worker's way to it, in one loop."""

from __future__ import annotations

import asyncio
import socket

from gateway.cluster.coordination.shared import SharedStore
from gateway.cluster.coordination.shared_server import StoreLink
from gateway.cluster.coordination.static import StaticStore


class Pair:
    """A store, and one worker's way to it."""

    def __init__(self) -> None:
        self.static = StaticStore()
        self.told: list[str] = []
        self.gone = asyncio.Event()

    async def start(self, call_s_max: float = 10.0) -> Pair:
        ours, theirs = socket.socketpair()
        self.link = StoreLink(
            self.static,
            ready=lambda: self.told.append("ready"),
            silent=lambda: self.told.append("silent"),
        )
        self.serving = asyncio.create_task(self.link.serve(ours))
        self.store = await SharedStore.join(theirs, self.gone.set, call_s_max=call_s_max)
        return self

    async def stop(self) -> None:
        await self.store.close()
        await self.serving
        await self.static.close()
