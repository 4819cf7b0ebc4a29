"""A gateway process of the simulation: starts, serves, steps down, is stopped, paused or killed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.broker.broker import Node as Address
from gateway.broker.metadata_records import Placement
from gateway.broker.topics import CATALOG_LOG_ID
from gateway.server import Gateway, until_stopped
from wal_core import WalError
from wal_core.testing.seeds import SeededRng
from wal_core.testing.sim_process import Process, State

if TYPE_CHECKING:
    from gateway.broker.owned_log import OwnedLog
    from gateway.testing.sim.world import World

ADDRESS = Address(1, "broker.test", 9092)
IDLE_S = 0.1
EPOCH_MS = 1_700_000_000_000


class NodeClock:
    """The machine's wall clock: it jumps when a fault says so."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        return EPOCH_MS + round(self._world.loop.time() * 1_000) + self._world.clock_jump_ms


class Node:
    """One process, from its start to its end; a restart is a new node."""

    def __init__(self, world: World, number: int) -> None:
        self.name = f"g{number}"
        self.process = Process(world.loop, self.name)
        self.gateway: Gateway | None = None
        self.is_listening = False
        self._world = world
        self.confirmed: dict[Placement, list[tuple[float, int]]] = {}
        """Per place: when which offset was confirmed, as the gateway's own state was told."""
        self._stop: asyncio.Event | None = None

    @property
    def terms(self) -> dict[int, int]:
        """By log, the catalog's included."""
        assert self.gateway is not None
        broker = self.gateway.broker
        terms = {owned.log_id: owned.log.term for owned in broker.logs}
        return {CATALOG_LOG_ID: broker.catalog.log.term} | terms

    def is_behind(self, other: Node) -> bool:
        """Whether the other has opened one of the logs later."""
        return any(term < other.terms.get(log_id, 0) for log_id, term in self.terms.items())

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
        """What `gateway.server.run` does, without sockets and signals."""
        world, trace = self._world, self._world.trace
        try:
            rng = SeededRng(world.plan.seed, self.name)
            store = await world.storage.open(self.process, rng)
            gateway = Gateway(world.config, store, ADDRESS, NodeClock(world), rng)
            gateway.log_config = world.log_config
            await gateway.start()
            self._watch_confirmations(gateway)
        except WalError as error:
            trace.note(self.name, f"cannot start: {error}")
            return
        self.gateway = gateway
        if world.is_healed:
            self.stop_retention()
            if not world.is_owner(self):
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
            if not self._has_rivals():
                trace.violation("I4 only a later owner fences", f"{self.name}: {error}")
        self.is_listening = False
        try:
            await gateway.stop()
        except WalError as error:
            trace.note(self.name, f"stopped badly: {error}")

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

    def _watch_confirmations(self, gateway: Gateway) -> None:
        for owned in gateway.broker.logs:
            self._watch_log(owned)

    def _watch_log(self, owned: OwnedLog) -> None:
        loop, tell = self._world.loop, owned.state.confirmed

        def confirmed(ends: Mapping[int, int]) -> None:
            for stream_id, end in ends.items():
                place = Placement(owned.log_id, stream_id)
                self.confirmed.setdefault(place, []).append((loop.time(), end))
            tell(ends)

        owned.state.confirmed = confirmed  # type: ignore[method-assign]

    def _has_rivals(self) -> bool:
        """Whether anybody may have fenced it: who came later, or was opening the log when it did
        (also one that died meanwhile: its fence may have been on the wire).
        """
        others = [node for node in self._world.nodes if node is not self]
        return any(node.gateway is None or self.is_behind(node) for node in others)

    async def idle(self) -> None:
        """Until it has nothing left to do, or is gone."""
        while self.process.alive and self.gateway is not None:
            broker = self.gateway.broker
            logs = [broker.catalog.log, *(owned.log for owned in broker.logs.serving())]
            if not self.gateway.hub.tasks and not any(log.unconfirmed_bytes for log in logs):
                return
            await asyncio.sleep(IDLE_S)

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
