"""What is counted of a logstore, and the pages that show it where one runs alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from gateway.metrics.http_server import HttpServer, Page
from gateway.metrics.table import Sample
from gateway.metrics.text import CONTENT_TYPE, text_of

if TYPE_CHECKING:
    import socket

    from gateway.logstores.hosted import HostedLogstore


class LogstorePages:
    """`listen`, then `close`."""

    def __init__(self, hosted: HostedLogstore) -> None:
        self._hosted = hosted
        self._server = HttpServer(
            {"/metrics": self._metrics, "/livez": self._well, "/readyz": self._well}
        )

    async def listen(self, listener: socket.socket) -> None:
        await self._server.start(partial(asyncio.start_server, sock=listener))

    async def close(self) -> None:
        await self._server.close()

    def _metrics(self) -> Page:
        return Page(200, text_of(logstore_samples(self._hosted)), CONTENT_TYPE)

    def _well(self) -> Page:
        return Page(200, b"ok\n")


def logstore_samples(hosted: HostedLogstore) -> Iterator[Sample]:
    """Of the one in this process."""
    served = hosted.served
    store, service, scrub = served.store, served.service, served.scrub
    yield Sample("woodpecker_logstore_held_bytes", store.held_bytes)
    yield Sample("woodpecker_logstore_limit_bytes", store.bytes_max)
    yield Sample("woodpecker_logstore_full", store.is_full)
    yield Sample("woodpecker_logstore_logs", store.logs_count)
    yield Sample("woodpecker_logstore_logs_damaged", store.damaged_logs_count)
    yield Sample("woodpecker_logstore_blocks_damaged", len(scrub.damaged))
    yield Sample("woodpecker_logstore_scrubbed_bytes_total", scrub.looked_bytes)
    yield Sample("woodpecker_logstore_connections", service.connections_count)
    yield Sample("woodpecker_logstore_connections_refused_total", service.refused_count)
    yield Sample("woodpecker_logstore_in_flight_bytes", service.used_bytes)
    yield Sample("woodpecker_logstore_sync_seconds", served.synced.seconds)
    yield Sample("woodpecker_logstore_sync_bytes", served.synced.sizes)
