"""What each log of a gateway costs: the end of a segment, an opening, memory."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import resource
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import psutil  # type: ignore[import-untyped]

from gateway.broker.owned_log import OwnedLog
from gateway.broker.producer_state import ProducerMemory
from gateway.cluster.view import Node
from gateway.groups import GroupCoordinator, group_config
from gateway.server import Gateway
from gateway.settings.config import Config, Mode
from gateway.testing.scale.filling import Size, append, fill
from wal_core import (
    Budgets,
    SegmentStore,
    SteadyClock,
    SystemClock,
    SystemRng,
    open_store,
)
from wal_core.format.places import Slot
from wal_core.types import Buffer

LATER_ENDS_COUNT = 3
FEW = 100  # with all on one log, the others hold a hundredth of it
CLOCK, RNG = SystemClock(), SystemRng()


class SegmentEnd(NamedTuple):
    footer_bytes: int
    took_ms: float
    held_ms: float  # of the processor, by the longest turn of the loop meanwhile


class Figures(NamedTuple):
    """Of one log."""

    log_id: int
    streams_count: int
    groups_count: int
    first: SegmentEnd  # after all that state was new
    later: SegmentEnd  # one record later
    opened_ms: float
    opened_cpu_ms: float  # of the loop's thread
    state_bytes: int


class WatchedStore:
    """A store that notes how large the newest footer of each log is."""

    def __init__(self, store: SegmentStore) -> None:
        self._store = store
        self.footers: dict[int, list[int]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, slot: Slot, pieces: Sequence[Buffer], *, final: bool) -> None:
        await self._store.append(slot, pieces, final=final)
        if final:
            self.footers.setdefault(slot.log_id, []).append(sum(map(len, pieces)))


def settings(folder: Path, mode: Mode, logs_count: int) -> Config:
    return Config(
        data=str(folder), mode=mode, logs_count=logs_count, group_initial_rebalance_delay_ms=0
    )


async def measure(folder: Path, mode: Mode, size: Size, *, on_first: bool) -> list[Figures]:
    """Write it all into `folder`; what each log costs. `on_first`: all but little is on log 1."""
    store = WatchedStore(await open_store(str(folder), mode))
    as_store = cast(SegmentStore, store)
    if on_first:  # what is created while there is one log lies there
        few = Size(1, *(count // FEW for count in size[1:]))
        async with serving(as_store, settings(folder, mode, size.logs_count)) as gateway:
            await fill(gateway, few._replace(logs_count=size.logs_count), "few")
        async with serving(as_store, settings(folder, mode, 1)) as gateway:
            rest = Size(1, *(all_ - some for all_, some in zip(size[1:], few[1:], strict=True)))
            await fill(gateway, rest, "rest", log_id=1)
    async with serving(as_store, settings(folder, mode, size.logs_count)) as gateway:
        if not on_first:
            await fill(gateway, size, "even")
        ends = {owned.log_id: await _ends(store, gateway, owned) for owned in gateway.broker.logs}
    found = [
        await _opened(as_store, settings(folder, mode, size.logs_count), log_id, *of_log)
        for log_id, of_log in sorted(ends.items())
    ]
    await store.close()
    return found


@asynccontextmanager
async def serving(store: SegmentStore, config: Config) -> AsyncIterator[Gateway]:
    gateway = Gateway(config, store, Node(1, "127.0.0.1", 9092), CLOCK, RNG)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


async def _ends(
    store: WatchedStore, gateway: Gateway, owned: OwnedLog
) -> tuple[SegmentEnd, SegmentEnd]:
    """The end of the segment in which all is new, and the middle one of some that follow."""
    on_it = next(p for p in gateway.broker.topics.partitions() if p.log_id == owned.log_id)
    ends = []
    for _ in range(1 + LATER_ENDS_COUNT):
        await append(gateway, on_it)
        footers = store.footers.setdefault(owned.log_id, [])
        before = len(footers)
        loop = asyncio.get_running_loop()
        begun_s, held_ms = loop.time(), 0.0
        at_ms = cpu_ms()
        owned.log.complete_segment()
        while len(footers) == before:
            held_ms = max(held_ms, cpu_ms() - at_ms)
            at_ms = cpu_ms()
            await asyncio.sleep(0)
        took_ms = (loop.time() - begun_s) * 1000
        ends.append(SegmentEnd(footers[-1], took_ms, held_ms))
    first, *later = ends
    return first, sorted(later, key=lambda end: end.took_ms)[len(later) // 2]


def cpu_ms() -> float:
    """Of this thread, the loop's: others on the machine do not change it."""
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return (used.ru_utime + used.ru_stime) * 1000


async def _opened(
    store: SegmentStore, config: Config, log_id: int, first: SegmentEnd, later: SegmentEnd
) -> Figures:
    """Open the log alone, as a process does that owns no other: for the time, and once more for the
    memory, which is measured slowly."""
    begun_s, begun_cpu_ms = asyncio.get_running_loop().time(), cpu_ms()
    owned = await _open_alone(store, config, log_id)
    took_ms = (asyncio.get_running_loop().time() - begun_s) * 1000
    took_cpu_ms = cpu_ms() - begun_cpu_ms
    await owned.close()
    tracemalloc.start()
    owned = await _open_alone(store, config, log_id)
    state_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    groups = cast(GroupCoordinator, owned.groups)
    figures = Figures(
        log_id,
        len(owned.log.stream_ids()),
        len(groups.snapshot()) // 2,  # a record of the group and one of its offset
        first,
        later,
        took_ms,
        took_cpu_ms,
        state_bytes,
    )
    await owned.close()
    return figures


async def _open_alone(store: SegmentStore, config: Config, log_id: int) -> OwnedLog:
    gateway = Gateway(config, store, Node(1, "127.0.0.1", 9092), CLOCK, RNG)
    log_config = dataclasses.replace(gateway.log_config, log_id=log_id)
    limits = gateway.broker.limits
    owned = OwnedLog(
        log_id,
        GroupCoordinator(_NoJournal(), group_config(config), clock=CLOCK, rng=RNG),
        ProducerMemory(limits.producer_state_bytes_max, limits.producer_id_expiration_ms),
        clock=CLOCK,
        steady=SteadyClock(CLOCK),
        rng=RNG,
    )
    await owned.open(store, log_config, Budgets(log_config))
    return owned


class _NoJournal:
    def append(self, group_id: str, records: object) -> Awaitable[None]:
        raise AssertionError("nothing is written here")


async def started(folder: Path, mode: Mode, logs_count: int) -> tuple[float, float]:
    """A process that serves the folder: ms from exec to ready, and megabytes resident."""
    arguments = ["-m", "gateway", "serve", "--listen", "127.0.0.1:0", "--log-format", "json"]
    arguments += ["--data", str(folder), "--mode", mode, "--logs-count", str(logs_count)]
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    while line := await process.stderr.readline():
        if json.loads(line)["event"] == "ready":
            break
    assert line, "the gateway did not start"
    took_ms = (loop.time() - begun_s) * 1000
    memory_mb = psutil.Process(process.pid).memory_info().rss / 1e6
    process.terminate()
    await process.communicate()
    return took_ms, memory_mb
