"""Everything that can go wrong in a run. Each fault is a fact of its own: take one out, and the
others stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gateway.testing.sim import cluster_faults, logstore_faults
from wal_core.testing.faulty_object_store import Fault as StoreFaultKind
from wal_core.testing.seeds import Random, stream
from wal_core.testing.sim_bucket import StoreFault
from wal_core.testing.sim_disk import DiskFault

if TYPE_CHECKING:
    from gateway.testing.sim.world import World
    from wal_core.testing.sim_process import Process

STEPS_MAX_COUNT = 60
"""How many steps after its moment a crash may come: any await of what runs then can be hit."""


class Fault(Protocol):
    @property
    def at_s(self) -> float: ...

    def begin(self, world: World) -> None: ...


@dataclass(frozen=True, slots=True)
class Crash:
    """kill -9 before the step number `steps` after `at_s`."""

    at_s: float
    steps: int
    restart_after_s: float

    def begin(self, world: World) -> None:
        node = world.newest
        if node is not None:
            world.restart_after_s = self.restart_after_s
            node.process.after_steps(self.steps, node.kill)


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM."""

    at_s: float
    restart_after_s: float

    def begin(self, world: World) -> None:
        node = world.newest
        if node is not None:
            world.restart_after_s = self.restart_after_s
            node.terminate()


@dataclass(frozen=True, slots=True)
class Pause:
    """SIGSTOP before a step, SIGCONT later. With `takeover_after_s` >= 0 another one starts
    meanwhile.
    """

    at_s: float
    steps: int
    for_s: float
    takeover_after_s: float

    def begin(self, world: World) -> None:
        node = world.newest
        if node is None:
            return

        def pause() -> None:
            node.pause()
            world.later(self.for_s, node.resume)
            if self.takeover_after_s >= 0:
                world.later(self.takeover_after_s, world.boot)

        node.process.after_steps(self.steps, pause)


@dataclass(frozen=True, slots=True)
class Takeover:
    """Others start although one is running; the last one wins."""

    at_s: float
    count: int

    def begin(self, world: World) -> None:
        for number in range(self.count):
            world.later(number * 0.01, world.boot)


@dataclass(frozen=True, slots=True)
class TakeLog:
    """Another process opens one data log of several, and after a while lets go of it, or dies."""

    at_s: float
    log_id: int
    for_s: float
    ends_well: bool

    def begin(self, world: World) -> None:
        world.take_log(self.log_id, self.for_s, ends_well=self.ends_well)


@dataclass(frozen=True, slots=True)
class StoreErrors:
    """A few calls fail, before or after their effect, hang, or take effect late."""

    at_s: float
    kind: str  # a name of faulty_object_store.Fault
    operations: tuple[str, ...]
    skip_count: int
    count: int
    late_s: float
    key_part: str = ""

    def begin(self, world: World) -> None:
        world.bucket.faults.append(
            StoreFault(
                fault=StoreFaultKind[self.kind],
                operations=frozenset(self.operations),
                key_part=self.key_part,
                skip_count=self.skip_count,
                count=self.count,
                late_s=self.late_s,
            )
        )


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """For a while a share of all calls goes wrong; a share of 1 is an outage."""

    at_s: float
    for_s: float
    kind: str
    share: float
    seed: int

    def begin(self, world: World) -> None:
        world.bucket.faults.append(
            StoreFault(
                fault=StoreFaultKind[self.kind],
                operations=OPERATIONS,
                count=float("inf"),
                until_s=world.loop.time() + self.for_s,
                share=self.share,
                late_s=0.3,
                rng=stream(self.seed, "trouble"),
            )
        )


@dataclass(frozen=True, slots=True)
class SlowStore:
    at_s: float
    for_s: float
    factor: float

    def begin(self, world: World) -> None:
        _slow_down(world, world.bucket.slow, self.factor, self.for_s)


@dataclass(frozen=True, slots=True)
class CutLinks:
    """Connections break; the gateway may notice it later and still receive what was under way."""

    at_s: float
    every: int  # 1: all, 2: every other one
    server_after_s: float

    def begin(self, world: World) -> None:
        for link in world.network.links[:: self.every]:
            link.cut(self.server_after_s)


@dataclass(frozen=True, slots=True)
class SlowNetwork:
    at_s: float
    for_s: float
    factor: float

    def begin(self, world: World) -> None:
        _slow_down(world, world.network.slow, self.factor, self.for_s)


def _slow_down(world: World, slow: list[float], factor: float, for_s: float) -> None:
    slow.append(factor)

    def end() -> None:
        if factor in slow:
            slow.remove(factor)

    world.later(for_s, end)


@dataclass(frozen=True, slots=True)
class ClockJump:
    """The machine's wall clock is set; durations go on as they were. Several backward jumps stay
    within the hour by which clients' timestamps may be ahead.
    """

    at_s: float
    by_ms: int

    def begin(self, world: World) -> None:
        world.set_clock(self.by_ms)


@dataclass(frozen=True, slots=True)
class DiskErrors:
    """Some calls fail: `call` is write (the disk is full), sync, folder or create."""

    at_s: float
    call: str
    skip_count: int
    count: int

    def begin(self, world: World) -> None:
        world.disk.faults.append(DiskFault(self.call, self.skip_count, self.count))


@dataclass(frozen=True, slots=True)
class DiskFull:
    """For a while nothing can be written."""

    at_s: float
    for_s: float

    def begin(self, world: World) -> None:
        faults = [DiskFault("write", 0, math.inf), DiskFault("create", 0, math.inf)]
        world.disk.faults += faults

        def end() -> None:
            for fault in faults:
                fault.count = 0

        world.later(self.for_s, end)


@dataclass(frozen=True, slots=True)
class DieInCall:
    """kill -9 at a system call: a write is torn, names and contents are made durable halfway."""

    at_s: float
    calls: int
    restart_after_s: float

    def begin(self, world: World) -> None:
        _doom_newest(world, self.calls, self.restart_after_s)


def _doom_newest(world: World, calls_count: int, restart_after_s: float) -> Process | None:
    """Have the newest process die at a system call; returns it, if there is one."""
    node = world.newest
    if node is None:
        return None
    world.restart_after_s = restart_after_s
    world.disk.die_at_call(node.process, calls_count)
    return node.process


@dataclass(frozen=True, slots=True)
class PowerCut:
    """All processes end, and of what was not synced any part is lost."""

    at_s: float
    restart_after_s: float

    def begin(self, world: World) -> None:
        world.restart_after_s = self.restart_after_s
        world.cut_power()


@dataclass(frozen=True, slots=True)
class PowerCutInCall:
    """The same at a system call of the newest process, so that there is something not synced."""

    at_s: float
    calls: int
    restart_after_s: float

    def begin(self, world: World) -> None:
        doomed = _doom_newest(world, self.calls, self.restart_after_s)
        if doomed is not None:
            world.power_ends_with = doomed


@dataclass(frozen=True, slots=True)
class SlowDisk:
    at_s: float
    for_s: float
    factor: float

    def begin(self, world: World) -> None:
        _slow_down(world, world.loop.slow_executor, self.factor, self.for_s)


OPERATIONS = frozenset(("create", "get_range", "list", "size", "delete"))


def draw_fault(seed: int, number: int, horizon_s: float, kinds: list[str]) -> Fault:
    """Fault `number` of a run."""
    rng = stream(seed, "fault", number)
    at_s = round(rng.uniform(0.0, horizon_s), 4)
    fault: Fault = _DRAW[rng.choice(kinds)](rng, at_s)
    return fault


def draw_rare_faults(seed: int, mode: str, horizon_s: float) -> list[Fault]:
    """What seldom hits anything when drawn like the others: a listing that ends halfway, a deletion
    of many keys of which some go, a late PUT, a power cut between a write and its sync.
    """
    rng = stream(seed, "rare faults")
    draw = _power_cut_in_call if mode == "file" else _rare_store_errors
    return [draw(rng, round(rng.uniform(0.0, horizon_s), 4)) for _ in range(rng.choice((0, 1, 3)))]


def draw_takings(seed: int, mode: str, logs_count: int, horizon_s: float) -> list[Fault]:
    """Where there are several logs, and no lock that keeps others out: some are taken away."""
    if logs_count == 1 or mode == "file":
        return []
    rng = stream(seed, "takings")
    # In a cluster nobody takes such a log back for half a minute.
    counts = (0, 0, 0, 0, 0, 1) if mode == "cluster" else (0, 0, 1, 2)
    return [
        TakeLog(
            round(rng.uniform(0.0, horizon_s), 4),
            rng.randint(1, logs_count),
            rng.choice((0.0, 0.5, 2.0)),
            rng.random() < 0.5,
        )
        for _ in range(rng.choice(counts))
    ]


def _rare_store_errors(rng: Random, at_s: float) -> Fault:
    operation, key_part = rng.choice(
        (("list", "logs/1/"), ("list", ""), ("delete", ""), ("create", "logs/"))
    )
    kind = rng.choice(("BEFORE", "BEFORE", "BEFORE", "AFTER", "HANG", "HANG_AFTER"))
    if operation == "create":
        kind = "LATE"
    late_s = rng.choice((0.1, 1.5))
    return StoreErrors(at_s, kind, (operation,), 0, rng.choice((1, 3)), late_s, key_part)


def _power_cut_in_call(rng: Random, at_s: float) -> Fault:
    return PowerCutInCall(at_s, rng.randrange(30), rng.choice((0.0, 0.3)))


def _crash(rng: Random, at_s: float) -> Fault:
    return Crash(at_s, rng.randrange(STEPS_MAX_COUNT), round(rng.choice((0.0, 0.1, 0.7)), 3))


def _pause(rng: Random, at_s: float) -> Fault:
    for_s = rng.choice((0.05, 0.5, 2.0, 5.0))
    takeover = rng.choice((-1.0, 0.0, 0.3, 1.0))
    return Pause(at_s, rng.randrange(STEPS_MAX_COUNT), for_s, min(takeover, for_s))


def _store_errors(rng: Random, at_s: float) -> Fault:
    kind = rng.choice(("BEFORE", "AFTER", "HANG", "HANG_AFTER", "LATE"))
    operations = ("create",) if kind == "LATE" or rng.random() < 0.6 else tuple(sorted(OPERATIONS))
    return StoreErrors(
        at_s, kind, operations, rng.randrange(6), rng.choice((1, 1, 2, 5)), rng.choice((0.1, 1.5))
    )


def _store_trouble(rng: Random, at_s: float) -> Fault:
    kind = rng.choice(("BEFORE", "AFTER", "HANG", "HANG_AFTER"))
    for_s = rng.choice((0.2, 1.0, 3.0))
    return StoreTrouble(at_s, for_s, kind, rng.choice((0.2, 0.5, 1.0)), rng.getrandbits(32))


def _disk_errors(rng: Random, at_s: float) -> Fault:
    call = rng.choice(("write", "sync", "sync", "folder", "create"))
    return DiskErrors(at_s, call, rng.randrange(4), rng.choice((1, 1, 2, 5)))


_DRAW: dict[str, Callable[[Random, float], Any]] = {
    "crash": _crash,
    "stop": lambda rng, at_s: Stop(at_s, rng.choice((0.0, 0.5))),
    "pause": _pause,
    "takeover": lambda rng, at_s: Takeover(at_s, rng.choice((1, 1, 2, 3))),
    "store_errors": _store_errors,
    "store_trouble": _store_trouble,
    "slow_store": lambda rng, at_s: SlowStore(
        at_s, rng.choice((0.3, 2.0)), rng.choice((3.0, 10.0, 50.0))
    ),
    "cut": lambda rng, at_s: CutLinks(at_s, rng.choice((1, 2, 3)), rng.choice((0.0, 0.02, 2.0))),
    "slow_network": lambda rng, at_s: SlowNetwork(
        at_s, rng.choice((0.3, 2.0)), rng.choice((10.0, 200.0))
    ),
    "disk_errors": _disk_errors,
    "disk_full": lambda rng, at_s: DiskFull(at_s, rng.choice((0.1, 1.0, 3.0))),
    "die_in_call": lambda rng, at_s: DieInCall(at_s, rng.randrange(30), rng.choice((0.0, 0.3))),
    "power_cut": lambda rng, at_s: PowerCut(at_s, rng.choice((0.0, 0.3))),
    "slow_disk": lambda rng, at_s: SlowDisk(
        at_s, rng.choice((0.3, 2.0)), rng.choice((10.0, 300.0))
    ),
    "clock": lambda rng, at_s: ClockJump(
        at_s, rng.choice((-600_000, -5_000, 5_000, 3_600_000, 86_400_000))
    ),
    **cluster_faults.DRAW,
    **logstore_faults.DRAW,
}
_ANYWHERE = ("crash", "stop", "pause", "takeover", "cut", "slow_network", "clock")
_STORE = ("store_errors", "store_trouble", "slow_store")
KINDS: dict[str, tuple[str, ...]] = {
    "object": (*_ANYWHERE, *_STORE),
    "cluster": ("cut", "slow_network", "clock", *_STORE, *cluster_faults.DRAW),
    "file": (*_ANYWHERE, "disk_errors", "disk_full", "die_in_call", "power_cut", "slow_disk"),
    "quorum": (*_ANYWHERE, *_STORE, "slow_disk", *logstore_faults.DRAW),
    "quorum cluster": (
        *("cut", "slow_network", "clock"),
        *_STORE,
        *cluster_faults.DRAW,
        *logstore_faults.DRAW,
    ),
}
"""What can be drawn in each mode."""
