"""A gateway process of the simulation: starts, serves, steps down, is stopped, paused or killed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

from gateway.broker.metadata_records import Placement
from gateway.cluster.view import CATALOG_LOG_ID
from gateway.cluster.view import Node as Address
from gateway.server import Gateway
from gateway.serving import until_stopped
from wal_core import Log, Rng, WalError
from wal_core.testing.seeds import SeededRng
from wal_core.testing.sim_process import Process, State

if TYPE_CHECKING:
    from gateway.broker.owned_log import OwnedLog
    from gateway.testing.sim.world import World

ENDED_S = 0.5  # a process that can serve nothing any more has ended by then
ADDRESS = Address(1, "broker.test", 9092)
IDLE_S = 0.1


class Holder(Protocol):
    """A process that opens logs."""

    process: Process

    @property
    def terms(self) -> Mapping[int, int]:
        """By log, of those that it has opened."""
        ...

    def is_opening(self, log_id: int) -> bool:
        """Whether it was going to open that log, and nobody knows how far it has come: its fence
        may be on the wire, though it has died."""
        ...


class Node:
    """One process, from its start to its end; a restart is a new node."""

    is_one_of_many = False
    """Whether it is a node of a cluster."""

    def __init__(self, world: World, number: int) -> None:
        self.name = f"g{number}"
        self.process = Process(world.loop, self.name)
        self.gateway: Gateway | None = None
        self._catalog: Log | None = None
        """The gateway's, also when it is closed."""
        self.is_listening = False
        self._world = world
        self.address = ADDRESS
        self.confirmed: dict[Placement, list[tuple[float, int]]] = {}
        """Per place: when which offset was confirmed, as the gateway's own state was told."""
        self.lost: dict[int, float] = {}
        """Data logs that it found to be another's, and when."""
        self._stop: asyncio.Event | None = None

    @property
    def node_id(self) -> int:
        return self.address.node_id

    @property
    def terms(self) -> Mapping[int, int]:
        """The catalog's included."""
        if self.gateway is None or self._catalog is None:
            return {}
        terms = {owned.log_id: owned.log.term for owned in self.gateway.broker.logs}
        return {CATALOG_LOG_ID: self._catalog.term} | terms

    def is_opening(self, log_id: int) -> bool:
        return self.gateway is None

    def is_behind(self, other: Holder, log_id: int | None = None) -> bool:
        """Whether the other has opened one of the logs, or that one, later."""
        own = self.terms.items() if log_id is None else [(log_id, self.terms.get(log_id, 0))]
        return any(term < other.terms.get(log_id, 0) for log_id, term in own)

    @property
    def is_incomplete(self) -> bool:
        """Whether it serves, and not all."""
        return self.is_listening and bool(self.lost)

    @property
    def is_healthy(self) -> bool:
        """Whether a client that comes now is served."""
        return self.is_listening and self.process.state is State.RUNNING

    def boot(self) -> None:
        self._world.trace.note(self.name, "starts")
        self.process.spawn(self._main(), self.name)

    async def _main(self) -> None:
        try:
            await self._serve()
        except Exception as error:  # the simulation's own end of the line
            self._world.trace.violation("process died", f"{self.name}: {error!r}")
        self._end()

    async def _serve(self) -> None:
        """What `gateway.serving.run` does, without sockets and signals."""
        world, trace = self._world, self._world.trace
        try:
            rng = SeededRng(world.plan.seed, self.name)
            store = await world.storage.open(self.process, rng)
            gateway = Gateway(world.config, store, self.address, world.clock(), rng)
            gateway.log_config = world.log_config
            await self._start(gateway, rng)
        except (WalError, TimeoutError) as error:
            trace.note(self.name, f"cannot start: {error}")
            return
        if world.is_healed:
            self.stop_retention()
            if self._is_late():
                # Stopped in its opening until now: as for the others when all was healed.
                self.kill("is taken out of service")
                return
        self._stop = asyncio.Event()
        self.is_listening = True
        trace.note(self.name, f"listens, terms {self.terms}")
        try:
            await until_stopped(self._stop, gateway)
        except WalError as error:
            trace.note(self.name, f"steps down: {error}")
            self._judge_end(gateway, error)
        self.is_listening = False
        try:
            await gateway.stop()
        except WalError as error:
            trace.note(self.name, f"stopped badly: {error}")

    async def _start(self, gateway: Gateway, rng: Rng) -> None:
        """As `serve` does. Raises WalError, TimeoutError."""
        await gateway.start()
        for owned in gateway.broker.logs:
            self._watch_log(owned)
            owned.log.failed.add_done_callback(partial(self._log_failed, gateway, owned))
        self.gateway, self._catalog = gateway, gateway.broker.catalog.log

    def _is_late(self) -> bool:
        """Whether others have what it has opened."""
        return not self._world.is_owner(self)

    def _judge_end(self, gateway: Gateway, error: WalError) -> None:
        trace = self._world.trace
        if not any(self._has_rivals(log_id) for log_id in self.terms):
            trace.violation("I4 only a later owner fences", f"{self.name}: {error}")
        assert self._catalog is not None
        if not self._catalog.failed.done() and self._left(gateway):
            trace.violation("a log is lost alone", f"{self.name} ends: {error}")

    def _end(self) -> None:
        """The process exits by itself."""
        if self.process.alive:
            self._world.trace.note(self.name, "exits")
            self._die()

    def _die(self) -> None:
        self.is_listening = False
        self.process.kill()
        self._world.storage.process_died(self.process)
        self._world.network.node_died(self)

    def _watch_log(self, owned: OwnedLog) -> None:
        loop, tell = self._world.loop, owned.state.confirmed

        def confirmed(ends: Mapping[int, int]) -> None:
            for stream_id, end in ends.items():
                place = Placement(owned.log_id, stream_id)
                self.confirmed.setdefault(place, []).append((loop.time(), end))
            tell(ends)

        owned.state.confirmed = confirmed  # type: ignore[method-assign]

    def _log_failed(self, gateway: Gateway, owned: OwnedLog, done: asyncio.Future[None]) -> None:
        """A data log is another's. What else it has it serves on; with nothing left it ends."""
        trace, log_id = self._world.trace, owned.log_id
        self.lost[log_id] = self._world.loop.time()
        left = self._left(gateway)
        trace.note(self.name, f"has lost log {log_id}, serves {left}: {done.exception()}")
        if not self._has_rivals(log_id):
            trace.violation(
                "I4 only a later owner fences", f"{self.name}, log {log_id}: {done.exception()}"
            )
        if not left:
            self._world.loop.call_later(ENDED_S, self._must_have_ended)

    def _left(self, gateway: Gateway) -> list[int]:
        """The data logs that it may serve."""
        return [owned.log_id for owned in gateway.broker.logs if not owned.log.failed.done()]

    def _must_have_ended(self) -> None:
        if self.is_listening:
            self._world.trace.violation("a process without logs ends", self.name)

    def _has_rivals(self, log_id: int) -> bool:
        """Whether anybody may have fenced that log: who came later, or was opening it."""
        others = [holder for holder in self._world.holders if holder is not self]
        return any(other.is_opening(log_id) or self.is_behind(other, log_id) for other in others)

    async def idle(self) -> None:
        """Until it has nothing left to do, or is gone."""
        while self.process.alive and self.gateway is not None:
            if not self._is_busy(self.gateway):
                return
            await asyncio.sleep(IDLE_S)

    def _is_busy(self, gateway: Gateway) -> bool:
        logs = [owned.log for owned in gateway.broker.logs.serving()]
        if self._catalog is not None:
            logs.append(self._catalog)
        return bool(gateway.hub.tasks) or any(log.unconfirmed_bytes for log in logs)

    def stop_retention(self) -> None:
        """What is read in the end is to stay the same, whatever the clock says."""
        if self.process.alive and self.gateway is not None:
            self.process.spawn(self.gateway.retention.stop(), f"{self.name} keeps what it has")

    # what faults do

    def terminate(self) -> None:
        """SIGTERM."""
        if self._stop is not None and self.process.alive:
            self._world.trace.note(self.name, "is asked to stop")
            self.process.call(self._stop.set)

    def kill(self, why: str = "is killed") -> None:
        """SIGKILL."""
        if self.process.alive:
            self._world.trace.note(self.name, why)
            self._die()

    def pause(self) -> None:
        if self.process.state is State.RUNNING:
            self._world.trace.note(self.name, "is paused")
            self.process.pause()

    def resume(self) -> None:
        if self.process.state is State.PAUSED:
            self._world.trace.note(self.name, "goes on")
            self.process.resume()
