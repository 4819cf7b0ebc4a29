"""A logstore that serves: its disk, the thread that writes it, its listener, and the look-out for
damage, as one thing to start and to end."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from wal_core.clock import Rng
from wal_core.logstore.logstore import Logstore
from wal_core.logstore.scrub import Scrub
from wal_core.logstore.service import Service
from wal_core.stores.segments.file_writer import SystemFileOps, ThreadFileWriter
from wal_core.tally import Written

BACKLOG_COUNT = 128


class ServedLogstore:
    """`start`, then `close`."""

    def __init__(
        self,
        root: Path,
        rng: Rng,
        *,
        bytes_max: int,
        free_bytes_min: int = 0,
        reserve_bytes: int = 0,
        scrub_bytes_per_s: int = 8 << 20,
    ) -> None:
        """See `Logstore` and `Scrub`."""
        self.synced = Written()
        """Groups of blocks that were written and synced."""
        self.store = Logstore(
            root,
            ThreadFileWriter(SystemFileOps(), synced=self.synced),
            rng,
            bytes_max=bytes_max,
            free_bytes_min=free_bytes_min,
            reserve_bytes=reserve_bytes,
        )
        self.service = Service(self.store)
        self.scrub = Scrub(self.store, bytes_per_s=scrub_bytes_per_s)
        self._server: asyncio.Server | None = None
        self._scrubbing: asyncio.Task[None] | None = None

    async def start(self, listener: socket.socket) -> None:
        """Find out what is held, then accept connections on a bound socket. Raises Unavailable for
        a folder that is in use or cannot be read, Corrupt for one that cannot say whose it is."""
        await self.store.open()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self.service.connection, sock=listener, backlog=BACKLOG_COUNT
        )
        self._scrubbing = loop.create_task(self.scrub.run(), name="scrub of a logstore")

    async def close(self) -> None:
        """What was taken is finished; answers may not arrive."""
        if self._server is not None:
            self._server.close()
        if self._scrubbing is not None:
            self._scrubbing.cancel()
            await asyncio.wait((self._scrubbing,))
        await self.service.close()
        await self.store.close()
