"""A logstore in this process: as the settings say, and known to brokers by etcd."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.cluster.coordination.base import CoordinationError, CoordinationStore
from gateway.cluster.coordination.opening import open_store
from gateway.cluster.coordination.records import LogstoreRecord, logstores_root
from gateway.cluster.registration import Registration
from gateway.observe.logger import log_event
from gateway.settings.config import Config
from wal_core import Rng, ServedLogstore

logger = logging.getLogger(__name__)

LOAD_S = 10.0
"""How often its load is told."""


@asynccontextmanager
async def hosted_as_set(
    config: Config, rng: Rng, listener: socket.socket
) -> AsyncIterator[HostedLogstore]:
    """One that serves on a bound socket, registered where the settings name an etcd; until the end
    of the block. Raises as `HostedLogstore.start`, and ConfigError."""
    hosted = HostedLogstore(config, rng)
    coordination = open_store(config) if config.etcd is not None else None
    try:
        await hosted.start(listener, coordination)
        yield hosted
    finally:
        await hosted.close()
        listener.close()
        if coordination is not None:
            await coordination.close()


class HostedLogstore:
    """`start`, then `close`."""

    def __init__(self, config: Config, rng: Rng) -> None:
        assert config.logstore_data is not None
        self._config = config
        self.served = ServedLogstore(
            Path(config.logstore_data),
            rng,
            bytes_max=config.logstore_bytes_max,
            free_bytes_min=config.disk_free_bytes_min,
            reserve_bytes=config.disk_reserve_bytes,
            scrub_bytes_per_s=config.logstore_scrub_bytes_per_s,
        )
        self._address = (config.logstore_listen_host, 0)
        self._registration: Registration[LogstoreRecord] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, listener: socket.socket, coordination: CoordinationStore | None) -> None:
        """Serve on a bound socket, and be registered where there is anywhere to. Raises as
        `ServedLogstore.start`."""
        config = self._config
        host, port = listener.getsockname()[:2]
        self._address = (
            config.logstore_advertised_host or config.logstore_listen_host,
            config.logstore_advertised_port or port,
        )
        await self.served.start(listener)
        log_event(
            logger,
            logging.INFO,
            "logstore ready",
            host=host,
            port=port,
            data=config.logstore_data,
            disk=self.served.store.identity.disk.hex(),
        )
        if coordination is not None:
            self._register(coordination)

    def _register(self, coordination: CoordinationStore) -> None:
        config = self._config
        self._registration = Registration(
            coordination,
            logstores_root(config.etcd_prefix),
            self.record(),
            -(-config.node_lease_ms // 1_000),
            renewed=lambda: None,
        )
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._registration.run(), name="registration of a logstore"),
            loop.create_task(self._tell_load(self._registration), name="load of a logstore"),
        ]

    def record(self) -> LogstoreRecord:
        """What others are told."""
        store = self.served.store
        host, port = self._address
        return LogstoreRecord(
            store.identity.disk.hex(),
            host,
            port,
            rack=self._config.rack,
            cluster=store.identity.cluster,
            held_bytes=store.held_bytes,
            bytes_max=store.bytes_max,
            logs_count=store.logs_count,
            is_full=store.is_full,
        )

    async def _tell_load(self, registration: Registration[LogstoreRecord]) -> None:
        told = registration.record
        while True:
            await asyncio.sleep(LOAD_S)
            record = self.record()
            if record != told:
                # What cannot be told now is told later.
                with contextlib.suppress(CoordinationError):
                    await registration.change(record)
                    told = record

    async def close(self) -> None:
        """Brokers see at once that it is gone."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._registration is not None:
            await self._registration.end()
        await self.served.close()
