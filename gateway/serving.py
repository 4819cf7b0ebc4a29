"""The process around a gateway: its loop, its sockets, the signals that stop it, its exit code.

Start: data first, then the socket: whoever can connect is served. As a worker it has a supervisor
besides, and ends when that is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gateway.cluster.coordination.base import CoordinationError
from gateway.cluster.view import Node
from gateway.net import descriptors
from gateway.net.listening import StartError, bind
from gateway.observe.banner import announce_ready
from gateway.observe.interpreter import settle
from gateway.observe.logger import log_event
from gateway.server import Gateway
from gateway.settings.config import Config
from gateway.settings.log_settings import cloud_settings
from wal_core import (
    Corrupt,
    Fenced,
    SegmentStore,
    SystemClock,
    SystemRng,
    WalError,
    close_lanes,
    open_store,
)

if TYPE_CHECKING:
    from gateway.cluster.coordination.shared import SharedStore
    from gateway.logstores.hosted import HostedLogstore
    from gateway.logstores.living import Reach
    from gateway.metrics.monitor import Monitor

logger = logging.getLogger(__name__)

T = TypeVar("T")

LISTEN_BACKLOG_COUNT = 128
EXIT_OK, EXIT_FAILED = 0, 1


class _StoppedEarly(Exception):
    """Somebody wants the gateway to stop before it serves."""


class Post(NamedTuple):
    """Where a worker stands: its way to its supervisor, and the address that all of them share."""

    link: socket.socket
    host: str
    port: int


def run(config: Config, post: Post | None = None) -> int:
    """Serve until SIGTERM or SIGINT, as a worker also until its supervisor is gone; returns the
    exit code. Errors are logged, not raised."""
    try:
        with asyncio.Runner(loop_factory=loop_factory(config)) as runner:
            runner.run(_serve(config, post))
    except (StartError, WalError, CoordinationError, TimeoutError) as error:
        known = _remedy(error, config)
        log_event(logger, logging.ERROR, "gateway failed", reason=error, **known)
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


# What not every broker needs is loaded by those that do: others start sooner, and are smaller.


async def _serve(config: Config, post: Post | None) -> None:
    async with AsyncExitStack() as stack:
        logstore: HostedLogstore | None = None
        if config.logstore_data is not None:
            from gateway.logstores.hosted import hosted_as_set  # noqa: PLC0415 - as above

            # First to come and last to go: the logs of this very broker may need it.
            hosted = hosted_as_set(config, SystemRng(), bind_logstore(config))
            logstore = await stack.enter_async_context(hosted)
        reach: Reach | None = None
        if config.mode == "quorum":
            from gateway.logstores.living import reached_as_set  # noqa: PLC0415 - as above

            reach = await stack.enter_async_context(reached_as_set(config, SystemRng()))
        with contextlib.suppress(_StoppedEarly):
            await _serve_clients(config, post, logstore, reach)


def set_by_signals() -> asyncio.Event:
    """Set once SIGTERM or SIGINT asks this process to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _serve_clients(
    config: Config, post: Post | None, logstore: HostedLogstore | None, reach: Reach | None
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
            from gateway.cluster.coordination.shared import SharedStore  # noqa: PLC0415 - as above

            supervisor = await SharedStore.join(post.link, stopping.set)
        monitor = await _monitor(config)
        port = listeners[0].getsockname()[1]
        store = await _unless_stopped(stopping, _opened(config, reach))
        node = Node(config.node_id, *config.advertised(port), config.rack)
        gateway = Gateway(config, store, node, SystemClock(), SystemRng())
        await _unless_stopped(stopping, _start(gateway, config, supervisor))
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


async def _opened(config: Config, reach: Reach | None) -> SegmentStore:
    cloud = cloud_settings(config)
    if reach is not None:
        from wal_core import open_quorum_store  # noqa: PLC0415 - as above

        return await open_quorum_store(config.data, reach, cloud=cloud)
    return await open_store(config.data, config.mode, cloud=cloud)


async def _unless_stopped(stopping: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """A step of the start, which may wait for others for ever. Raises _StoppedEarly."""
    stop = asyncio.ensure_future(stopping.wait())
    step = asyncio.ensure_future(work)
    try:
        await asyncio.wait((stop, step), return_when=asyncio.FIRST_COMPLETED)
        if not step.done():
            raise _StoppedEarly
        return step.result()
    finally:
        for task in (stop, step):
            task.cancel()
        await asyncio.gather(stop, step, return_exceptions=True)


async def _start(gateway: Gateway, config: Config, supervisor: SharedStore | None) -> None:
    """Alone or joined, as the settings say; a worker joins the others of its supervisor."""
    if supervisor is None and config.etcd is None:
        await gateway.start()
        return
    from gateway.broker.joining import way_into_cluster  # noqa: PLC0415 - as above

    coordination, settings = way_into_cluster(config, supervisor)
    await gateway.start_in_cluster(coordination, settings, SystemRng())


async def _monitor(config: Config) -> Monitor | None:
    """From the very start: probes want to know while data load, too."""
    host, port = config.metrics_listen_host, config.metrics_listen_port
    if host is None or port is None:
        return None
    from gateway.metrics.monitor import Monitor  # noqa: PLC0415 - as above

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


def bind_logstore(config: Config, flag: str = "--logstore-listen") -> socket.socket:
    """For the logstore that the settings want here."""
    return bind(config.logstore_listen_host, config.logstore_listen_port, flag)
