"""Logs that a node of a cluster has taken over, until it has read the catalog since.

What it knew before may be older than the log: a topic that it knows may be gone by now, its streams
dropped by the log's last owner, and its tombstone, which everybody had served, forgotten. A stream
begun for that would be nobody's for ever, and what it takes lost to the topic that has the name
today. So a log serves what has begun in it, and begins nothing, until a look at the catalog comes
to its end that began when the log was open (`OwnedLog.may_serve`). Whatever is gone after that is
gone by a tombstone that waits for this owner.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.observe.logger import log_event
from wal_core import WalError

if TYPE_CHECKING:
    from gateway.broker.catalog import Catalog
    from gateway.broker.owned_log import OwnedLog

logger = logging.getLogger(__name__)

LOOK_S_MAX = 3.0  # for one look; then another begins
AGAIN_S = 0.25
"""After a look that failed at once, as while the catalog changes hands."""


class TakeOvers:
    """`serve` each log that is opened, `stop` at the end. `attach`: whatever may be served is
    served."""

    def __init__(self, catalog: Catalog, attach: Callable[[], Awaitable[None]]) -> None:
        self._catalog = catalog
        self._attach = attach
        self._reading: set[asyncio.Task[None]] = set()

    async def serve(self, owned: OwnedLog, timeout_s: float) -> None:
        """Serve what has begun on the log, and all that lies there once the catalog has been read:
        before this returns, unless the time is over; then as soon as it can be."""
        await self._attach()
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._read(owned), name="a log taken over")
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
        await asyncio.wait((task,), timeout=timeout_s)
        if owned.is_serving and not owned.has_read_catalog:
            log_event(
                logger, logging.WARNING, "catalog not read since a log was opened", log=owned.log_id
            )

    async def _read(self, owned: OwnedLog) -> None:
        while owned.is_serving and not owned.has_read_catalog:
            try:
                # Not `look`: who only believes that it writes the catalog knows the oldest of all.
                await self._catalog.prove(LOOK_S_MAX)
                owned.has_read_catalog = True
            except (WalError, TimeoutError):
                await asyncio.sleep(AGAIN_S)
        await self._attach()

    async def stop(self) -> None:
        """Nothing more is begun that was not."""
        tasks = list(self._reading)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
