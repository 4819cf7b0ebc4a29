"""The composition root: one gateway, built of its components; it starts, drains and stops.

Stop: no new connections and requests, parked fetches are answered, what was read is finished within
`drain_ms`, the log confirms what is pending, then the connections close.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gateway.api import Services
from gateway.api.forwarding import ask_for_offsets_topic, tell_served
from gateway.broker.broker import Broker
from gateway.broker.fetch_sessions import FetchSessions
from gateway.broker.limits import BrokerLimits
from gateway.broker.metadata_records import ConfigsChanged
from gateway.broker.retention import Retention
from gateway.broker.topics import Topic
from gateway.cluster.controller_line import ControllerLine
from gateway.cluster.view import Node
from gateway.fairness.pace import Pace
from gateway.fairness.reply_budget import ReplyBudget
from gateway.fairness.threads import FairThreads
from gateway.groups import GroupCoordinators, group_config
from gateway.groups.coordinators import group_hash
from gateway.net.buffers import BlockPool, ByteBudget
from gateway.net.connection import Connection
from gateway.net.hub import ConnectionLimits, Hub
from gateway.settings.config import Config
from gateway.settings.log_settings import log_config
from wal_core import (
    Clock,
    Lane,
    Rng,
    SegmentStore,
    Unavailable,
)

if TYPE_CHECKING:
    from gateway.broker.membership import Membership, MembershipSettings
    from gateway.cluster.coordination.base import CoordinationStore

LOOKUPS_AT_ONCE_COUNT = 2  # batches looked into for ListOffsets; more would only take turns
FULL_DISK_PATIENCE_S = 1.0  # at stop
FLUSH_S_MIN = 0.1  # at stop: for replies that the sockets did not take at once


class _Journal:
    """The way of the groups of a log to their records: the topic's partition is known only once
    there are groups."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def append(
        self, group_id: str, records: Sequence[tuple[bytes, bytes | None]]
    ) -> Awaitable[None]:
        partition = self._broker.offsets_topic.partition(group_hash(group_id))
        if partition is None:
            raise Unavailable("there is no place for group records yet")
        return self._broker.offsets_topic.append(partition, records)


class Gateway:
    """One running gateway. `start`, then `connection` per client, then `stop`."""

    def __init__(
        self, config: Config, store: SegmentStore, node: Node, clock: Clock, rng: Rng
    ) -> None:
        self._config = config
        self._store = store
        self.log_config = log_config(config)
        """What follows from the settings; tests make segments smaller than any setting may."""
        self.broker = Broker(node, _broker_limits(config), clock, rng)
        self.groups = GroupCoordinators(
            group_config(config), self.broker.offsets_topic.log_of, clock=clock, rng=rng
        )
        self.broker.when_gone = self._topics_gone
        self._membership: Membership | None = None
        self.controller = ControllerLine(lambda: self.broker.cluster)
        self.broker.offsets_topic.ask = partial(ask_for_offsets_topic, self.controller)
        self.retention = Retention(self.broker, config.retention_check_interval_ms)
        self.lookups = FairThreads(Lane("lookups", LOOKUPS_AT_ONCE_COUNT), LOOKUPS_AT_ONCE_COUNT)
        self.hub = Hub(
            Services(
                config,
                self.broker,
                self.groups,
                self.lookups,
                Pace(),
                FetchSessions(
                    config.fetch_sessions_max_count, config.fetch_sessions_bytes_max, rng
                ),
                self.controller,
            ),
            ConnectionLimits(
                request_bytes_max=config.request_bytes_max,
                requests_in_flight_max_count=config.connection_requests_in_flight_max_count,
                buffered_bytes_max=config.connection_buffered_bytes_max,
                connections_max_count=config.connections_max_count,
                idle_max_ms=config.connections_max_idle_ms,
            ),
            # Blocks come back from the tail cache and from requests in flight.
            BlockPool(config.tail_cache_bytes + config.connection_buffered_bytes_max),
            ByteBudget(config.buffered_bytes_max),
            ReplyBudget(config.reply_bytes_max),
        )

    def _topics_gone(self, topics: Sequence[Topic]) -> None:
        for topic in topics:
            self.groups.topic_gone(topic.name, topic.id)

    def _act_on_configs(self, changed: ConfigsChanged) -> None:
        if changed.kind != "broker":
            return
        values = self.broker.configs.of_broker(self.broker.node.node_id)
        limit = int(values.get("max.connections", self._config.connections_max_count))
        self.hub.allow_connections(min(limit, self._config.connections_max_count))

    async def start(self) -> None:
        """Recover the data; requests may come after it returns."""
        self.broker.configs.watch(self._act_on_configs)
        journal = _Journal(self.broker)
        await self.broker.open(
            self._store, self.log_config, lambda log_id: self.groups.add(log_id, journal)
        )
        self.groups.start()
        # Stopped between a topic's deletion and that of its committed offsets.
        known = self.broker.topics.named
        await self.groups.topics_deleted(t for t in self.groups.topics() if known(t) is None)
        self.retention.start()

    async def start_in_cluster(
        self, coordination: CoordinationStore, settings: MembershipSettings, rng: Rng
    ) -> None:
        """Take part in the cluster that the bucket belongs to; requests may come after it returns,
        though logs may come later."""
        from gateway.broker.membership import Membership  # noqa: PLC0415 - for clusters alone

        membership = self._membership = Membership(self.broker, coordination, settings, rng)
        self.join(membership.lost)
        await membership.start()

    def join(self, when_lost: Callable[[int, BaseException], None]) -> None:
        """Be a node of a cluster, with no log yet: the broker opens and releases what it is told
        to. See `Broker.join`."""
        self.broker.configs.watch(self._act_on_configs)
        journal = _Journal(self.broker)
        self.broker.join(
            self._store,
            self.log_config,
            lambda log_id: self.groups.add(log_id, journal),
            when_lost,
        )
        self.broker.deletions.news.tell = partial(tell_served, self.controller)
        self.retention.start()

    def connection(self) -> Connection:
        """The protocol of one more client."""
        return Connection(self.hub)

    async def stop(self) -> None:
        """Drain, then let go of the log. What was acknowledged is durable already."""
        if self._membership is not None:
            await self._membership.leave(self._config.drain_ms / 1000)
            await self._membership.stop()
        hub = self.hub
        hub.stopping = True
        for connection in tuple(hub.connections):
            connection.stop_reading()
        self.broker.stop_waiting()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        deadline_s = began_s + self._patience_s()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline_s):
                await self.groups.close()
        await self.retention.stop()
        # One that ends may let others start, which were read and wait behind it.
        while (running := hub.running()) and (
            left_s := began_s + self._patience_s() - loop.time()
        ) > 0:
            await asyncio.wait(running, timeout=min(left_s, FULL_DISK_PATIENCE_S))
        for connection in tuple(hub.connections):
            connection.give_up()
        for task in tuple(hub.tasks):
            task.cancel()
        if hub.tasks:
            await asyncio.wait(tuple(hub.tasks))
        for connection in tuple(hub.connections):
            connection.close()
        # A client that is slow to read gets what is left of the time, and at least a moment.
        await hub.wait_all_gone(max(deadline_s - loop.time(), FLUSH_S_MIN))
        for connection in tuple(hub.connections):
            connection.abort()
        await self.broker.close()
        self.lookups.close()
        self.hub.bulk.close()
        self.hub.long_answers.close()
        self.hub.late_parts.close()

    def _patience_s(self) -> float:
        """How long a stop waits for what was read. What a full disk does not take was promised to
        nobody."""
        drain_s = self._config.drain_ms / 1000
        return min(drain_s, FULL_DISK_PATIENCE_S) if self.broker.is_room_spent else drain_s

    async def failed(self) -> None:
        """Returns never; raises WalError once no log can be served any more, or Refused for a node
        that may not take part."""
        if self._membership is not None:
            await self._membership.failed()
        await self.broker.logs.failed()


def _broker_limits(config: Config) -> BrokerLimits:
    return BrokerLimits(
        message_bytes_max=config.message_bytes_max,
        decompressed_bytes_max=config.decompressed_bytes_max,
        auto_create_topics=config.auto_create_topics,
        default_partitions_count=config.default_partitions_count,
        partitions_max_count=config.partitions_max_count,
        offsets_partitions_count=config.offsets_partitions_count,
        producer_state_bytes_max=config.producer_state_bytes_max,
        producer_id_expiration_ms=config.producer_id_expiration_ms,
        logs_count=config.logs_count,
    )
