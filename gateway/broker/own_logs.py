"""The broker's logs as its node opens, releases and checks them, told by the cluster."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from gateway.cluster.view import CATALOG_LOG_ID

if TYPE_CHECKING:
    from gateway.broker.broker import Broker


class BrokerLogs:
    """What `gateway.cluster.member.OwnLogs` asks for."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def log_ids(self) -> Collection[int]:
        """Catalog, those that new topics go to, and others that topics lie on."""
        broker = self._broker
        return {CATALOG_LOG_ID, *broker.logs.for_new, *broker.topics.next_stream_ids}

    def term_of(self, log_id: int) -> int | None:
        return self._broker.logs.term_of(log_id)

    async def open(self, log_id: int) -> int:
        return await self._broker.open_log(log_id)

    async def release(self, log_id: int) -> None:
        await self._broker.release_log(log_id)

    async def check(self, log_id: int) -> None:
        await self._broker.logs.check(log_id)
