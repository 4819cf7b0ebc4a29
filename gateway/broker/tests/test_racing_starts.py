"""Two gateways that start at once on several logs: afterwards somebody serves everything, whenever
either of them slept; and nobody serves by an old catalog."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from itertools import count

import pytest

from gateway.broker.tests.test_owned_log import take_away
from gateway.server import Gateway
from gateway.tests.client import Client, batch_of
from gateway.tests.harness import NODE, CountingRng, VirtualClock, World, started, virtual
from wal_core import Fenced, MemoryStore, WalError
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore
from wal_core.testing.seeds import stream

PARTITIONS = 6
STEPS_MIN_COUNT = 30  # of a start on a catalog and three data logs


async def filled() -> World:
    """A topic on three logs, with a record in each partition; whoever wrote it has died."""
    world, client = await started(logs_count=3)
    assert await client.create("t", partitions=PARTITIONS) == [0]
    for index in range(PARTITIONS):
        assert (await client.produced("t", batch_of(b"x"), index=index)).error_code == 0
    await world.crash()
    return world


class Starter:
    """A gateway that starts on the bucket of a world."""

    def __init__(self, world: World, objects: FaultyObjectStore) -> None:
        self.gateway = Gateway(
            world.config, ObjectSegmentStore(objects), NODE, VirtualClock(), CountingRng()
        )
        self.error: WalError | None = None
        self.ended = asyncio.ensure_future(self._start())

    async def _start(self) -> None:
        try:
            await self.gateway.start()
        except Fenced as error:
            self.error = error

    async def outcome(self) -> str | None:
        """What it gave up with; None when it serves."""
        await self.ended
        return None if self.error is None else str(self.error)

    async def codes(self) -> list[int]:
        client = Client(self.gateway.connection())
        found = []
        for index in range(PARTITIONS):
            found.append((await client.produced("t", batch_of(b"y"), index=index)).error_code)
        return found


async def race(seed: int) -> tuple[list[str], set[int]]:
    """What those who gave up said, and which partitions are served in the end."""
    world = await filled()
    drawn = stream(seed, "racing starts")
    starters = []
    for number in range(2):
        objects = FaultyObjectStore(
            world.objects.inner,
            latency_s=drawn.choice([0.01, 0.05, 0.2]),
            jitter_s=drawn.choice([0.02, 0.3, 2]),
            seed=2 * seed + number,
        )
        starters.append(Starter(world, objects))
        await asyncio.sleep(drawn.random() * drawn.choice([0.1, 1, 3]))
    gave_up = [why for starter in starters if (why := await starter.outcome()) is not None]
    served: set[int] = set()
    for starter in starters:
        if starter.error is None:
            codes = await starter.codes()
            served |= {index for index, code in enumerate(codes) if code == 0}
    for starter in starters:
        if starter.error is None:
            await starter.gateway.stop()
    return gave_up, served


@pytest.mark.parametrize("seed", range(60))
def test_after_two_racing_starts_somebody_serves_everything(seed: int) -> None:
    @virtual
    async def body() -> None:
        gave_up, served = await race(seed)
        assert served == set(range(PARTITIONS))
        assert len(gave_up) <= 1

    body()


class StepByStep(FaultyObjectStore):
    """Stops at one request, counted from the first, before its effect or after it."""

    def __init__(self, inner: MemoryStore, step: int, moment: str) -> None:
        super().__init__(inner)
        self._left = step
        self._moment = moment
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def _before(self, fault: Fault | None, key: str) -> None:
        await super()._before(fault, key)
        await self._pass("before")

    async def _after(self, fault: Fault | None, key: str) -> None:
        await super()._after(fault, key)
        await self._pass("after")

    async def _pass(self, moment: str) -> None:
        if moment == self._moment:
            self._left -= 1
            if self._left == -1:
                self.reached.set()
                await self.go_on.wait()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_who_falls_asleep_anywhere_in_its_start_leaves_nobody_without_a_log(moment: str) -> None:
    """Awake again it takes all, or nothing: who served meanwhile goes on serving all."""

    @virtual
    async def body() -> None:
        for step in count():
            world = await filled()
            objects = StepByStep(world.objects.inner, step, moment)
            sleeper = Starter(world, objects)
            if not await happens_before(objects.reached, sleeper.ended):
                break
            rival = Starter(world, FaultyObjectStore(world.objects.inner))
            assert await rival.outcome() is None
            assert await rival.codes() == [0] * PARTITIONS
            objects.go_on.set()
            await sleeper.outcome()
            # Who falls asleep when it has all its logs has started, and learns now that it is late.
            answers = [await who.codes() for who in (sleeper, rival) if who.error is None]
            assert [0] * PARTITIONS in answers, f"nobody serves all after step {step}"
            for starter in (sleeper, rival):
                with contextlib.suppress(WalError):
                    await starter.gateway.stop()
        assert step > STEPS_MIN_COUNT

    body()


async def happens_before(event: asyncio.Event, task: asyncio.Task[None]) -> bool:
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait((waiting, task), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return event.is_set()


async def paused_start(
    world: World, is_there: Callable[[str, str], bool]
) -> tuple[Starter, asyncio.Event]:
    """A starter that is stopped at the first call of that kind; and what lets it go on."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Pausing(FaultyObjectStore):
        async def _arrive(self, operation: str, key: str) -> tuple[Fault | None, float]:
            if not reached.is_set() and is_there(operation, key):
                reached.set()
                await go_on.wait()
            return await super()._arrive(operation, key)

    starter = Starter(world, Pausing(world.objects.inner))
    await reached.wait()
    return starter, go_on


@virtual
async def test_who_has_lost_the_catalog_while_data_logs_were_opened_does_not_serve() -> None:
    """It knows nothing of topics that were created meanwhile, or of those that were deleted."""
    world = await filled()
    # Stopped on the way to its last log; another process takes the catalog meanwhile.
    late, go_on = await paused_start(
        world, lambda operation, key: operation == "create" and key.startswith("logs/3/")
    )
    world.gateway = late.gateway
    other = await take_away(world, 0)
    go_on.set()
    why = await late.outcome()
    assert why is not None
    assert "took the catalog over" in why
    await other.close()


@virtual
async def test_who_has_the_catalog_takes_back_what_another_opener_took() -> None:
    world = await filled()
    starter, go_on = await paused_start(
        world, lambda operation, key: operation == "create" and key.startswith("logs/3/")
    )
    world.gateway = starter.gateway
    others = [await take_away(world, log_id) for log_id in (1, 3)]
    go_on.set()
    assert await starter.outcome() is None
    assert await starter.codes() == [0] * PARTITIONS
    await starter.gateway.stop()
    for other in others:
        await other.close()
