"""Another process that takes one data log of several away, as a second node of a cluster would."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING

from gateway.broker.owned_log import OwnedLog
from gateway.broker.producer_state import ProducerMemory
from gateway.groups import GroupCoordinators, group_config
from gateway.settings.config import Config
from wal_core import Budgets, Clock, LogConfig, Rng, SegmentStore, SteadyClock, WalError
from wal_core.testing.seeds import SeededRng
from wal_core.testing.sim_process import Process

if TYPE_CHECKING:
    from gateway.testing.sim.world import World


class _NoJournal:
    """Nobody asks it for groups."""

    def append(
        self, group_id: str, records: Sequence[tuple[bytes, bytes | None]]
    ) -> Awaitable[None]:
        raise AssertionError(f"{group_id} writes to a log that was only taken away")


async def open_data_log(
    store: SegmentStore, config: Config, log_config: LogConfig, *, clock: Clock, rng: Rng
) -> OwnedLog:
    """Open the log of `log_config` alone, with all that rides on it."""
    log_id = log_config.log_id
    groups = GroupCoordinators(group_config(config), lambda _: log_id, clock=clock, rng=rng)
    memory = ProducerMemory(config.producer_state_bytes_max, config.producer_id_expiration_ms)
    owned = OwnedLog(
        log_id,
        groups.add(log_id, _NoJournal()),
        memory,
        clock=clock,
        steady=SteadyClock(clock),
        rng=rng,
    )
    await owned.open(store, log_config, Budgets(log_config))
    return owned


class Taker:
    """One such process. It opens the log, keeps it for a while, and lets go of it or dies."""

    def __init__(self, world: World, number: int, log_id: int) -> None:
        self.name = f"x{number}"
        self.process = Process(world.loop, self.name)
        self.log_id = log_id
        self._term = 0
        self._world = world

    @property
    def terms(self) -> Mapping[int, int]:
        return {self.log_id: self._term} if self._term else {}

    def is_opening(self, log_id: int) -> bool:
        return log_id == self.log_id and not self._term

    def begin(self, for_s: float, *, ends_well: bool) -> None:
        self._world.trace.note(self.name, f"takes log {self.log_id}")
        self.process.spawn(self._main(for_s, ends_well), self.name)

    async def _main(self, for_s: float, ends_well: bool) -> None:
        trace = self._world.trace
        try:
            await self._take(for_s, ends_well)
        except WalError as error:
            trace.note(self.name, f"does not have log {self.log_id}: {error}")
        except Exception as error:  # the simulation's own end of the line
            trace.violation("process died", f"{self.name}: {error!r}")
        trace.note(self.name, "exits")
        self.process.kill()

    async def _take(self, for_s: float, ends_well: bool) -> None:
        world = self._world
        rng = SeededRng(world.plan.seed, self.name)
        store = await world.storage.open(self.process, rng)
        config = dataclasses.replace(world.log_config, log_id=self.log_id)
        clock = world.clock()
        owned = await open_data_log(store, world.config, config, clock=clock, rng=rng)
        self._term = owned.log.term
        world.trace.note(self.name, f"has log {self.log_id}, term {self._term}")
        await asyncio.sleep(for_s)
        if ends_well:
            await owned.close()
