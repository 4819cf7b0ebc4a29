"""The composition root: builds the components, listens, serves, drains, stops.

Start: data first, then the socket: whoever can connect is served. Stop (SIGTERM, SIGINT): no new
connections and requests, parked fetches are answered, what was read is finished within `drain_ms`,
the log confirms what is pending, then the connections close.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.api import Services
from gateway.api.forwarding import ask_for_offsets_topic, tell_served
from gateway.broker.broker import Broker
from gateway.broker.fetch_sessions import FetchSessions
from gateway.broker.limits import BrokerLimits
from gateway.broker.membership import Membership, MembershipSettings
from gateway.broker.metadata_records import ConfigsChanged
from gateway.broker.retention import Retention
from gateway.broker.topics import Topic
from gateway.cluster.controller_line import ControllerLine
from gateway.cluster.coordination.base import CoordinationError, CoordinationStore
from gateway.cluster.coordination.opening import open_store as open_coordination
from gateway.cluster.coordination.shared import SharedStore
from gateway.cluster.neighbours import connect_tcp
from gateway.cluster.ownership import MoveRules
from gateway.cluster.view import Node
from gateway.fairness.pace import Pace
from gateway.fairness.reply_budget import ReplyBudget
from gateway.fairness.threads import FairThreads
from gateway.groups import GroupCoordinators, group_config
from gateway.groups.coordinators import group_hash
from gateway.logstores.hosted import HostedLogstore, hosted_as_set
from gateway.net import descriptors
from gateway.net.buffers import BlockPool, ByteBudget
from gateway.net.connection import Connection
from gateway.net.hub import ConnectionLimits, Hub
from gateway.observe.banner import announce_ready
from gateway.observe.interpreter import settle
from gateway.observe.logger import log_event
from gateway.settings.config import Config
from gateway.settings.log_settings import cloud_settings, log_config
from wal_core import (
    Clock,
    Corrupt,
    Fenced,
    Lane,
    Rng,
    SegmentStore,
    SystemClock,
    SystemRng,
    Unavailable,
    WalError,
    close_lanes,
    open_store,
)

if TYPE_CHECKING:
    from gateway.metrics.monitor import Monitor

logger = logging.getLogger(__name__)

LISTEN_BACKLOG_COUNT = 128
# Seconds of silence before the first probe and between the next, and how many there are.
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
LOOKUPS_AT_ONCE_COUNT = 2  # batches looked into for ListOffsets; more would only take turns
FULL_DISK_PATIENCE_S = 1.0  # at stop
FLUSH_S_MIN = 0.1  # at stop: for replies that the sockets did not take at once
ETCD_LATE_S = 1
WORKERS_SETTLE_S = 1.0
"""Workers that start together share logs out evenly if they come within that of each other."""
WORKERS_TENURE_MS_MIN = 5_000  # a worker that was started again gets its share back soon
EXIT_OK, EXIT_FAILED = 0, 1
_LISTEN_REMEDY_OTHERWISE = "choose another address with {flag}"
_LISTEN_REMEDIES = {
    errno.EADDRINUSE: "is another broker running? choose another port with {flag}",
    errno.EADDRNOTAVAIL: "give {flag} an address of this machine; --advertised takes any",
    errno.EACCES: "choose a port above 1023 with {flag}",
}


class StartError(Exception):
    """The gateway cannot start; the text says what to do."""


class Post(NamedTuple):
    """Where a worker stands: its way to its supervisor, and the address that all of them share."""

    link: socket.socket
    host: str
    port: int


class _Journal:
    """The way of the groups of a log to their records: the topic's partition is known only once
    there are groups."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def append(
        self, group_id: str, records: Sequence[tuple[bytes, bytes | None]]
    ) -> Awaitable[None]:
        partition = self._broker.offsets_partition(group_hash(group_id))
        if partition is None:
            raise Unavailable("there is no place for group records yet")
        return self._broker.append_group_records(partition, records)


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
            group_config(config), self.broker.log_of_groups, clock=clock, rng=rng
        )
        self.broker.when_gone = self._topics_gone
        self._membership: Membership | None = None
        self.controller = ControllerLine(lambda: self.broker.cluster)
        self.broker.ask_for_offsets_topic = partial(ask_for_offsets_topic, self.controller)
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
        while hub.tasks and (left_s := began_s + self._patience_s() - loop.time()) > 0:
            await asyncio.wait(tuple(hub.tasks), timeout=min(left_s, FULL_DISK_PATIENCE_S))
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


def run(config: Config, post: Post | None = None) -> int:
    """Serve until SIGTERM or SIGINT, as a worker also until its supervisor is gone; returns the
    exit code. Errors are logged, not raised."""
    try:
        with asyncio.Runner(loop_factory=loop_factory(config)) as runner:
            runner.run(_serve(config, post))
    except (StartError, WalError, CoordinationError, TimeoutError) as error:
        known = _remedy(error, config)
        log_event(logger, logging.ERROR, "gateway failed", reason=str(error), **known)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_OK
    finally:
        close_lanes()
    return EXIT_OK


def _remedy(error: Exception, config: Config) -> dict[str, Any]:
    """What to do, where the error knows only what happened to a log."""
    if isinstance(error, Fenced):
        remedy = f"another broker took over {config.data}: give each broker a --data of its own"
    elif isinstance(error, Corrupt):
        remedy = f"`woodpecker-gateway fsck --data {config.data}` lists what is damaged"
    else:
        return {}
    return {"remedy": remedy}


def loop_factory(config: Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if config.event_loop == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415 - optional: everything works without it
    except ImportError:
        if config.event_loop == "uvloop":
            raise StartError(
                "event_loop is uvloop, but the package uvloop is not installed"
            ) from None
        return None
    return uvloop.new_event_loop


async def _serve(config: Config, post: Post | None) -> None:
    if config.logstore_data is None:
        await _serve_clients(config, post, None)
        return
    # First to come and last to go: the logs of this very broker may need it.
    async with hosted_as_set(config, SystemRng(), bind_logstore(config)) as logstore:
        await _serve_clients(config, post, logstore)


def set_by_signals() -> asyncio.Event:
    """Set once SIGTERM or SIGINT asks this process to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _serve_clients(
    config: Config, post: Post | None, logstore: HostedLogstore | None
) -> None:
    stopping = set_by_signals()
    allowed_count = descriptors.connections_max_count(config.connections_max_count)
    config = dataclasses.replace(config, connections_max_count=allowed_count)
    listeners = [bind(config.listen_host, config.listen_port, "--listen", shared=post is not None)]
    monitor: Monitor | None = None
    supervisor: SharedStore | None = None
    try:
        if post is not None:
            listeners.append(bind(post.host, post.port, "--listen", shared=True))
            supervisor = await SharedStore.join(post.link, stopping.set)
        monitor = await _monitor(config)
        port = listeners[0].getsockname()[1]
        store = await open_store(config.data, config.mode, cloud=cloud_settings(config))
        node = Node(config.node_id, *config.advertised(port), config.rack)
        gateway = Gateway(config, store, node, SystemClock(), SystemRng())
        await start_alone_or_joined(gateway, config, supervisor)
    except BaseException:
        for listener in listeners:
            listener.close()
        if monitor is not None:
            await monitor.close()
        raise
    loop = asyncio.get_running_loop()
    settle()
    servers = [
        await loop.create_server(gateway.connection, sock=listener, backlog=LISTEN_BACKLOG_COUNT)
        for listener in listeners
    ]
    if monitor is not None:
        monitor.watch(gateway.hub, gateway.broker, gateway.groups, store, logstore)
    if supervisor is None:
        announce_ready(logger, config, port)
    else:
        supervisor.ready()
    try:
        await until_stopped(stopping, gateway)
    finally:
        log_event(logger, logging.INFO, "stopping", drain_ms=config.drain_ms)
        for server in servers:
            server.close()
        if monitor is not None:
            await monitor.stopping()
        await gateway.stop()
        if monitor is not None:
            await monitor.close()
        log_event(logger, logging.INFO, "stopped")


async def start_alone_or_joined(
    gateway: Gateway, config: Config, supervisor: SharedStore | None = None
) -> None:
    """As the settings say; a worker joins the others of its supervisor."""
    lease_s = -(-config.node_lease_ms // 1_000)
    if supervisor is not None:
        rules = MoveRules(tenure_ms_min=WORKERS_TENURE_MS_MIN)
        # Who ended has no lease from that moment on: nobody is waited for whom nobody can see.
        settings = MembershipSettings(config.etcd_prefix, lease_s, rules, settle_s=WORKERS_SETTLE_S)
        await gateway.start_in_cluster(supervisor, settings, SystemRng())
        return
    if config.etcd is None:
        await gateway.start()
        return
    # etcd finds ended leases now and then, and ends them by its own log: up to a second later.
    lease_s -= ETCD_LATE_S
    settings = MembershipSettings(config.etcd_prefix, lease_s, reach=connect_tcp)
    await gateway.start_in_cluster(open_coordination(config), settings, SystemRng())


async def _monitor(config: Config) -> Monitor | None:
    """From the very start: probes want to know while data load, too."""
    host, port = config.metrics_listen_host, config.metrics_listen_port
    if host is None or port is None:
        return None
    from gateway.metrics.monitor import Monitor  # noqa: PLC0415 - nobody else pays for loading it

    monitor = Monitor(config)
    listener = bind(host, port, "--metrics-listen")
    await monitor.listen(listener)
    bound_port = listener.getsockname()[1]
    log_event(logger, logging.INFO, "metrics", host=host, port=bound_port)
    return monitor


async def until_stopped(stopping: asyncio.Event, gateway: Gateway) -> None:
    """Returns when asked to stop; raises what made the log step down."""
    stop = asyncio.ensure_future(stopping.wait())
    failure = asyncio.ensure_future(gateway.failed())
    try:
        await asyncio.wait((stop, failure), return_when=asyncio.FIRST_COMPLETED)
        if failure.done():
            failure.result()
    finally:
        for task in (stop, failure):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, WalError):
                await task


def bind(host: str, port: int, flag: str, *, shared: bool = False) -> socket.socket:
    """A listening socket, bound but silent: clients that come while data load wait in no
    queue. Those who bind one `shared`, all of one user, get clients in turn. Raises StartError.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
    except OSError as error:
        remedy = _LISTEN_REMEDY_OTHERWISE.format(flag=flag)
        raise StartError(f"cannot listen on {host!r}: {error.strerror}; {remedy}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _find_dead_peers(listener)
        listener.setblocking(False)
        listener.bind(address)
    except OSError as error:
        listener.close()
        remedy = _LISTEN_REMEDIES.get(error.errno or 0, _LISTEN_REMEDY_OTHERWISE)
        raise StartError(
            f"cannot listen on {host}:{port}: {error.strerror}; {remedy.format(flag=flag)}"
        ) from None
    return listener


def bind_logstore(config: Config, flag: str = "--logstore-listen") -> socket.socket:
    """For the logstore that the settings want here."""
    return bind(config.logstore_listen_host, config.logstore_listen_port, flag)


def _find_dead_peers(listener: socket.socket) -> None:
    """Who vanished without a word is gone after two minutes; accepted sockets inherit this."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


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
