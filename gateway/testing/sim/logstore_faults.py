"""What can go wrong with logstores, and on the ways to them. `which` names one by its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.testing.sim.logstore_wire import EVERYBODY
from wal_core.testing.seeds import Random, stream
from wal_core.testing.sim_disk import DiskFault

if TYPE_CHECKING:
    from gateway.testing.sim.logstores import SimLogstore
    from gateway.testing.sim.world import World

STEPS_MAX_COUNT = 60
WIPED_SHARE = 0.4
"""Of the runs, one disk each: two that are lost may take with them what was acknowledged."""


def _one(world: World, which: int) -> SimLogstore:
    return world.quorum.logstores[which % len(world.quorum.logstores)]


@dataclass(frozen=True, slots=True)
class KillLogstores:
    """kill -9 before a step: of one, or of `count`. `power`: their machines fail."""

    at_s: float
    which: int
    count: int
    steps: int
    restart_after_s: float
    power: bool

    def begin(self, world: World) -> None:
        for number in range(self.count):
            self._doom(_one(world, self.which + number))

    def _doom(self, one: SimLogstore) -> None:
        one.restart_after_s = self.restart_after_s
        one.process.after_steps(self.steps, lambda: one.kill(power=self.power))


@dataclass(frozen=True, slots=True)
class LogstoreDiesInCall:
    """A write is torn, names and contents are made durable halfway; then the power goes, too."""

    at_s: float
    which: int
    calls: int
    restart_after_s: float

    def begin(self, world: World) -> None:
        one = _one(world, self.which)
        one.restart_after_s = self.restart_after_s
        world.quorum.disk.die_at_call(one.process, self.calls)


@dataclass(frozen=True, slots=True)
class PauseLogstore:
    at_s: float
    which: int
    for_s: float

    def begin(self, world: World) -> None:
        _one(world, self.which).pause(self.for_s)


@dataclass(frozen=True, slots=True)
class SlowLogstore:
    """The slow third, or another one as well."""

    at_s: float
    which: int
    for_s: float
    factor: float

    def begin(self, world: World) -> None:
        wires, host = world.quorum.wires, _one(world, self.which).name
        wires.slow[host] = self.factor
        world.later(self.for_s, lambda: wires.slow.pop(host, None))


@dataclass(frozen=True, slots=True)
class CutFromLogstore:
    """Nobody reaches a logstore, or the newest gateway does not."""

    at_s: float
    which: int
    for_s: float
    everybody: bool
    keeps: bool

    def begin(self, world: World) -> None:
        wires, host = world.quorum.wires, _one(world, self.which).name
        newest = world.newest
        who = EVERYBODY if self.everybody or newest is None else newest.name
        wires.cut(who, host, keeps=self.keeps)
        world.later(self.for_s, lambda: wires.heal(who, host))


@dataclass(frozen=True, slots=True)
class LogstoreDiskErrors:
    """Some calls fail, whoever makes them: `call` is write (the disk is full), sync, folder or
    create."""

    at_s: float
    call: str
    skip_count: int
    count: int

    def begin(self, world: World) -> None:
        world.quorum.disk.faults.append(DiskFault(self.call, self.skip_count, self.count))


@dataclass(frozen=True, slots=True)
class WipeLogstore:
    """A disk is lost for good."""

    at_s: float
    which: int
    restart_after_s: float

    def begin(self, world: World) -> None:
        one = _one(world, self.which)
        one.restart_after_s = self.restart_after_s
        one.wipe()


def draw_wipe(seed: int, horizon_s: float) -> list[WipeLogstore]:
    rng = stream(seed, "wipe")
    if rng.random() >= WIPED_SHARE:
        return []
    at_s = round(rng.uniform(0.0, horizon_s), 4)
    return [WipeLogstore(at_s, rng.randrange(4), rng.choice((0.1, 3.0)))]


def _kill(rng: Random, at_s: float) -> KillLogstores:
    count = rng.choice((1, 1, 2, 3))
    restart_after_s = rng.choice((0.1, 0.1, 1.0, 8.0))
    steps = rng.randrange(STEPS_MAX_COUNT)
    return KillLogstores(at_s, rng.randrange(4), count, steps, restart_after_s, rng.random() < 0.3)


def _slow(rng: Random, at_s: float) -> SlowLogstore:
    for_s, factor = rng.choice((1.0, 4.0, 12.0)), rng.choice((30.0, 300.0, 3_000.0))
    return SlowLogstore(at_s, rng.randrange(4), for_s, factor)


def _cut(rng: Random, at_s: float) -> CutFromLogstore:
    for_s = rng.choice((0.3, 2.0, 7.0, 15.0))
    return CutFromLogstore(at_s, rng.randrange(4), for_s, rng.random() < 0.5, rng.random() < 0.5)


def _disk_errors(rng: Random, at_s: float) -> LogstoreDiskErrors:
    call = rng.choice(("write", "sync", "sync", "folder", "create"))
    return LogstoreDiskErrors(at_s, call, rng.randrange(4), rng.choice((1, 1, 2, 5)))


DRAW: dict[str, Callable[[Random, float], object]] = {
    "kill_logstores": _kill,
    "logstore_dies_in_call": lambda rng, at_s: LogstoreDiesInCall(
        at_s, rng.randrange(4), rng.randrange(30), rng.choice((0.1, 3.0))
    ),
    "pause_logstore": lambda rng, at_s: PauseLogstore(
        at_s, rng.randrange(4), rng.choice((0.5, 3.0, 12.0))
    ),
    "slow_logstore": _slow,
    "cut_from_logstore": _cut,
    "logstore_disk_errors": _disk_errors,
}
