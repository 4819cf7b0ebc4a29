"""All of it together: what counts pauses, what knows how things stand, and the pages over HTTP."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from gateway.metrics.collecting import Sources, collect
from gateway.metrics.health import Health
from gateway.metrics.http_server import HttpServer, Page
from gateway.metrics.pauses import Pauses
from gateway.metrics.text import CONTENT_TYPE, text_of

if TYPE_CHECKING:
    import socket

    from gateway.broker.broker import Broker
    from gateway.groups import GroupCoordinators
    from gateway.logstores.hosted import HostedLogstore
    from gateway.net.hub import Hub
    from gateway.settings.config import Config
    from wal_core import SegmentStore


class Monitor:
    """`listen` first, so that probes are answered during a long start; `watch` once the gateway
    serves; `stopping` when it no longer does; `close`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pauses = Pauses()
        self._sources: Sources | None = None
        self._server = HttpServer(
            {"/metrics": self._metrics, "/livez": self._livez, "/readyz": self._readyz}
        )

    async def listen(self, listener: socket.socket) -> None:
        await self._server.start(partial(asyncio.start_server, sock=listener))

    def watch(
        self,
        hub: Hub,
        broker: Broker,
        groups: GroupCoordinators,
        store: SegmentStore,
        logstore: HostedLogstore | None = None,
    ) -> None:
        health = Health(self._config, broker, store)
        self._sources = Sources(hub, broker, groups, store, health, self._pauses, logstore)
        health.start()
        self._pauses.start()

    async def stopping(self) -> None:
        """Nothing is asked of the store any more."""
        if self._sources is not None:
            self._sources.health.is_stopping = True
            await self._sources.health.stop()

    async def close(self) -> None:
        await self._server.close()
        self._pauses.stop()

    def _metrics(self) -> Page:
        if self._sources is None:
            return Page(503, b"the gateway starts\n")
        return Page(200, text_of(collect(self._sources)), CONTENT_TYPE)

    def _livez(self) -> Page:
        return Page(200, b"ok\n")

    def _readyz(self) -> Page:
        if self._sources is None:
            return Page(503, b"the gateway starts\n")
        problems = self._sources.health.problems()
        if problems:
            return Page(503, "".join(f"{problem}\n" for problem in problems).encode())
        return Page(200, b"ok\n")
